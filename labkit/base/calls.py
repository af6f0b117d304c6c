"""Run code that was handed to us (a saga's step, a subscriber's reaction) and tell its errors from
our own.

- `only_our_cancellation`: a cancellation that began inside the code is its failure, not ours.
- `relabel_os_errors`: an OSError of the code is not the database's.
- `describe`: an error as a short text that every database can store.

Leaves out: errors that are no `Exception` (SystemExit, KeyboardInterrupt); they pass through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
MAX_MESSAGE = 500
"""Characters of an error's message that are kept."""


@contextmanager
def only_our_cancellation(whose: str) -> Iterator[None]:
    """Let a cancellation of this task through. One that began inside the block (something it waited
    for was cancelled) becomes a RuntimeError.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task is not None else 0
    try:
        yield
    except asyncio.CancelledError:
        if task is not None and task.cancelling() > asked:
            raise
        raise RuntimeError(f"something that the {whose} waited for was cancelled") from None


async def relabel_os_errors(call: Awaitable[T]) -> T:
    """Await code that runs inside a transaction. Its OSError becomes a RuntimeError, because
    `begin_immediate` takes an OSError for the database's and reports `DatabaseUnavailable`.
    """
    try:
        return await call
    except OSError as error:
        raise RuntimeError(describe(error)) from error


def describe(error: Exception) -> str:
    """The error's type and up to `MAX_MESSAGE` characters of its message. Of a database error,
    neither the SQL nor the values; nothing that a text column refuses (NUL, half a surrogate pair).
    """
    message = ""
    with suppress(Exception):  # the error's own __str__ may raise
        message = str(error)
        if isinstance(error, DBAPIError):
            message = str(error.orig).partition("\n")[0]
    message = message.encode("utf-8", "replace").decode().replace("\0", "?")[:MAX_MESSAGE]
    name = type(error).__name__
    return f"{name}: {message}" if message else name
