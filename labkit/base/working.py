"""A worker's loop: repeat a step for ever, outlive failures that pass, and report them.

`work(step, poll=…)` calls `step()`, which returns how much it did. If it did something, it is
called again at once. If it did nothing, or a database or broker could not be reached, it is called
again after `poll` seconds.

Guarantees: a transient failure does not end the worker, and is reported to `observe` as "trouble".
Anything else is a mistake in the code and ends it, so that whoever started the worker hears of it.
A step that handles several pieces of work keeps one that fails from starving the others: it goes
through all of them before it raises.

Leaves out: backing off, and restarting a worker that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from labkit.base.errors import DatabaseUnavailable
from labkit.base.observe import Observe, ignore
from labkit.base.validation import between

TRANSIENT = (DatabaseUnavailable, RedisError, OSError)
"""Errors that speak of a server and not of the code. (`TimeoutError` is an `OSError`.)"""


async def work(
    step: Callable[[], Awaitable[int]], *, poll: float, observe: Observe = ignore
) -> None:
    """Repeat the step for ever, with `poll` seconds (0.001 to 86,400) after one that did nothing or
    met trouble. Ends by cancellation, or by an error that is not `TRANSIENT`.
    """
    between(poll, "poll", 0.001, 86_400.0)
    while True:
        try:
            done = await step()
        except TRANSIENT as error:
            done = 0
            observe("trouble", error=type(error).__name__)
        if not done:
            await asyncio.sleep(poll)
