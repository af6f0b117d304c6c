"""How a call of a step ends: a result, or an error, and what the error says of "did it happen?".

Shows: the rules of an orchestrator, each a function.
- `ended`: a time-out is no result; and a cancellation that was born inside the step is not our own.
- `outcome`: only an error that says so itself means that nothing happened. A program that merely
  broke may have had its effect.
- `its_own`: an OSError of the step's is not the database's.
- `as_json`: what a later step sees must not depend on whether there was a crash in between.
- `said`: whatever a step raises, short of a BaseException, becomes a short text that every database
  takes.

Leaves out: what the call does after its time-out. It is cancelled here; what it has sent is on its
way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
MOST_SAID = 500
"""Characters of an error that are kept."""


@contextmanager
def only_our_cancellation(whose: str) -> Iterator[None]:
    """Lets our own cancellation through. One that was born inside (what it waited for was
    cancelled) becomes a RuntimeError.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task is not None else 0
    try:
        yield
    except asyncio.CancelledError:
        if task is not None and task.cancelling() > asked:
            raise
        raise RuntimeError(f"something that the {whose} waited for was cancelled") from None


async def ended(call: Awaitable[Any], limit: float) -> tuple[Any, Exception | None]:
    """How a call ends within `limit` seconds: its result, or its error. Only our own cancellation
    goes through.
    """
    try:
        with only_our_cancellation("step"):
            async with asyncio.timeout(limit) as timer:
                return as_json(await call), None
    except Exception as error:
        return None, TimeoutError(f"no answer within {limit:g} s") if timer.expired() else error


async def its_own(call: Awaitable[T]) -> T:
    """The result of code that runs in a transaction. An OSError of its own must not be taken for
    the database's: it is raised as a RuntimeError, and so counts."""
    try:
        return await call
    except OSError as error:
        raise RuntimeError(said(error)) from error


def as_json(value: Any) -> Any:
    """The value as it will be read back from the database: what a later step sees must not depend
    on a crash in between.
    """
    return json.loads(json.dumps(value, allow_nan=False))


def outcome(error: Exception) -> str:
    """Did it happen? "failed" (no) only if the error says so itself; a program that merely broke
    may have had its effect.
    """
    with suppress(Exception):  # what is asked is code of the step's, which has just failed
        return "failed" if getattr(error, "outcome", None) == "failed" else "unknown"
    return "unknown"


def said(error: Exception) -> str:
    """The error as it is written down: at most `MOST_SAID` characters behind its type, no SQL and
    no values.
    """
    text = ""
    with suppress(Exception):
        text = str(error.orig).partition("\n")[0] if isinstance(error, DBAPIError) else str(error)
    text = text.encode("utf-8", "replace").decode().replace("\0", "?")[:MOST_SAID]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
