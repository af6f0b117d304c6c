"""Inventory that never oversells: three ways to take stock in SQL, one signature.

Shows: a `Take` is `async (connection, sku, quantity) -> remaining`, inside a transaction that the
caller owns:
- `guarded`: one UPDATE that carries its own condition. Nothing can come between the check and the
  write. The default.
- `row_locked`: SELECT … FOR UPDATE, check, UPDATE. PostgreSQL locks the row. SQLite has no row
  locks and SQLAlchemy leaves the clause out: there, only the BEGIN IMMEDIATE of `begin_immediate`
  makes it right.
- `fenced(token)`: the guarded UPDATE that also refuses a fencing token older than the newest one
this row has seen. `Inventory` runs one of them in its own transaction: `await
Inventory(engine).sell("tent", 1)`.

Guarantees, on any schedule: stock never goes below zero (the WHERE, and a CHECK behind it); several
SKUs are taken all or none, demand summed per SKU, in sorted order, so that two carts cannot
deadlock; after a fenced sale no older token sells from that row.

Leaves out: reservations, back-orders, several warehouses. The guard alone prevents overselling;
fencing is for what a guard cannot say (the holder of a newer lease must not be overwritten by an
older one).

Sources: PostgreSQL 18, "Explicit Locking" and "Transaction Isolation" (an UPDATE that waited for a
row checks its WHERE again); Kleppmann 2016, "How to do distributed locking" (fencing tokens)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    case,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import StaleToken
from labkit.base.fencing import fenced_update
from labkit.base.transactions import begin_immediate, create_tables, insert_if_new, reading
from labkit.base.validation import whole
from labkit.inventory.errors import OutOfStock, UnknownSku

Take = Callable[[AsyncConnection, str, int], Awaitable[int]]

CHUNK = 500
"""How many rows one statement names: databases bound the number of parameters."""

metadata = MetaData()
inventory = Table(
    "inventory",
    metadata,
    Column("sku", String(64), primary_key=True),
    Column("stock", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("stock >= 0", name="stock_not_negative"),
)


async def guarded(connection: AsyncConnection, sku: str, quantity: int) -> int:
    """UPDATE … SET stock = stock - q WHERE sku = … AND stock >= q; no row changed means refused."""
    return await _conditional_update(connection, sku, quantity, token=None)


def fenced(token: int) -> Take:
    """`guarded`, and refused with `StaleToken` when the row has seen a token newer than `token`."""

    async def take(connection: AsyncConnection, sku: str, quantity: int) -> int:
        return await _conditional_update(connection, sku, quantity, token=token)

    take.__name__ = f"fenced({token})"
    return take


async def row_locked(connection: AsyncConnection, sku: str, quantity: int) -> int:
    """SELECT … FOR UPDATE, then check, then write what was computed. Needs `begin_immediate` around
    it on SQLite.
    """
    _validate(quantity)
    found = await connection.execute(
        select(inventory.c.stock).where(inventory.c.sku == sku).with_for_update()
    )
    stock = found.scalar_one_or_none()
    if stock is None:
        raise UnknownSku(sku)
    if stock < quantity:
        raise OutOfStock(sku, quantity, stock)
    remaining: int = stock - quantity
    await connection.execute(
        update(inventory).where(inventory.c.sku == sku).values(stock=remaining)
    )
    return remaining


async def take_all(
    connection: AsyncConnection, demand: Mapping[str, int], take: Take = guarded
) -> dict[str, int]:
    """Take every SKU of `demand` in sorted order; the first refusal raises, and the caller's
    transaction undoes the rest.
    """
    return {sku: await take(connection, sku, demand[sku]) for sku in sorted(demand)}


async def put_back(connection: AsyncConnection, units: Mapping[str, int]) -> None:
    """Add units to what is on hand, in SKU order. A SKU that the inventory has lost meanwhile is
    there again with its units: one lost row must not keep a sweeper from all others."""
    for sku in sorted(units):
        shelf = (
            update(inventory)
            .where(inventory.c.sku == sku)
            .values(stock=inventory.c.stock + units[sku])
        )
        if not (await connection.execute(shelf)).rowcount:
            await connection.execute(
                insert_if_new(inventory).values(sku=sku, stock=0)
            )  # another may restore it as well
            await connection.execute(shelf)


async def lock_all(connection: AsyncConnection, skus: Iterable[str]) -> None:
    """Lock the rows of these SKUs in the order in which `take_all` takes them; a database may sort
    "B" behind "a".
    """
    ordered = sorted(skus)
    for first in range(0, len(ordered), CHUNK):
        some = {sku: place for place, sku in enumerate(ordered[first : first + CHUNK])}
        rows = (
            select(inventory.c.sku)
            .where(inventory.c.sku.in_(some))
            .order_by(case(some, value=inventory.c.sku))
        )
        await connection.execute(rows.with_for_update())


def summed(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Demand per SKU, sorted: two lines of one SKU are one demand, or each passes the check that
    their sum fails.
    """
    demand: Counter[str] = Counter()
    for sku, quantity in lines:
        demand[sku] += quantity
    return dict(sorted(demand.items()))


@dataclass(frozen=True)
class Inventory:
    """Sells from the `inventory` table of one engine, one transaction a call, by one way of taking
    stock.

    `within` bounds each call, in seconds. Every method raises `Refused` or `StaleToken` (it did not
    happen), or `DatabaseUnavailable` (see its `outcome`)."""

    engine: AsyncEngine
    take: Take = guarded
    within: float | None = None

    async def sell(self, sku: str, quantity: int) -> int:
        """Take `quantity` (at least 1) of `sku`; returns what remains."""
        async with begin_immediate(self.engine, within=self.within) as connection:
            return await self.take(connection, sku, quantity)

    async def sell_all(self, lines: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Take every line or none; returns what remains of each SKU."""
        async with begin_immediate(self.engine, within=self.within) as connection:
            return await take_all(connection, summed(lines), self.take)

    async def stock(self, sku: str) -> int:
        """What is there now; it may be gone by the time it is read."""
        async with reading(self.engine, within=self.within) as connection:
            stock: int | None = await connection.scalar(
                select(inventory.c.stock).where(inventory.c.sku == sku)
            )
        if stock is None:
            raise UnknownSku(sku)
        return stock

    def __repr__(self) -> str:
        return f"<Inventory, {getattr(self.take, '__name__', 'custom')}>"


async def create_inventory(engine: AsyncEngine, stock: Mapping[str, int]) -> None:
    """Create the `inventory` table, if need be, with this many of each SKU."""
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
        if stock:
            await connection.execute(
                insert(inventory), [{"sku": sku, "stock": stock[sku]} for sku in sorted(stock)]
            )


async def _conditional_update(
    connection: AsyncConnection, sku: str, quantity: int, *, token: int | None
) -> int:
    _validate(quantity)
    sale = update(inventory).where(inventory.c.sku == sku, inventory.c.stock >= quantity)
    sale = sale.values(stock=inventory.c.stock - quantity).returning(inventory.c.stock)
    if token is not None:
        sale = fenced_update(sale, inventory.c.fence, token)
    remaining: int | None = (await connection.execute(sale)).scalar_one_or_none()
    if remaining is not None:
        return remaining
    row = (
        await connection.execute(
            select(inventory.c.stock, inventory.c.fence).where(inventory.c.sku == sku)
        )
    ).one_or_none()
    if row is None:
        raise UnknownSku(sku)
    if token is not None and token < row.fence:
        raise StaleToken(sku, seen=row.fence, given=token)
    raise OutOfStock(sku, quantity, row.stock)


def _validate(quantity: int) -> None:
    whole("quantity", quantity, 1)
