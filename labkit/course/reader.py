"""The reader's own code: is it still a stub, and where in it did an exception come from?

Paths and addresses never appear: a cell's code is named by its function, its line in the cell and
the text of that line."""

from __future__ import annotations

import dis
import functools
import inspect
import linecache
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

import labkit
from labkit.course.shown import without_addresses
from labkit.sim import SimulationError

_SETTING_UP = {
    "CACHE",
    "COPY_FREE_VARS",
    "MAKE_CELL",
    "NOP",
    "POP_TOP",
    "PUSH_NULL",
    "RESUME",
    "RETURN_GENERATOR",
}


def unwritten(answer: Any) -> list[str]:
    """The names of the answer's functions that do nothing but `raise NotImplementedError`."""
    return [name for name, code in _functions(answer) if _is_stub(code)]


def _functions(answer: Any) -> Iterator[tuple[str, CodeType]]:
    if isinstance(answer, functools.partial):
        answer = answer.func
    if inspect.isroutine(answer):
        function = inspect.unwrap(answer)
        if hasattr(function, "__code__"):
            yield function.__name__, function.__code__
        return
    kind = answer if isinstance(answer, type) else type(answer)
    seen: set[str] = set()
    for owner in kind.__mro__:
        if owner.__module__ != kind.__module__:
            continue
        for name, member in vars(owner).items():
            member = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if (
                name not in seen
                and inspect.isroutine(member)
                and hasattr(inspect.unwrap(member), "__code__")
            ):
                yield name, inspect.unwrap(member).__code__
            seen.add(name)


def _is_stub(code: CodeType) -> bool:
    for step in dis.get_instructions(code):
        if step.opname not in _SETTING_UP:
            return step.argval in ("NotImplementedError", NotImplementedError)
    return False


def root(error: BaseException) -> BaseException:
    """The exception under the wrappers that a simulated world and a task group put around it."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif isinstance(error, SimulationError) and error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


def describe(error: BaseException) -> str:
    """Type and message, without addresses."""
    text = without_addresses(str(error)).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def where(error: BaseException, answer: Any) -> str | None:
    """The innermost line of the reader's code that the exception passed through; None when it never
    did.
    """
    theirs = {code.co_filename for _, code in _functions(answer)}
    frames = list(_frames(error.__traceback__))
    for frame, line in [
        pair for pair in reversed(frames) if pair[0].f_code.co_filename in theirs
    ] or [pair for pair in reversed(frames) if not is_library(pair[0].f_code.co_filename)]:
        text = linecache.getline(frame.f_code.co_filename, line).strip()
        return f"line {line}, in {_name(frame.f_code)}" + (f":  {text}" if text else "")
    return None


def where_used(error: BaseException) -> str | None:
    """The innermost line of a judge that the exception passed through, as the exercise's own use of
    the answer.

    None when the judge itself raised: its message says it all.
    """
    for frame, line in reversed(list(_frames(error.__traceback__))):
        if frame.f_globals.get("__name__", "").startswith("labkit.lessons."):
            text = linecache.getline(frame.f_code.co_filename, line).strip()
            return None if text.startswith("raise ") else f"the exercise does:  {text}"
    return None


def explained(error: BaseException) -> list[str]:
    """What the message of an exception does not say: a judge's notes on it, what a foreign event
    loop means here, and where a coroutine comes from.
    """
    notes = [*getattr(error, "__notes__", ())]
    if isinstance(error, RuntimeError) and re.search(r"different (event )?loop", str(error)):
        notes.append("The clients are separate machines: they share no Python object.")
    if re.search("'coroutine' object|<coroutine object", str(error)):
        notes.append("An async function returns a coroutine: is an `await` missing?")
    return notes


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _name(code: CodeType) -> str:
    return code.co_qualname.rpartition("<locals>.")[2]


def is_library(filename: str) -> bool:
    """Whether the code of this file is Python's, a package's or labkit's own."""
    paths = sysconfig.get_paths()
    homes = [
        Path(labkit.__file__).parent,
        *(Path(paths[name]) for name in ("stdlib", "purelib", "platlib")),
    ]
    return filename.startswith("<") or any(Path(filename).is_relative_to(home) for home in homes)
