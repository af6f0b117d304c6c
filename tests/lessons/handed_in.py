"""What readers hand in for one exercise, and what each of them is to be told: the tables that
`test_judges.py` goes through.

A lesson's answers are in `answers_<its number>.py`, with a table for each of its exercises in
`EXERCISES`. A new lesson adds such a file, and nothing else, to be tested as all the others are.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """Answers to the exercise `id`, whose judge runs them in one of the `scenarios`.

    A right answer is given the whole budget. One that is right in another way (`right_too`) is
    given a part of it. The mappings say of an answer what its text must contain: what it breaks,
    the reader's line that raised, what was asked for instead."""

    id: str
    scenarios: tuple[Any, ...]
    stub: Any
    to_write: str  # the open functions of the stub
    right: tuple[Any, ...]
    right_too: tuple[Any, ...] = ()
    wrong: Mapping[Any, str] = field(default_factory=dict)
    raising: Mapping[Any, str] = field(default_factory=dict)
    odd: Mapping[Any, str] = field(default_factory=dict)
    forgetful: Mapping[Any, str] = field(default_factory=dict)  # without an await; what they call
    long: tuple[
        Any, ...
    ] = ()  # wrong ones whose smallest run has more messages than a picture shows

    def __repr__(self) -> str:
        return f"<Exercise {self.id}>"


def exercises() -> Iterator[Exercise]:
    """Every table there is, in order of lesson."""
    for path in sorted(Path(__file__).parent.glob("answers_*.py")):
        yield from importlib.import_module(f"tests.lessons.{path.stem}").EXERCISES
