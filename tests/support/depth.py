"""How deep the tests search: the one place that says so.

There are two profiles. `quick` is what `make test` searches on every change. `deep` is what
`make deep` searches, a tenth of it in each run of CI. `LABKIT_DEPTH` chooses; a test says only what
one run or one example of it costs.

Every search repeats: hypothesis is derandomised for all tests, and a property test that sets it
otherwise is refused at collection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from zlib import crc32

import pytest
from hypothesis import settings

T = TypeVar("T")
Cost = Literal["dear", "fair", "cheap"]
"""Of a run: a whole shop; a few services and a database; locks on one Redis. Of an example: one
that opens databases, one that calls a service, plain computation."""


@dataclass(frozen=True)
class Depth:
    """A profile: the runs of a `falsify`, the examples of a property, the steps of a state machine,
    every how many of the moments at which something may crash are tried, and how often a process is
    really killed.

    `answers` bounds the schedules that a right answer to an exercise must survive (None: the whole
    budget that a reader's answer gets). `anew`: wrong answers are searched for their smallest
    failing run; otherwise the kept run is replayed."""

    name: str
    runs: Mapping[Cost, int]
    examples: Mapping[Cost, int]
    steps: int
    every: int
    kills: int
    answers: int | None
    anew: bool


QUICK = Depth(
    "quick",
    runs={"dear": 10, "fair": 25, "cheap": 40},
    examples={"dear": 12, "fair": 40, "cheap": 120},
    steps=25,
    every=3,
    kills=20,
    answers=15,
    anew=False,
)
DEEP = Depth(
    "deep",
    runs={"dear": 100, "fair": 250, "cheap": 600},
    examples={"dear": 150, "fair": 400, "cheap": 3000},
    steps=40,
    every=1,
    kills=100,
    answers=None,
    anew=True,
)
PROFILES = {depth.name: depth for depth in (QUICK, DEEP)}
UNTIL_FOUND = 300  # runs, in every profile: the search must find something, and ends when it does

VARIABLE = "LABKIT_DEPTH"
TENTHS = 10


def chosen(name: str) -> Depth:
    """The profile of this name."""
    if name not in PROFILES:
        raise pytest.UsageError(f"{VARIABLE} must be one of {', '.join(PROFILES)}, got {name!r}")
    return PROFILES[name]


DEPTH = chosen(os.environ.get(VARIABLE, QUICK.name))


def runs(cost: Cost) -> int:
    """How many runs a `falsify` of this cost gets."""
    return DEPTH.runs[cost]


def examples(cost: Cost, **options: Any) -> settings:
    """The settings of a property test whose examples cost so much; decorates it."""
    return settings(max_examples=DEPTH.examples[cost], **options)


def of_a_machine(cost: Cost) -> settings:
    """The settings of a state machine, for its test case."""
    return examples(cost, stateful_step_count=DEPTH.steps)


def sampled(moments: Sequence[T]) -> Sequence[T]:
    """Of the moments at which a test lets something crash, those that this profile takes: all of
    them, or the first and every third after it. A test that samples is marked `search`, so that the
    deep profile runs it.
    """
    return moments[:: DEPTH.every]


# -- the plugin


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("labkit")
    group.addoption(
        "--tenth", type=int, metavar="N", help="only the tests of this tenth, 0 to 9, by their name"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "search: searches for a failing run; `make deep` runs it with the deep profile"
    )
    settings.register_profile("labkit", deadline=None, derandomize=True, database=None)
    settings.load_profile("labkit")
    tenth = config.getoption("tenth")
    if tenth is not None and tenth not in range(TENTHS):
        raise pytest.UsageError(f"--tenth must be from 0 to {TENTHS - 1}, got {tenth}")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for found in _settings(item):
            item.add_marker(pytest.mark.search)
            if not found.derandomize:
                raise pytest.UsageError(
                    f"{item.nodeid} draws other examples in every run: leave out derandomize=False"
                )
    tenth = config.getoption("tenth")
    if tenth is None:
        return
    away = [item for item in items if tenth_of(item.nodeid) != tenth]
    items[:] = [item for item in items if tenth_of(item.nodeid) == tenth]
    config.hook.pytest_deselected(items=away)


def tenth_of(nodeid: str) -> int:
    """The tenth of the deep search to which a test belongs. Those that share a kept result (the
    same parameters) belong together.
    """
    _, bracket, parameters = nodeid.partition("[")
    return crc32((parameters if bracket else nodeid).encode()) % TENTHS


def _settings(item: pytest.Item) -> Iterator[settings]:
    """The settings of a property test or of a state machine's test; of other tests, none."""
    test: Callable[..., Any] | None = getattr(item, "obj", None)
    if not getattr(test, "is_hypothesis_test", False):
        return
    of_the_machine = getattr(getattr(item, "cls", None), "settings", None)
    if isinstance(of_the_machine, settings):
        yield of_the_machine
    else:
        yield getattr(test, "_hypothesis_internal_use_settings", settings.default)
