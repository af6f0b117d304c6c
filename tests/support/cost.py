"""What the tests cost: CPU-seconds of each folder, and the slowest tests.

`pytest --costs=FILE` writes both as JSON, for the summary of `make test`. CPU-seconds do not
depend on what else the machine does, so a budget can be kept in them. They count the process of the
test, with its threads, and the processes that it has waited for; a server that stays up for the
whole session is counted only in the total of the stage."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

SLOWEST = 10
# `make test` stays under 15 minutes on two cores with all 28 lessons. What is left beside the tests
# that belong to no lesson (310 CPU-seconds, November 2026) is divided among the lessons.
WHOLE = 15 * 60 * 2  # CPU-seconds
FIXED, LESSONS = 310, 28
OF_A_LESSON = (WHOLE - FIXED) // LESSONS  # CPU-seconds: its judges' tests and its notebooks
_MARK = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("labkit").addoption(
        "--costs", metavar="FILE", help="write CPU-seconds by folder and the slowest tests, as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("costs")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Costs(Path(path)), "labkit costs")


def cpu_seconds() -> float:
    """What this process has used until now, and every child that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    item.config.stash[_MARK] = cpu_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    before, now = item.config.stash[_MARK], cpu_seconds()
    item.config.stash[_MARK] = now
    report.cpu = round(now - before, 3)  # travels from the worker to its controller
    return report


class Costs:
    """Adds up what the reports say. It lives in the process that prints the summary."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = re.sub(r"@[^@\]]+$", "", report.nodeid)  # without the group that kept it in a worker
        self.cpu[name] += getattr(report, "cpu", 0.0)
        self.seconds[name] += report.duration

    def pytest_sessionfinish(self) -> None:
        folders: defaultdict[str, float] = defaultdict(float)
        for nodeid, spent in self.cpu.items():
            folders[nodeid.partition("::")[0].rpartition("/")[0]] += spent
        slowest = sorted(self.seconds.items(), key=lambda pair: -pair[1])[:SLOWEST]
        told = {
            "tests": {name: round(spent, 3) for name, spent in self.cpu.items()},
            "cpu": {folder: round(spent, 1) for folder, spent in sorted(folders.items())},
            "of a lesson": OF_A_LESSON,
            "slowest": [[round(spent, 1), nodeid] for nodeid, spent in slowest],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
