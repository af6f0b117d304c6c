"""Writes the kept runs: the smallest failing run of every wrong answer, and failing runs of some
mutants of right ones, as data.

`tests/lessons/kept_runs.py` says what they are for. A test hands in what it found as a property of
its report, which also travels from the worker of a parallel run to the process that writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.depth import DEPTH

FOLDER = Path(__file__).parent.parent / "lessons" / "failing_runs"
PROPERTY = "kept run"
OF_A_MUTANT = "kept run of a mutant"


def path_of(exercise: str, *, of_mutants: bool = False) -> Path:
    """The file with the kept runs of the exercise's lesson."""
    folder = FOLDER / "mutants" if of_mutants else FOLDER
    return folder / f"{exercise.rpartition('-')[0].replace('.', '_')}.json"


def refresh(exercise: str) -> str:
    """What to do about a kept run that is missing or no longer fails."""
    path = path_of(exercise)
    only = path.stem
    return f"`make deep ONLY={only} ARGS=--keep` writes {path.parent.name}/{path.name} anew"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("labkit").addoption(
        "--keep", action="store_true", help="write what the deep search found to failing_runs/"
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("keep"):
        return
    if not DEPTH.anew:
        raise pytest.UsageError("--keep needs the deep profile: `make deep ARGS=--keep`")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Writer(), "labkit kept runs")


class Writer:
    """Collects what the tests found, from every worker, and writes it at the end."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.mutants: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name in (PROPERTY, OF_A_MUTANT):
                exercise, answer, run = value
                found = self.found if name == PROPERTY else self.mutants
                found.setdefault(exercise, {})[answer] = run

    def pytest_sessionfinish(self) -> None:
        from tests.lessons.handed_in import (
            exercises,  # loads the lessons, so only when it is needed
        )

        wrong = {it.id: {answer.__name__ for answer in it.wrong} for it in exercises()}
        right = {
            it.id: {answer.__name__ for answer in (*it.right, *it.right_too)} for it in exercises()
        }
        for path in sorted({path_of(exercise) for exercise in self.found}):
            _write(path, self.found, lambda exercise, name: name in wrong.get(exercise, ()))
        for path in sorted({path_of(exercise, of_mutants=True) for exercise in self.mutants}):
            anew = {
                (exercise, name.partition(": ")[0])
                for exercise, found in self.mutants.items()
                for name in found
            }

            def stays(exercise: str, name: str, anew: set[tuple[str, str]] = anew) -> bool:
                answer = name.partition(": ")[0]
                if (exercise, answer) in anew:
                    return name in self.mutants[exercise]
                return answer in right.get(exercise, ())

            _write(path, self.mutants, stays, of_mutants=True)


def _write(
    path: Path,
    found: Mapping[str, Mapping[str, Any]],
    stays: Callable[[str, str], bool],
    *,
    of_mutants: bool = False,
) -> None:
    """Write what was found for the exercises of this file beside what stays of it."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for exercise, runs in found.items():
        if path_of(exercise, of_mutants=of_mutants) == path:
            kept[exercise] = {**kept.get(exercise, {}), **runs}
    left = {
        exercise: {name: run for name, run in runs.items() if stays(exercise, name)}
        for exercise, runs in kept.items()
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(as_text({it: runs for it, runs in left.items() if runs}), encoding="utf-8")


def as_text(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """One line for each run, so that a change of one is a change of one line."""
    exercises = []
    for exercise in sorted(kept):
        lines = [
            f"    {json.dumps(name)}: {json.dumps(kept[exercise][name])}"
            for name in sorted(kept[exercise])
        ]
        exercises.append(f"  {json.dumps(exercise)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(exercises) + "\n}\n"
