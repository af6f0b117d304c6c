"""What can happen to the pivot, and a step that takes a time-out for a no: for lesson 1.2b."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from labkit.base import Refused
from labkit.sagas import Context
from labkit.world import Crash

PATIENCE = 0.2  # seconds, less than the step's own time-out
SLOW = ({"book": (5.0, 0.0)}, {"book": (0.0, 5.0)})  # it acts late, or it answers late
HOW: Mapping[str, Sequence[tuple[Mapping[str, tuple[float, float]], list[Crash]]]] = {
    "acts or answers late": [(slow, []) for slow in SLOW],
    "books, and crashes": [({}, [Crash("carrier", after="book", restart_after=60)])],
    "is down at first": [({}, [Crash("carrier", at=0, restart_after=60)])],
}
"""What the carrier does: the cases of each, as `slow` of `checkout` and its faults."""


def impatient(call: Callable[[Context], Awaitable[str]]) -> Callable[[Context], Awaitable[str]]:
    """The call, but no answer within `PATIENCE` is reported as a refusal."""

    async def attempt(context: Context) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                return await call(context)
        except TimeoutError:
            raise Refused("no answer") from None

    return attempt
