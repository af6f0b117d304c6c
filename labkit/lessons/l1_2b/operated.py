"""A saga that waits for an operator, and somebody who comes after a minute: for lesson 1.2b."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from labkit.lessons.shared.checkout import Saga
from labkit.lessons.shared.driven import Define, driven, orchestrator, three_steps
from labkit.sagas import Orchestrator
from labkit.world import World

AFTER = 60.0  # seconds until the operator looks
PARKED = ("compensation_failed", "stuck")


def operated(
    intervene: Callable[[World, Orchestrator, str], Awaitable[object]],
    define: Define = three_steps,
) -> Saga:
    """The definition as a saga of `checkout`. When it is parked, its status is recorded, and a
    minute later the operator does `intervene(world, orchestrator, saga_id)`.
    """
    alone = driven(define)

    async def saga(world: World, data: dict[str, Any]) -> str:
        said = await alone(world, data)
        if said in PARKED:
            mine = orchestrator(world, define(world))
            world.record("parked", **await mine.status(data["order"]))
            await asyncio.sleep(AFTER)
            await intervene(world, mine, data["order"])
            said = await mine.drive(data["order"])
        return said

    return saga
