"""A shop for a test: its service on a fresh database, a client of it, and an independent look into
its tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.shop.app import create_app
from labkit.shop.at_once import AtOnce, Locks, open_shop
from labkit.shop.catalogue import Product
from tests.support.engines import engine_on

SHELF = (
    Product("tent", "Tent", 18900, 10),
    Product("mat", "Mat", 8900, 5),
    Product("mug", "Mug", 1290, 0),
)


def cart(*items: tuple[str, int], customer: str = "ada", country: str = "PT") -> dict[str, Any]:
    """The body of an order."""
    wanted = [{"sku": sku, "quantity": quantity} for sku, quantity in items]
    return {"customer": customer, "country": country, "items": wanted}


ONE_TENT = cart(("tent", 1))


@dataclass
class FakeLease:
    """A lease that says what it is told to say."""

    token: int = 1
    left: list[float] = field(default_factory=lambda: [10.0])

    def remaining(self) -> float:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@dataclass
class FakeLocks:
    """Locks that hand out one lease, after `gate` opens, or raise `error`; `keys` is what was asked
    for.
    """

    granted: FakeLease = field(default_factory=FakeLease)
    error: Exception | None = None
    gate: asyncio.Event | None = None
    keys: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def hold(self, *keys: str) -> AsyncIterator[FakeLease]:
        self.keys.extend(keys)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        yield self.granted


class Shop:
    """The service and what a test does with it. `time` is the service's clock."""

    def __init__(
        self,
        engine: AsyncEngine,
        locks: Locks | None,
        within: float = 5.0,
        claim_for: float = 60.0,
    ) -> None:
        self.engine = engine
        self.time = 1_700_000_000.25
        numbers = count(1)
        self.app = create_app(
            AtOnce(engine, lambda: self.time, locks, within),
            ids=lambda prefix: f"{prefix}{next(numbers)}",
            claim_for=claim_for,
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://orders"
        )

    async def order(self, body: Any = ONE_TENT, key: str | None = None) -> httpx.Response:
        return await self.client.post(
            "/orders", json=body, headers={} if key is None else {"Idempotency-Key": key}
        )

    async def stock(self, sku: str = "tent") -> int:
        answer: int = (await self.client.get(f"/products/{sku}")).json()["stock"]
        return answer

    async def books(self) -> dict[str, tuple[int, int, int]]:
        """For each SKU: stock at the start, stock now, sold according to the order lines. Read with
        plain SQL.
        """
        query = """SELECT i.sku, i.stock, coalesce(sum(l.quantity), 0) AS sold
                   FROM inventory i LEFT JOIN order_lines l ON l.sku = i.sku
                   GROUP BY i.sku, i.stock"""
        at_first = {product.sku: product.stock for product in SHELF}
        async with self.engine.connect() as connection:
            rows = (await connection.execute(text(query))).all()
        return {row.sku: (at_first[row.sku], row.stock, row.sold) for row in rows}

    async def assert_books_balance(self) -> None:
        for sku, (at_first, now, sold) in (await self.books()).items():
            assert at_first == now + sold, f"{sku}: {at_first} at first, {now} now, {sold} sold"
        async with self.engine.connect() as connection:
            sums = await connection.execute(
                text("""SELECT o.id, o.total_cents, sum(l.quantity * l.unit_price_cents) AS total
                        FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id
                        GROUP BY o.id, o.total_cents""")
            )
            assert all(row.total_cents == row.total for row in sums), (
                "an order's total is the sum of its lines"
            )


def in_shop(
    url: str,
    scenario: Callable[[Shop], Awaitable[Any]],
    *,
    locks: Locks | None = None,
    **options: Any,
) -> Any:
    """Run `scenario(shop)` on a fresh shop in an event loop of its own, and check its books
    afterwards.
    """

    async def run() -> Any:
        async with engine_on(url) as engine:
            await open_shop(engine, SHELF)
            shop = Shop(engine, locks, **options)
            async with shop.client:
                result = await scenario(shop)
            await shop.assert_books_balance()
            return result

    return asyncio.run(run())
