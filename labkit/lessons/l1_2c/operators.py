"""What somebody has to do by hand in lesson 1.2c: have a forgotten event published again, and
deliver a dead letter once more. And the bug that made the letter.

Leaves out: who may do it, and how the operator hears of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.transactions import begin_immediate
from labkit.lessons.shared.four_stores import SERVICES
from labkit.messaging import Outbox, RedisStreams, Service
from labkit.shop import shipping
from labkit.shop.choreography import order_services
from labkit.shop.events import order_catalog
from labkit.world import World


async def republish(world: World) -> None:
    """Have every service publish again all that it has ever published."""
    for name in SERVICES:
        outbox = Outbox(name, order_catalog(), clock=world.clock, ids=world.new_id)
        async with begin_immediate(world.database(f"{name} db")) as connection:
            await outbox.republish(connection, since=0)


async def redrive(world: World) -> None:
    """Publish every dead letter once more, and note each ("letter" in the history)."""
    dead = RedisStreams(world.redis()).dead
    for letter in await dead.read():
        world.record("letter", why=letter.reason, tries=letter.deliveries)
        await dead.redrive(letter)


class _Buggy:
    """Shipping whose `book` fails for order-2, until the fix is deployed."""

    def __init__(self, world: World, fixed_at: float) -> None:
        self._world, self._fixed_at = world, fixed_at

    async def book(
        self, connection: AsyncConnection, reference: str, address: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Book a parcel; the address of order-2 has no postcode, and the code asks for one."""
        if reference == "order-2" and self._world.now() < self._fixed_at:
            return {"parcel": address["postcode"]}
        return await shipping.book(connection, reference, address)

    async def cancel(self, connection: AsyncConnection, reference: str) -> dict[str, Any]:
        """Cancel it."""
        return await shipping.cancel(connection, reference)


def with_a_bug(world: World, fixed_at: float = 6.0) -> tuple[Service, ...]:
    """labkit's services; shipping cannot book order-2 before the second `fixed_at`."""
    return order_services(world.clock, parcels=_Buggy(world, fixed_at))
