"""A purchase: an order that is under way. It is pending until every participant has done its part,
or it is cancelled.

Shows: the order's own side of the saga. `pending` is a *semantic lock*: whoever reads the purchase
meanwhile sees that it is not settled. The transitions are guarded UPDATEs; the state that comes
back is the one it is in, whoever was first. `note` keeps what it hears was undone.

Guarantees, on any schedule: completed or cancelled, never both, and never back to pending.

Leaves out: the lines (a purchase remembers its total) and changes to a purchase that is pending.

Source: Frank & Zahle 1998, "Semantic ACID properties in multidatabases using remote procedure calls
and update propagations"."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    MetaData,
    String,
    Table,
    Text,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import KeyReused
from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    use_write_ahead_log,
)
from labkit.shop.refusals import Withdrawn

metadata = MetaData()
purchases = Table(
    "purchases",
    metadata,
    Column("reference", String(64), primary_key=True),
    Column("customer", String(64)),
    Column("total_cents", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", String(9), nullable=False),
    Column("reason", Text),
    CheckConstraint("state IN ('pending', 'completed', 'cancelled')", name="purchase_state"),
    CheckConstraint("total_cents >= 0", name="purchase_total_not_negative"),
)
notes = Table(
    "order_notes",
    metadata,
    Column("reference", String(64), primary_key=True),
    Column("note", String(64), primary_key=True),
    Column("at", Double, nullable=False),
)


async def place(
    connection: AsyncConnection, reference: str, customer: str, total_cents: int, at: float
) -> dict[str, Any]:
    """Write the purchase down as pending, made `at` seconds since 1970. Raises `Withdrawn`: it was
    cancelled before.

    `KeyReused`: the reference is that of another purchase.
    """
    fresh = {
        "reference": reference,
        "customer": customer,
        "total_cents": total_cents,
        "created_at": at,
        "state": "pending",
    }
    new = await connection.execute(insert_if_new(purchases).values(fresh))
    if not new.rowcount:
        found = (
            await connection.execute(select(purchases).where(purchases.c.reference == reference))
        ).one()
        if found.state == "cancelled":
            raise Withdrawn(reference)
        if (found.customer, found.total_cents) != (customer, total_cents):
            raise KeyReused(
                f"purchase {reference!r} is of {found.total_cents} cents by {found.customer!r}"
            )
    return {"order": reference}


async def complete(connection: AsyncConnection, reference: str) -> dict[str, Any]:
    """Turn a pending purchase into a completed one. Raises `Withdrawn`: it was cancelled before, or
    never made.
    """
    await _turn(connection, reference, "completed", None)
    if (now := await state(connection, reference)) != "completed":
        raise Withdrawn(reference)
    return {"order": reference, "state": now}


async def cancel(
    connection: AsyncConnection, reference: str, reason: str, at: float
) -> dict[str, Any]:
    """Cancel a pending purchase; one never made is cancelled in advance. A completed one stays so,
    as the answer says.
    """
    row = {
        "reference": reference,
        "total_cents": 0,
        "created_at": at,
        "state": "cancelled",
        "reason": reason,
    }
    new = await connection.execute(insert_if_new(purchases).values(row))
    if not new.rowcount:
        await _turn(connection, reference, "cancelled", reason)
    return {"order": reference, "state": await state(connection, reference)}


async def state(connection: AsyncConnection, reference: str) -> str | None:
    """The state of the purchase: "pending", "completed", "cancelled"; None when there is none."""
    found: str | None = await connection.scalar(
        select(purchases.c.state).where(purchases.c.reference == reference)
    )
    return found


async def note(connection: AsyncConnection, reference: str, what: str, at: float) -> None:
    """Keep that this happened to the order, `at` seconds since 1970; noted before, it stays as it
    was.
    """
    await connection.execute(insert_if_new(notes).values(reference=reference, note=what, at=at))


async def noted(connection: AsyncConnection, reference: str) -> list[str]:
    """What was noted of the order, by name."""
    found = select(notes.c.note).where(notes.c.reference == reference).order_by(notes.c.note)
    return list((await connection.scalars(found)).all())


async def open_purchases(engine: AsyncEngine) -> None:
    """Create the tables, if need be."""
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)


async def _turn(connection: AsyncConnection, reference: str, to: str, reason: str | None) -> None:
    pending = update(purchases).where(
        purchases.c.reference == reference, purchases.c.state == "pending"
    )
    await connection.execute(pending.values(state=to, reason=reason))
