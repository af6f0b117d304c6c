"""Placing an order: take the stock, write the order, all in one transaction, with or without a lock
around it.

Shows: the two modes that the lesson compares.
- **Database only** (`locks=None`): guarded UPDATEs, in SKU order, in one transaction. The database
  alone decides.
- **CP with a lock**: a lease on every SKU of the cart first; its fencing token goes into the
  UPDATE. When the lock server cannot be reached there is no lease, and without a lease nothing is
  sold.

Guarantees: never more sold than there was; a cart is sold as a whole or not at all; no statement is
given longer than the lease has left, nothing commits once the lease is known to have ended, and
after a newer holder has sold, the fence refuses an older one that did not know. Every error says
whether the sale happened: `Refused` and "failed" mean no.

Leaves out: payment, shipping and reservations (the next lessons).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate, reading
from labkit.inventory.errors import UnknownSku
from labkit.inventory.stock import fenced, guarded, inventory, summed, take_all
from labkit.locks.errors import LeaseLost, LockError, LockTimeout
from labkit.shop.models import Order, OrderLine, OrderRequest, ProductView
from labkit.shop.tables import order_lines, orders, products

InTheSameTransaction = Callable[[AsyncConnection, Order], Awaitable[None]]


class Lease(Protocol):
    """A lock held for a while."""

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every earlier lease on the same keys."""

    def remaining(self) -> float:
        """Seconds until it ends, as far as its holder can know; 0 or less once it is lost."""


class Locks(Protocol):
    """What gives leases; `labkit.locks.LockManager` does."""

    def hold(self, *keys: str) -> AbstractAsyncContextManager[Lease]:
        """Hold all of `keys` over a block. Raises `LockError`, and cancels the block when the lease
        is lost.
        """


class LockUnavailable(Exception):
    """There is no lease, or it ended. `outcome` of the sale: "failed" (definitely not sold) or
    "unknown".
    """

    def __init__(self, outcome: Literal["failed", "unknown"], why: str) -> None:
        self.outcome: Literal["failed", "unknown"] = outcome
        self.why = why
        super().__init__(
            f"{why}; {'nothing was sold' if outcome == 'failed' else 'the sale may have happened or not'}"
        )


@dataclass(frozen=True)
class _NoLease:
    token: int | None = None

    def remaining(self) -> float:
        return math.inf


@dataclass(frozen=True, repr=False)
class OrderDesk:
    """Takes orders against one database, with `within` seconds for each transaction; `clock` gives
    seconds since 1970.

    Without `locks` the database alone guards the stock.
    """

    engine: AsyncEngine
    clock: Callable[[], float]
    locks: Locks | None = None
    within: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.within < math.inf:
            raise ValueError(f"within must be more than 0 seconds and finite, got {self.within!r}")

    def __repr__(self) -> str:
        return f"<OrderDesk, {'the database alone' if self.locks is None else 'with locks'}, within {self.within:g} s>"

    async def place(
        self, order_id: str, request: OrderRequest, also: InTheSameTransaction | None = None
    ) -> Order:
        """Sell the cart as order `order_id`; `also` runs in the same transaction, before its
        commit.

        Raises `UnknownSku`, `OutOfStock` or `StaleToken` (not sold); `LockUnavailable` or
        `DatabaseUnavailable` (see their `outcome`)."""
        demand = summed((item.sku, item.quantity) for item in request.items)
        committing = False
        try:
            async with self._lease(demand) as lease:
                async with begin_immediate(
                    self.engine, within=min(self.within, _left(lease))
                ) as connection:
                    order = await self._sell(
                        connection, order_id, request.customer, demand, lease.token
                    )
                    if also is not None:
                        await also(connection, order)
                    _left(lease)
                    committing = True
                return order
        except LockError as error:
            raise LockUnavailable("unknown" if committing else "failed", _reason(error)) from error

    async def order(self, order_id: str) -> Order | None:
        """The order of this id, as it was placed; None when there is none. Raises
        `DatabaseUnavailable`.
        """
        async with reading(self.engine, within=self.within) as connection:
            head = (
                await connection.execute(select(orders).where(orders.c.id == order_id))
            ).one_or_none()
            if head is None:
                return None
            lines = await connection.execute(
                select(order_lines)
                .where(order_lines.c.order_id == order_id)
                .order_by(order_lines.c.sku)
            )
            rows = [(line.sku, line.quantity, line.unit_price_cents) for line in lines]
        return _order(order_id, head.customer, head.created_at, rows)

    async def product(self, sku: str) -> ProductView | None:
        """The product with its stock at this moment; None when there is none. Raises
        `DatabaseUnavailable`.
        """
        found = select(products, inventory.c.stock).join(
            inventory, inventory.c.sku == products.c.sku
        )
        async with reading(self.engine, within=self.within) as connection:
            row = (await connection.execute(found.where(products.c.sku == sku))).one_or_none()
        return (
            None
            if row is None
            else ProductView(sku=sku, name=row.name, price_cents=row.price_cents, stock=row.stock)
        )

    @asynccontextmanager
    async def _lease(self, demand: dict[str, int]) -> AsyncIterator[Lease | _NoLease]:
        if self.locks is None:
            yield _NoLease()
            return
        async with self.locks.hold(*(f"stock:{sku}" for sku in demand)) as lease:
            yield lease

    async def _sell(
        self,
        connection: AsyncConnection,
        order_id: str,
        customer: str,
        demand: dict[str, int],
        token: int | None,
    ) -> Order:
        found = await connection.execute(
            select(products.c.sku, products.c.price_cents).where(products.c.sku.in_(demand))
        )
        prices = {row.sku: row.price_cents for row in found}
        for sku in demand:
            if sku not in prices:
                raise UnknownSku(sku)
        await take_all(connection, demand, guarded if token is None else fenced(token))
        rows = [(sku, quantity, prices[sku]) for sku, quantity in demand.items()]
        order = _order(order_id, customer, self.clock(), rows)
        head = {
            "id": order_id,
            "customer": customer,
            "created_at": order.created_at.timestamp(),
            "total_cents": order.total_cents,
        }
        await connection.execute(insert(orders).values(head))
        await connection.execute(
            insert(order_lines),
            [{"order_id": order_id, **line.model_dump()} for line in order.lines],
        )
        return order


def _left(lease: Lease | _NoLease) -> float:
    """Seconds the lease has left; none left is an error."""
    if (left := lease.remaining()) <= 0:
        raise LockUnavailable("failed", "the lease ended before the sale was committed")
    return left


def _reason(error: LockError) -> str:
    if isinstance(error, LockTimeout):
        return "the lock on this stock was not free in time"
    return (
        "the lease ended before the sale was committed"
        if isinstance(error, LeaseLost)
        else "the lock server did not answer"
    )


def _order(
    order_id: str, customer: str, created_at: float, rows: list[tuple[str, int, int]]
) -> Order:
    return Order(
        id=order_id,
        customer=customer,
        created_at=datetime.fromtimestamp(created_at, UTC),
        lines=[
            OrderLine(sku=sku, quantity=quantity, unit_price_cents=price)
            for sku, quantity, price in rows
        ],
        total_cents=sum(quantity * price for _, quantity, price in rows),
    )
