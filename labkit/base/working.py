"""What every worker of this folder does alike: repeat a step for ever, survive what passes, and say
what it does.

Shows: `work(step, poll=…)` calls `step()`, which says how much it did. When it did something it is
called again at once; when it did nothing, or the database or the broker could not be reached, after
`poll` seconds.

Guarantees: a trouble that passes does not end the worker, and is told to `observe`. A mistake in
the code does end it, so that whoever started it hears of it. Leaves out: backing off, restarting a
worker that ended."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from labkit.base.errors import DatabaseUnavailable
from labkit.base.observe import Observe, ignore

PASSING = (DatabaseUnavailable, RedisError, OSError)
"""What is the matter with a server and not with the code. (`TimeoutError` is an `OSError`.)"""


async def work(
    step: Callable[[], Awaitable[int]], *, poll: float, observe: Observe = ignore
) -> None:
    """Do the step for ever, with `poll` seconds between two in which nothing was done. Ends by
    cancellation.
    """
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
