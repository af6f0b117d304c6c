"""How long an order took: counted from its arrival, and for ever when it never ends."""

from __future__ import annotations

import asyncio
from math import inf

from labkit.lessons.shared.customers import waits
from labkit.sim import run
from labkit.world import World


async def three_orders(world: World) -> None:
    """One is done after two seconds, one is accepted and never done, one is never accepted."""
    for order in ("done", "stuck", "turned away"):
        world.record("arrives", order=order)
    for order in ("done", "stuck"):
        world.record("placed", order=order)
    for _ in range(2):
        await asyncio.sleep(1.0)
        world.record("settled", order="done")


def test_a_stuck_order_takes_for_ever_and_one_that_was_turned_away_is_left_out() -> None:
    assert waits(run(three_orders, seed=None)) == {"done": 2.0, "stuck": inf}
