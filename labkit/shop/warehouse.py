"""The warehouse: set goods aside for an order, all of them or none, and put exactly those back.

Shows: the second participant of the saga, on the `inventory` that 1.1 guards. An allocation is
known by the order's `reference`; as in `payments`, a repeated request answers as it did the first
time, a refusal leaves nothing behind, and undoing what was never done leaves a tombstone ("void")
that refuses the late request.

Guarantees, on any schedule: stock never below zero; `release` puts back exactly what `reserve`
took, read from its own lines and not from the message that asks for it, and only once; a SKU that
was deleted from the inventory meanwhile is created again with its units. `reserve` and `release`
lock the rows of the stock sorted as Python sorts them (a database may sort "B" behind "a"), so that
two of them cannot deadlock.

Leaves out: an expiry. An allocation ends when its saga says so (holds with an expiry are
`labkit.inventory`'s)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import KeyReused, Withdrawn
from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    use_write_ahead_log,
)
from labkit.base.validation import whole
from labkit.inventory.stock import inventory, put_back, summed, take_all
from labkit.messaging import inbox

metadata = MetaData()
allocations = Table(
    "allocations",
    metadata,
    Column("reference", String(64), primary_key=True),
    Column("state", String(8), nullable=False),
    CheckConstraint("state IN ('reserved', 'released', 'void')", name="allocation_state"),
)
allocation_lines = Table(
    "allocation_lines",
    metadata,
    Column("reference", String(64), ForeignKey("allocations.reference"), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("quantity", Integer, nullable=False),
    CheckConstraint("quantity > 0", name="allocated_quantity_positive"),
)


class Shelves(Protocol):
    """What a service needs to set goods aside and put them back. This module is one."""

    async def reserve(
        self, connection: AsyncConnection, reference: str, lines: Iterable[tuple[str, int]], /
    ) -> Mapping[str, Any]:
        """Set all of the lines aside, or raise `OutOfStock`, `UnknownSku` or `Withdrawn`."""

    async def release(self, connection: AsyncConnection, reference: str, /) -> Mapping[str, Any]:
        """Put back what was set aside; the answer says what as `released`."""


async def reserve(
    connection: AsyncConnection, reference: str, lines: Iterable[tuple[str, int]]
) -> dict[str, Any]:
    """Take every (SKU, quantity) of `lines` from stock, or none.

    Raises `OutOfStock`, `UnknownSku` or `Withdrawn`: nothing was taken. `KeyReused`: the reference
    is that of another order."""
    demand = summed(lines)
    if not demand:
        raise ValueError("lines must name at least one SKU, got none")
    # A refusal takes back what was taken so far, and the caller's transaction can go on.
    async with connection.begin_nested():
        new = await connection.execute(
            insert_if_new(allocations).values(reference=reference, state="reserved")
        )
        if new.rowcount:
            await take_all(connection, demand)
            rows = [
                {"reference": reference, "sku": sku, "quantity": quantity}
                for sku, quantity in demand.items()
            ]
            await connection.execute(insert(allocation_lines), rows)
        elif await _state(connection, reference) != "reserved":
            raise Withdrawn(reference)
        elif await _lines(connection, reference) != demand:
            raise KeyReused(f"allocation {reference!r} is of other goods")
    return {"allocation": reference, "lines": demand}


async def release(connection: AsyncConnection, reference: str) -> dict[str, Any]:
    """Put back what was taken, which may be nothing; a `reserve` that comes later is refused."""
    tombstone = insert_if_new(allocations).values(reference=reference, state="void")
    if (await connection.execute(tombstone)).rowcount:
        return {"allocation": reference, "released": {}}
    reserved = update(allocations).where(
        allocations.c.reference == reference, allocations.c.state == "reserved"
    )
    turned = await connection.execute(reserved.values(state="released"))
    lines = await _lines(connection, reference)
    if turned.rowcount:
        await put_back(connection, lines)
    return {"allocation": reference, "released": lines}


async def open_warehouse(engine: AsyncEngine, stock: Mapping[str, int]) -> None:
    """Create the tables, the inbox too, if need be, with this many of each SKU (none to add: `{}`).

    Doing it again is harmless: a SKU that is there stays as it is, whatever was sold of it.
    `ValueError`: a number is out of bounds, and nothing was made."""
    for sku, units in stock.items():
        whole(f"stock[{sku!r}]", units, 0)
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata, inbox.metadata)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, inventory.metadata)
        if stock:
            rows = [{"sku": sku, "stock": stock[sku]} for sku in sorted(stock)]
            await connection.execute(insert_if_new(inventory), rows)


async def _state(connection: AsyncConnection, reference: str) -> str | None:
    found: str | None = await connection.scalar(
        select(allocations.c.state).where(allocations.c.reference == reference)
    )
    return found


async def _lines(connection: AsyncConnection, reference: str) -> dict[str, int]:
    lines = allocation_lines.c
    found = select(lines.sku, lines.quantity).where(lines.reference == reference)
    return summed((row.sku, row.quantity) for row in await connection.execute(found))
