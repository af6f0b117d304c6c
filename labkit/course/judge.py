"""Judges: one function an exercise, registered by the exercise's id.

A judge takes the reader's answer and a budget (how many schedules to try) and returns what it
found: a `Verdict`, or anything shaped like `Finding`, such as what `labkit.sim.falsify` returns. It
lets the reader's exceptions pass; `labkit.course.exercises` shows them. The judges of lesson 1.2a
live in the folder `labkit/lessons/l1_2a`, which is loaded when an exercise of that lesson is
checked."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from labkit.check.verdict import Verdict
from labkit.world import Run


class ExerciseError(ValueError):
    """An exercise that does not exist, or was described wrongly: names what was given and what is
    allowed.
    """


class Finding(Protocol):
    """What a search found: `run` is the smallest failing run; `runs` schedules and `plans` fault
    plans were tried.
    """

    @property
    def verdict(self) -> Verdict: ...
    @property
    def run(self) -> Run | None: ...
    @property
    def runs(self) -> int: ...
    @property
    def plans(self) -> int: ...
    def replay(self) -> Run:
        """Run the failing schedule again."""


JudgeFunction = Callable[[Any, int], Verdict | Finding]
F = TypeVar("F", bound=JudgeFunction)


@dataclass(frozen=True)
class Judge:
    """An exercise as its lesson registered it."""

    id: str
    title: str
    hints: tuple[str, str]
    budget: int
    function: JudgeFunction

    @property
    def lesson(self) -> str:
        """The number of the lesson: "1.1a" of exercise "1.1a-2"."""
        return self.id.rpartition("-")[0]


LESSONS = "labkit.lessons"
_JUDGES: dict[str, Judge] = {}


def judge(id: str, *, title: str, hints: tuple[str, str], budget: int = 200) -> Callable[[F], F]:
    """Register the decorated function as the judge of exercise `id` ("1.1a-2"), with the budget
    that `check` gives it.
    """
    if not re.fullmatch(r"\d+(\.\d+[a-z]?)?-\d+", id):
        raise ExerciseError(f"id must look like '1.1a-2', got {id!r}")
    if not title.strip():
        raise ExerciseError(f"title of {id} must say something, got {title!r}")
    if len(hints) != 2 or not all(isinstance(text, str) and text.strip() for text in hints):
        raise ExerciseError(f"hints of {id} must be two texts, got {hints!r}")
    if budget < 1:
        raise ExerciseError(f"budget of {id} must be at least 1, got {budget!r}")

    def register(function: F) -> F:
        before = _JUDGES.get(id)
        if before is not None and _home(before.function) != _home(function):
            raise ExerciseError(f"id {id} is taken by {'.'.join(_home(before.function))}")
        _JUDGES[id] = Judge(id, title, hints, budget, function)
        return function

    return register


def judges() -> dict[str, Judge]:
    """Every registered judge by id, in order of id, after loading every lesson's folder."""
    lessons = importlib.import_module(LESSONS)
    for folder in sorted(
        info.name for info in pkgutil.iter_modules(lessons.__path__) if info.ispkg
    ):
        _load(folder)
    return dict(sorted(_JUDGES.items(), key=lambda item: _order(item[0])))


def find(id: str) -> Judge:
    """The judge of this exercise. Of the lessons, only the folder of this one is loaded."""
    lesson = id.rpartition("-")[0]
    _load("l" + lesson.replace(".", "_"))
    if id not in _JUDGES:
        raise ExerciseError(
            f"there is no exercise {id!r}; there are {', '.join(judges()) or 'none yet'}"
        )
    return _JUDGES[id]


def _load(folder: str) -> None:
    """Import every module of a lesson's folder, so that its judges register themselves; nothing if
    there is no such folder.
    """
    lessons = importlib.import_module(LESSONS)
    if folder not in {info.name for info in pkgutil.iter_modules(lessons.__path__) if info.ispkg}:
        return
    package = importlib.import_module(f"{LESSONS}.{folder}")
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{LESSONS}.{folder}.{module}")


def _home(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _order(id: str) -> tuple[str, int]:
    lesson, _, number = id.rpartition("-")
    return lesson, int(number)
