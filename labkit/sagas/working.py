"""What every worker of this folder does alike: repeat a step for ever, survive what passes, and say what it does.

Shows: `work(step, poll=…)` calls `step()`, which says how much it did. When it did something it is called again at once; when
it did nothing, or the database or the broker could not be reached, after `poll` seconds.

Guarantees: a trouble that passes does not end the worker, and is told to `observe`. A mistake in the code does end it, so that
whoever started it hears of it. Leaves out: backing off, restarting a worker that ended.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis.exceptions import RedisError

from labkit.consistency.errors import DatabaseUnavailable

PASSING = (DatabaseUnavailable, RedisError, OSError)
"""What is the matter with a server and not with the code. (`TimeoutError` is an `OSError`.)"""


class Observe(Protocol):
    """Told at each point at which something has just become true: `observe("published", id=…)`; `world.record` is one."""

    def __call__(self, kind: str, /, **facts: Any) -> object: ...


def ignore(kind: str, /, **facts: Any) -> None:
    """The observer of nobody."""


def at_least_one(**numbers: int) -> None:
    """Raises `ValueError` for a number below 1, by its name: a round that can do nothing would be repeated for ever."""
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number!r}")


async def work(step: Callable[[], Awaitable[int]], *, poll: float, observe: Observe = ignore) -> None:
    """Do the step for ever, with `poll` seconds between two in which nothing was done. Ends by cancellation."""
    if not 0 < poll < math.inf:
        raise ValueError(f"poll must be more than 0 seconds and finite, got {poll!r}")
    while True:
        try:
            done = await step()
        except PASSING as error:
            done = 0
            observe("trouble", error=type(error).__name__)
        if not done:
            await asyncio.sleep(poll)
