"""A missing `await` in the reader's code, told with the line.

Python warns when a coroutine is thrown away that nobody awaited, on a stream that a judge's output
would hide. The warning names the line, because a coroutine without a name dies where it was made.

Leaves out: a coroutine that is kept somewhere until after the judge has come back."""

from __future__ import annotations

import linecache
import re
import warnings
from collections.abc import Callable
from typing import TypeVar

from labkit.course.reader import is_library

T = TypeVar("T")
_NEVER_AWAITED = re.compile(r"coroutine '(.+)' was never awaited")


def noticing_forgotten_awaits(work: Callable[[], T]) -> tuple[T, list[str]]:
    """What `work()` returns, and a line for the first place where the reader's code calls a
    coroutine function and does not await it. Other warnings are shown as ever.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("default", r"coroutine .* was never awaited", RuntimeWarning)
        made = work()
    told: list[str] = []
    for warning in caught:
        found = _NEVER_AWAITED.search(str(warning.message))
        if found is None:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        elif not told and not is_library(warning.filename):
            text = linecache.getline(warning.filename, warning.lineno).strip()
            told = [
                f"Is an `await` missing? Your code calls {_short(found[1])}, and nobody awaits it:",
                f"    line {warning.lineno}:  {text}",
            ]
    return made, told


def _short(name: str) -> str:
    return name.rpartition("<locals>.")[2]
