"""An orchestrator without a log, for lesson 1.2a: with services that remember it needs none, as
long as somebody sends the order again after a crash. It also undoes what is unknown.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from labkit.base import Refused
from labkit.lessons.l1_2a.order_log import call
from labkit.lessons.shared.checkout import UNDO
from labkit.world import World


async def unlogged(world: World, data: dict[str, Any]) -> str:
    """Call every service. To turn back, undo everything, called or not, until each has answered."""
    order, left = data["order"], [UNDO[verb] for verb in reversed(UNDO)]
    try:
        for verb in UNDO:
            await call(world, verb, order)
        return "placed"
    except (Refused, TimeoutError):
        while left:
            with suppress(TimeoutError):
                await call(world, left[0], order)
                del left[0]
        return "cancelled"
