"""The log of one order that lesson 1.2a writes in its step 1, in a Redis that syncs every write to
its disk.

Every write and every finished call is recorded as an event "step", so that a crash can strike after
each of them.

Leaves out: a claim on the order, and a log that does not answer. `labkit.sagas` has both.
"""

from __future__ import annotations

import asyncio
from typing import Any

from labkit.lessons.shared.checkout import post
from labkit.world import Run, World

PAUSE = 0.01  # seconds


class Log(dict[str, str]):
    """What is started, done and undone of one order, by verb."""

    async def load(self, world: World, order: str) -> None:
        """Read what an earlier life has written."""
        self._world, self._redis, self._order = world, world.redis("journal"), order
        found: dict[Any, Any] = await self._redis.hgetall(order)
        for what, how in found.items():
            self[what.decode()] = how.decode()

    async def save(self, changes: dict[str, str]) -> None:
        """One write, on disk when this returns."""
        self.update(changes)
        await self._redis.hset(self._order, mapping=dict[Any, Any](changes))
        said = " ".join(f"{what}:{how}" for what, how in changes.items())
        self._world.record("step", saved=said)


def saved(run: Run) -> list[str]:
    """What was written into the log during a run, in order."""
    return [event.data["saved"] for event in run.history.of("step") if "saved" in event.data]


async def call(world: World, verb: str, order: str) -> None:
    """Ask the verb's service, under the order's number. Raises `Refused`, and `TimeoutError` after
    a pause, so that a caller who asks again does not do so in a tight loop.
    """
    try:
        await post(world, verb, order)
    except TimeoutError:
        await asyncio.sleep(PAUSE)
        raise
    world.record("step", called=verb)
