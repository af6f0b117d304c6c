"""The databases of four services, and what became of the orders in them: both shops of lessons 1.2c
and 1.2d use these.

Shows: `orders`, `warehouse`, `payments` and `shipping`, each with a database of its own, or all
share one. One SKU, one price; bob cannot pay, and only Portugal is served.

Leaves out: who does what with them (`labkit.lessons.shared.two_ways`).
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.transactions import reading
from labkit.inventory.stock import inventory
from labkit.sagas import create_sagas
from labkit.shop.catalogue import Product
from labkit.shop.choreography import open_choreography
from labkit.shop.orders import open_orders, orders
from labkit.shop.payments import accounts, open_payments
from labkit.shop.shipping import open_shipping
from labkit.shop.warehouse import open_warehouse
from labkit.world import World

SERVICES = ("orders", "warehouse", "payments", "shipping")
SKU, PRICE = "stove", 4500
CUSTOMERS = {"ada": 10_000_000, "bob": 0}
"""Cents that each may owe: bob cannot pay."""
SERVED = ("PT",)


class End(NamedTuple):
    """What became of the orders: their statuses, the numbers of charges and refunds, and how many
    units are gone.
    """

    status: str
    charged: int
    refunded: int
    taken: int


class FourStores:
    """The databases of the four services; `apart`: each has its own."""

    def __init__(self, world: World, apart: bool) -> None:
        self._world = world
        self._apart = apart

    def of(self, service: str, timeout: float = 5.0) -> AsyncEngine:
        """A new engine for the database of this service; `timeout` bounds each statement, in
        seconds.
        """
        return self._world.database(f"{service} db" if self._apart else "database", timeout=timeout)

    async def open(self, stock: int) -> None:
        """Create every table, with this many units in the warehouse."""
        for name in SERVICES if self._apart else SERVICES[:1]:
            await open_choreography(self.of(name))
        await open_orders(self.of("orders"), [Product(SKU, "Gas stove", PRICE, stock)])
        await create_sagas(self.of("orders"))
        await open_warehouse(self.of("warehouse"), {SKU: stock})
        await open_payments(self.of("payments"), CUSTOMERS)
        await open_shipping(self.of("shipping"), SERVED)

    async def end(self, stock: int) -> End:
        """Look into all of them; `stock` is how many units there were."""
        async with reading(self.of("orders")) as connection:
            statuses = Counter((await connection.scalars(select(orders.c.status))).all())
        async with reading(self.of("payments")) as connection:
            sums = select(func.sum(accounts.c.charged_cents), func.sum(accounts.c.refunded_cents))
            charged, refunded = (await connection.execute(sums)).one()
        async with reading(self.of("warehouse")) as connection:
            left = (await connection.execute(select(inventory.c.stock))).scalar_one()
        words = [
            status if statuses.total() == 1 else f"{number} {status}"
            for status, number in sorted(statuses.items())
        ]
        return End(
            ", ".join(words) or "never placed",
            int(charged) // PRICE,
            int(refunded) // PRICE,
            stock - left,
        )
