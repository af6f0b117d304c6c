"""Stock that is never oversold: three ways to take units in SQL, with one signature.

A `Take` is `async (connection, sku, quantity) -> remaining`, inside the caller's transaction:
- `guarded`: one UPDATE that carries its own condition, so nothing can come between the check and
  the write. The default.
- `row_locked`: SELECT … FOR UPDATE, check, UPDATE. PostgreSQL locks the row. SQLite has no row
  locks, and SQLAlchemy leaves the clause out: there, only `begin_immediate` makes it correct.
- `fenced(token)`: the guarded UPDATE that also refuses a fencing token older than the newest one
  this row has seen.

`Inventory` runs one of them in a transaction of its own: `await Inventory(engine).sell("tent", 1)`.

Guarantees, on any schedule: stock never goes below zero (by the WHERE, and a CHECK behind it).
Several SKUs are taken together or not at all, with demand summed per SKU, in sorted order so that
two carts cannot deadlock. After a fenced sale, no older token sells from that row.

Leaves out: reservations, back-orders, several warehouses. The guard alone prevents overselling.
Fencing is for what a guard cannot express: an older lease must not overwrite what a newer one
wrote.

Sources: PostgreSQL 18, "Explicit Locking" and "Transaction Isolation" (an UPDATE that waited for a
row evaluates its WHERE again); Kleppmann 2016, "How to do distributed locking" (fencing tokens).
"""

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
"""Rows that one statement names. Databases limit the number of parameters."""

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
    """UPDATE … SET stock = stock - q WHERE sku = … AND stock >= q; no changed row: refused."""
    return await _conditional_update(connection, sku, quantity, token=None)


def fenced(token: int) -> Take:
    """`guarded`, but raises `StaleToken` if the row has seen a newer token."""

    async def take(connection: AsyncConnection, sku: str, quantity: int) -> int:
        return await _conditional_update(connection, sku, quantity, token=token)

    take.__name__ = f"fenced({token})"
    return take


async def row_locked(connection: AsyncConnection, sku: str, quantity: int) -> int:
    """SELECT … FOR UPDATE, check, UPDATE. On SQLite it needs `begin_immediate` around it."""
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
    """Take every SKU of `demand` in sorted order. The first refusal raises, and rolling back the
    caller's transaction undoes the others.
    """
    return {sku: await take(connection, sku, demand[sku]) for sku in sorted(demand)}


async def put_back(connection: AsyncConnection, units: Mapping[str, int]) -> None:
    """Add units to the stock on hand, in SKU order. If the row of a SKU has been deleted meanwhile,
    it is created again: one lost row must not stop a sweeper from expiring all other holds."""
    for sku in sorted(units):
        shelf = (
            update(inventory)
            .where(inventory.c.sku == sku)
            .values(stock=inventory.c.stock + units[sku])
        )
        if not (await connection.execute(shelf)).rowcount:
            # Another transaction may create it at the same time.
            await connection.execute(insert_if_new(inventory).values(sku=sku, stock=0))
            await connection.execute(shelf)


async def lock_all(connection: AsyncConnection, skus: Iterable[str]) -> None:
    """Lock the rows of these SKUs in the order of `take_all`; a database may sort otherwise."""
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
    """Demand per SKU, sorted. Two lines of one SKU must be summed: each could pass a check that
    their sum fails.
    """
    demand: Counter[str] = Counter()
    for sku, quantity in lines:
        demand[sku] += quantity
    return dict(sorted(demand.items()))


@dataclass(frozen=True)
class Inventory:
    """Sells from the table `inventory` of one engine, one transaction per call, with one `Take`.

    `within` limits each call, in seconds. Every method can raise `Refused` or `StaleToken` (it did
    not happen), or `DatabaseUnavailable` (see its `outcome`)."""

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
        """The stock on hand. It may have changed by the time the caller sees it."""
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
    """Create the table `inventory` if it is missing, and insert this stock by SKU."""
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
