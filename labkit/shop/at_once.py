"""An order carried out at once: its stock is taken and the order written in one transaction of one
database, with or without a lock around it.

Shows: the two ways to guard the stock that lesson 1.1 compares.
- **Database only** (`locks=None`): guarded UPDATEs, sorted by SKU. The database alone decides.
- **Lock first**: a lease on every SKU of the cart; its fencing token goes into the UPDATE. When the
  lock server cannot be reached there is no lease, and without a lease nothing is sold.

Guarantees: stock never below zero; a cart is sold as a whole or not at all. With locks: no
transaction is given more time than the lease has left, nothing commits once the lease is known to
have ended, and after a newer holder has sold, the fence refuses an older one. Every error says
whether the sale happened: `Refused` and "failed" mean no.

Leaves out: payment and shipping. The order is completed when its stock is taken.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate
from labkit.inventory.stock import create_inventory, fenced, guarded, inventory, take_all
from labkit.locks.errors import LeaseLost, LockError, LockTimeout
from labkit.shop.catalogue import Product
from labkit.shop.orders import InTheSameTransaction, Order, OrderRequest, create, open_orders


class FencedLease(Protocol):
    """What `Locks` gives: an exclusive right that ends, with a fencing token."""

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every earlier lease on the same keys."""

    def remaining(self) -> float:
        """Seconds left, as far as the holder can know; 0 or less once the lease is lost."""


class Locks(Protocol):
    """What gives leases; `labkit.locks.LockManager` does."""

    def hold(self, *keys: str) -> AbstractAsyncContextManager[FencedLease]:
        """Hold all of `keys` over a block. Raises `LockError`, and cancels the block when the lease
        is lost.
        """


class LockUnavailable(Exception):
    """The lease could not be acquired, or it ended. `outcome` of the sale: "failed" (definitely not
    sold) or "unknown".
    """

    def __init__(self, outcome: Literal["failed", "unknown"], why: str) -> None:
        self.outcome: Literal["failed", "unknown"] = outcome
        self.why = why
        happened = (
            "nothing was sold" if outcome == "failed" else "the sale may have happened or not"
        )
        super().__init__(f"{why}; {happened}")


@dataclass(frozen=True)
class _NoLease:
    token: int | None = None

    def remaining(self) -> float:
        return math.inf


@dataclass(frozen=True, repr=False)
class AtOnce:
    """Carries out orders in one database: 201, completed.

    `clock` gives seconds since 1970; `within` bounds each transaction, in seconds. Without `locks`
    the database alone guards the stock."""

    engine: AsyncEngine
    clock: Callable[[], float]
    locks: Locks | None = None
    within: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.within < math.inf:
            raise ValueError(f"within must be more than 0 seconds and finite, got {self.within!r}")

    def __repr__(self) -> str:
        guarded_by = "the database alone" if self.locks is None else "with locks"
        return f"<AtOnce, {guarded_by}, within {self.within:g} s>"

    async def place(
        self, order_id: str, request: OrderRequest, also: InTheSameTransaction | None = None
    ) -> Order:
        """Sell the cart as order `order_id`. `also` runs in the same transaction, before its
        commit.

        Raises `UnknownSku`, `OutOfStock`, `StaleToken` or `KeyReused` (not sold);
        `LockUnavailable` or `DatabaseUnavailable` (see their `outcome`)."""
        committing = False
        try:
            async with self._lease(item.sku for item in request.items) as lease:
                within = min(self.within, _left(lease))
                async with begin_immediate(self.engine, within=within) as connection:
                    order, new = await create(
                        connection, order_id, request, self.clock(), "completed"
                    )
                    if new:
                        demand = {line.sku: line.quantity for line in order.lines}
                        take = guarded if lease.token is None else fenced(lease.token)
                        await take_all(connection, demand, take)
                    if also is not None:
                        await also(connection, order)
                    _left(lease)
                    committing = True
                return order
        except LockError as error:
            raise LockUnavailable("unknown" if committing else "failed", _reason(error)) from error

    async def stock(self, connection: AsyncConnection, sku: str) -> int | None:
        """How many there are, in this same database."""
        found: int | None = await connection.scalar(
            select(inventory.c.stock).where(inventory.c.sku == sku)
        )
        return found

    @asynccontextmanager
    async def _lease(self, skus: Iterable[str]) -> AsyncIterator[FencedLease | _NoLease]:
        if self.locks is None:
            yield _NoLease()
            return
        async with self.locks.hold(*(f"stock:{sku}" for sku in sorted(set(skus)))) as lease:
            yield lease


async def open_shop(engine: AsyncEngine, catalogue: Iterable[Product]) -> None:
    """Create the tables that orders at once need, in one database, and put these products into
    catalogue and inventory.
    """
    shelf = tuple(catalogue)
    await open_orders(engine, shelf)
    await create_inventory(engine, {product.sku: product.stock for product in shelf})


def _left(lease: FencedLease | _NoLease) -> float:
    """Seconds the lease has left; none left is an error."""
    if (left := lease.remaining()) <= 0:
        raise LockUnavailable("failed", "the lease ended before the sale was committed")
    return left


def _reason(error: LockError) -> str:
    if isinstance(error, LockTimeout):
        return "the lock on this stock was not free in time"
    if isinstance(error, LeaseLost):
        return "the lease ended before the sale was committed"
    return "the lock server did not answer"
