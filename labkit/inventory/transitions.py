"""The transitions of a hold and the queries for holds, each inside the caller's transaction.

A transition is a compare-and-set on the hold's status whose row count is checked. In the same
transaction it moves the units, writes the ledger and announces the event: all of it or nothing.

| transition | from → to | units |
|---|---|---|
| `place` | nothing → held | on hand → held |
| `extend` | held → held, with a later end | stay |
| `confirm` | held → confirmed | held → sold |
| `release` | held → released | held → on hand |
| `take_back` | held and overdue → expired | held → on hand |

A hold takes its units out of `inventory.stock`, which therefore means "nobody has a claim on
these". Overselling is prevented by one guarded UPDATE (SET stock = stock - q WHERE stock >= q),
which also protects holds and direct sales against each other, on both databases. The alternative
leaves the stock alone and sums up the live holds. That is a check over many rows, and under READ
COMMITTED two holds can pass it at once.

Guarantees: of two simultaneous transitions of one hold, one wins and the other is refused with the
status that the first one set. A repeated transition moves nothing and returns the hold as it is.
From the instant `expires_at` a hold counts for nothing, swept or not: `place` takes back the
overdue holds of its SKUs before it takes stock, so abandoned units come back without a sweeper.
Each query is one statement and sees one moment of the database.

A refusal is an exception. Let it roll back the transaction, or run the transition in
`connection.begin_nested()`. On SQLite the transaction must be one of `begin_immediate`. Locks are
taken in one order, first holds (by end and id), then stock (by SKU), so that two transitions cannot
deadlock.

Leaves out: a limit on extensions; clocks (the caller's `now` decides, and a clock that is ahead
ends holds early); speed on a long history (`availability` sums all lines of a SKU ever held).

Sources: Medusa issue 16569 (check and reserve in one step); Spree pull request 13978 (expiry);
be-BOP issue 533 (a renewal that stole back an expired hold).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.errors import KeyReused
from labkit.base.transactions import insert_if_new
from labkit.inventory.errors import NotHeld, UnknownHold
from labkit.inventory.ledger import Balance, Kind, LedgerEntry, record
from labkit.inventory.model import (
    Announce,
    Availability,
    Hold,
    HoldConfirmed,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
    to_nobody,
)
from labkit.inventory.stock import CHUNK, inventory, lock_all, put_back, take_all
from labkit.inventory.tables import hold_lines, holds

TIME_IS_UP = "its time was up"


async def find(connection: AsyncConnection, hold_id: str, *, now: float) -> Hold:
    """The hold as of `now`. Raises `UnknownHold`."""
    found = await find_where(connection, holds.c.id == hold_id, now=now)
    if not found:
        raise UnknownHold(hold_id)
    return found[0]


async def find_where(
    connection: AsyncConnection, condition: ColumnElement[bool], *, now: float
) -> list[Hold]:
    """The holds that match, as of `now`, ordered by time of creation and id."""
    wanted = select(holds, hold_lines.c.sku, hold_lines.c.quantity).outerjoin(
        hold_lines, hold_lines.c.hold_id == holds.c.id
    )
    wanted = wanted.where(condition).order_by(holds.c.created_at, holds.c.id)
    rows = (await connection.execute(wanted)).all()
    return [_hold(list(lines), now) for _, lines in groupby(rows, key=lambda row: row.id)]


async def availability(
    connection: AsyncConnection, *, now: float, sku: str | None = None
) -> dict[str, Availability]:
    """Where the units are, by SKU: of all SKUs, or of one (empty if it does not exist)."""

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
    # Sorted here, because a database may sort "B" after "a".
    lines = tuple(sorted((row.sku, row.quantity) for row in rows if row.sku is not None))
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


HOLD, SELL, RETURN = (
    Balance(on_hand=-1, held=1),
    Balance(held=-1, sold=1),
    Balance(on_hand=1, held=-1),
)
"""What the transitions do with one unit."""


async def place(
    connection: AsyncConnection, hold: Hold, *, now: float, announce: Announce = to_nobody
) -> Hold:
    """Set the units of `hold` aside. If its key exists already, return that hold as it is now.

    Raises `OutOfStock` or `UnknownSku` (nothing is set aside, and the key stays free), or
    `KeyReused` (the key belongs to another request)."""
    if (first := await enter(connection, hold, now=now)) is not None:
        return first
    await take_back(connection, now=now, skus=[sku for sku, _ in hold.lines], announce=announce)
    await take_all(connection, dict(hold.lines))
    await note(connection, [hold], "held", HOLD, now=now)
    assert hold.expires_at is not None
    await announce(connection, HoldPlaced(hold.id, hold.customer, hold.expires_at))
    return hold


async def extend(connection: AsyncConnection, hold_id: str, until: float, *, now: float) -> Hold:
    """Let the hold end at `until` (seconds since 1970), but never earlier than before. Raises
    `NotHeld`, `UnknownHold`.
    """
    sooner = and_(_live(hold_id, now), holds.c.expires_at < until)
    moved = (
        await connection.execute(update(holds).where(sooner).values(expires_at=until))
    ).rowcount
    hold = await find(connection, hold_id, now=now)
    if hold.status != "held":
        raise NotHeld(hold_id, hold.status)
    if moved:
        await note(connection, [hold], "extended", Balance(), now=now)
    return hold


async def confirm(
    connection: AsyncConnection, hold_id: str, *, now: float, announce: Announce = to_nobody
) -> Hold:
    """Sell the held units. Raises `NotHeld` (it has ended) or `UnknownHold`: nothing is sold."""
    won = (
        await connection.execute(
            update(holds).where(_live(hold_id, now)).values(status="confirmed")
        )
    ).rowcount
    hold = await find(connection, hold_id, now=now)
    if hold.status != "confirmed":
        raise NotHeld(hold_id, hold.status)
    if won:
        await note(connection, [hold], "confirmed", SELL, now=now)
        await announce(connection, HoldConfirmed(hold.id, hold.customer))
    return hold


async def release(
    connection: AsyncConnection,
    hold_id: str,
    reason: str,
    *,
    now: float,
    announce: Announce = to_nobody,
) -> Hold:
    """Give the held units back. Raises `NotHeld` (it has ended) or `UnknownHold`."""
    ended = update(holds).where(_live(hold_id, now)).values(status="released", reason=reason)
    won = (await connection.execute(ended)).rowcount
    hold = await find(connection, hold_id, now=now)
    if hold.status != "released":
        raise NotHeld(hold_id, hold.status)
    if won:
        await put_back(connection, dict(hold.lines))
        await note(connection, [hold], "released", RETURN, now=now)
        await announce(connection, HoldReleased(hold.id, hold.customer, hold.reason))
    return hold


async def take_back(
    connection: AsyncConnection,
    *,
    now: float,
    skus: Sequence[str] | None = None,
    limit: int | None = None,
    announce: Announce = to_nobody,
) -> list[Hold]:
    """Expire overdue holds, the longest overdue first, and return them: those of `skus` or all, and
    at most `limit`.
    """
    expired: list[Hold] = []
    while limit is None or len(expired) < limit:
        size = CHUNK if limit is None else min(CHUNK, limit - len(expired))
        wanted = (
            select(holds.c.id)
            .where(_overdue(now), *_on(skus))
            .order_by(holds.c.expires_at, holds.c.id)
            .limit(size)
        )
        ids = (await connection.scalars(wanted.with_for_update())).all()
        if not ids:
            break
        end = (
            update(holds)
            .where(holds.c.id.in_(ids), _overdue(now))
            .values(status="expired", reason=TIME_IS_UP)
        )
        won = (await connection.scalars(end.returning(holds.c.id))).all()
        expired += await find_where(connection, holds.c.id.in_(won), now=now)
        if len(ids) < size:
            break
    expired.sort(key=lambda hold: (hold.expires_at, hold.id))
    units: Counter[str] = Counter()
    for hold in expired:
        units.update(dict(hold.lines))
    if expired:  # the caller takes from `skus` next: lock all of them now, in one order
        await lock_all(connection, {*units, *(skus or ())})
    await put_back(connection, units)
    await note(connection, expired, "expired", RETURN, now=now)
    for hold in expired:
        await announce(connection, HoldExpired(hold.id, hold.customer))
    return expired


# -- the parts they are made of


async def enter(connection: AsyncConnection, hold: Hold, *, now: float) -> Hold | None:
    """Insert the hold and its lines, and return None; or return the hold that has its key already.
    Raises `KeyReused` if that is another request's.
    """
    row = {
        field: getattr(hold, field)
        for field in ("id", "key", "customer", "status", "created_at", "expires_at", "reason")
    }
    if (await connection.execute(insert_if_new(holds).values(row))).rowcount:
        lines = [
            {"hold_id": hold.id, "sku": sku, "quantity": quantity} for sku, quantity in hold.lines
        ]
        await connection.execute(insert(hold_lines), lines)
        return None
    found = await find_where(connection, holds.c.key == hold.key, now=now)
    if not found:
        raise ValueError(f"ids must give a fresh id each time, got {hold.id!r} again")
    (first,) = found
    if (first.customer, first.lines) != (hold.customer, hold.lines):
        raise KeyReused(f"key {hold.key!r} was used for another hold")
    return first


async def note(
    connection: AsyncConnection, done: Iterable[Hold], kind: Kind, move: Balance, *, now: float
) -> None:
    """Write a transition of these holds into the ledger. `move`: what it does with one unit."""
    entries = (
        LedgerEntry(now, hold.id, sku, kind, move * quantity, hold.reason)
        for hold in done
        for sku, quantity in hold.lines
    )
    await record(connection, entries)


def _live(hold_id: str, now: float) -> ColumnElement[bool]:
    return and_(holds.c.id == hold_id, holds.c.status == "held", holds.c.expires_at > now)


def _overdue(now: float) -> ColumnElement[bool]:
    return and_(holds.c.status == "held", holds.c.expires_at <= now)


def _on(skus: Iterable[str] | None) -> list[ColumnElement[bool]]:
    if skus is None:
        return []
    return [exists().where(hold_lines.c.hold_id == holds.c.id, hold_lines.c.sku.in_(list(skus)))]
