"""Reading holds and stock as they are at an instant: a hold past its end counts for nothing,
whether it was swept or not.

Guarantees: each answer is one statement, so it is one moment of the database: a hold is never seen
without its lines, and the three places of a SKU always add up.

Leaves out: speed on a long history. `availability` sums all lines of a SKU ever held; a shop that
asks often keeps a running sum, or puts `StockCache` in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.inventory.errors import UnknownHold
from labkit.inventory.model import Availability, Hold
from labkit.inventory.stock import inventory
from labkit.inventory.tables import hold_lines, holds

TIME_IS_UP = "its time was up"


async def find(connection: AsyncConnection, hold_id: str, *, now: float) -> Hold:
    """The hold as it is at `now`. Raises `UnknownHold`."""
    found = await find_where(connection, holds.c.id == hold_id, now=now)
    if not found:
        raise UnknownHold(hold_id)
    return found[0]


async def find_where(
    connection: AsyncConnection, condition: ColumnElement[bool], *, now: float
) -> list[Hold]:
    """The holds of which this is true, as they are at `now`, by time of creation and id."""
    wanted = select(holds, hold_lines.c.sku, hold_lines.c.quantity).outerjoin(
        hold_lines, hold_lines.c.hold_id == holds.c.id
    )
    wanted = wanted.where(condition).order_by(holds.c.created_at, holds.c.id)
    rows = (await connection.execute(wanted)).all()
    return [_hold(list(lines), now) for _, lines in groupby(rows, key=lambda row: row.id)]


async def availability(
    connection: AsyncConnection, *, now: float, sku: str | None = None
) -> dict[str, Availability]:
    """Where the units of every SKU are (or of one: empty when there is none such), by SKU."""

    def units(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, hold_lines.c.quantity), else_=0)), 0)

    held = holds.c.status == "held"
    places = (
        units(held),
        units(holds.c.status == "confirmed"),
        units(and_(held, holds.c.expires_at <= now)),
    )
    lines = inventory.outerjoin(hold_lines, hold_lines.c.sku == inventory.c.sku)
    sums = select(inventory.c.sku, inventory.c.stock, *places)
    sums = sums.select_from(lines.outerjoin(holds, holds.c.id == hold_lines.c.hold_id))
    sums = sums.group_by(inventory.c.sku, inventory.c.stock).order_by(inventory.c.sku)
    if sku is not None:
        sums = sums.where(inventory.c.sku == sku)
    rows = (await connection.execute(sums)).all()
    return {
        name: Availability(name, stock, held, sold, stock + overdue)
        for name, stock, held, sold, overdue in rows
    }


def _hold(rows: Sequence[Row[Any]], now: float) -> Hold:
    head = rows[0]
    lines = tuple(
        sorted((row.sku, row.quantity) for row in rows if row.sku is not None)
    )  # a database may sort "B" behind "a"
    hold = Hold(
        head.id,
        head.key,
        head.customer,
        head.status,
        lines,
        head.created_at,
        head.expires_at,
        head.reason,
    )
    if hold.status == "held" and hold.expires_at is not None and hold.expires_at <= now:
        return replace(hold, status="expired", reason=TIME_IS_UP)
    return hold
