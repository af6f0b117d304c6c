"""An experiment of lesson 1.1d: two sites sell from quotas and trade rights, whatever fails.

Each site has six rights to sell stoves, keeps them in a database of its own, and trades them with
the lesson's `share`. For six seconds, customers come to the east five times a second, and to the
west twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from labkit.base import DatabaseUnavailable
from labkit.inventory import OutOfStock, Quotas, create_quotas
from labkit.lessons.shared.two_sites import SITES, site_app
from labkit.world import World

RIGHTS = 6
EVERY = {"east": 0.2, "west": 0.5}
Share = Callable[[World, Quotas, str], Awaitable[None]]


async def quota_trade(world: World, share: Share, seconds: float = 6.0) -> int:
    """How many stoves were sold after so many seconds, by what the sites' own databases say."""

    async def site() -> None:
        here = world.here()
        other = SITES[1] if here == SITES[0] else SITES[0]
        quotas = Quotas(world.database(f"{here} store", timeout=1.0), here)

        async def sell() -> str:
            await quotas.take("stove", 1)
            world.record("sold")
            return world.new_id("order-")

        async def left() -> int:
            return (await quotas.known("stove")).rights(here)

        world.serve(here, site_app(sell, left, quotas.state))
        trading = asyncio.create_task(_trade(world, share, quotas, other))
        while True:
            await asyncio.sleep(EVERY[here])
            with suppress(OutOfStock, DatabaseUnavailable):
                await sell()
            if trading.done():
                trading.result()

    for name in SITES:
        store = world.database(f"{name} store")
        await create_quotas(store, {"stove": dict.fromkeys(SITES, RIGHTS)})
    for name in SITES:
        world.node(name).boot(site)
    await asyncio.sleep(seconds)
    sold = 0
    for name in SITES:
        known = await Quotas(world.database(f"{name} store"), name).known("stove")
        sold += known.sold(name)
    return sold


async def _trade(world: World, share: Share, quotas: Quotas, other: str) -> None:
    while True:
        with suppress(DatabaseUnavailable):  # the answer to a gift was lost: look again
            await share(world, quotas, other)
