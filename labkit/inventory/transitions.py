"""The transitions of a hold, each inside a transaction that the caller owns.

Shows: a transition is a compare-and-set on the hold's status whose row count is checked, then the
units move, then the ledger and the announcement are written: one transaction, so all of it or
nothing.
| transition | from → to | units |
|---|---|---|
| `place` | nothing → held | on hand → held |
| `extend` | held → held, with a later end | stay |
| `confirm` | held → confirmed | held → sold |
| `release` | held → released | held → on hand |
| `take_back` | held and overdue → expired | held → on hand |

A hold *does* take its units out of `inventory.stock`, which so means "nobody has a claim on these".
Then the guard against overselling is the one UPDATE of 1.1a (`guarded`: … SET stock = stock - q
WHERE stock >= q), it protects holds and direct sales against each other, and it is right on both
databases. The other way, to leave the stock alone and to sum up the live holds, is a check over
many rows: in READ COMMITTED two holds pass it at once.

Guarantees: of two transitions of one hold at the same moment one wins, and the other is refused
with what the first made of it; a transition repeated moves nothing, and is answered with the hold
as it is by then. A hold counts for nothing from the instant `expires_at` on: `place` takes overdue
holds of its SKUs back before it looks what is there, so abandoned units come back without a
sweeper.

A refusal is an exception: let it roll the transaction back, or run the transition in
`connection.begin_nested()`. On SQLite the transaction must be one of `begin_immediate`. Locks are
taken in one order, holds first (by end and id), then stock (by SKU), so that two transitions cannot
deadlock.

Leaves out: how often a hold may be extended. Clocks: the caller's `now` decides; a clock that is
ahead ends holds early.

Sources: Medusa issue 16569 and Magento pull request 3036 (check and reserve in one step); Spree
pull request 13978 (expiry); be-BOP issue 533 (a renewal that stole back an expired hold)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.errors import KeyReused
from labkit.base.transactions import insert_if_new
from labkit.inventory.errors import NotHeld
from labkit.inventory.events import (
    Announce,
    HoldConfirmed,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
    to_nobody,
)
from labkit.inventory.ledger import Balance, Entry, Kind, record
from labkit.inventory.lookup import TIME_IS_UP, find, find_where
from labkit.inventory.model import Hold
from labkit.inventory.stock import CHUNK, inventory, lock_all, take_all
from labkit.inventory.tables import hold_lines, holds

HOLD, SELL, RETURN = (
    Balance(on_hand=-1, held=1),
    Balance(held=-1, sold=1),
    Balance(on_hand=1, held=-1),
)
"""What a transition does with one unit."""


async def place(
    connection: AsyncConnection, hold: Hold, *, now: float, announce: Announce = to_nobody
) -> Hold:
    """Set the units of `hold` aside; a hold that is there under its key is returned as it is now.

    Raises `OutOfStock` or `UnknownSku` (nothing is set aside, the key is free), `KeyReused` (the
    key was another request's)."""
    if (first := await enter(connection, hold, now=now)) is not None:
        return first
    await take_back(connection, now=now, skus=[sku for sku, _ in hold.lines], announce=announce)
    await take_all(connection, dict(hold.lines))
    await note(connection, [hold], "held", HOLD, now=now)
    assert hold.expires_at is not None
    await announce(connection, HoldPlaced(hold.id, hold.customer, hold.expires_at))
    return hold


async def extend(connection: AsyncConnection, hold_id: str, until: float, *, now: float) -> Hold:
    """Let the hold end at `until` (seconds since 1970), not earlier than it would have. Raises
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
    """Sell what is held. Raises `NotHeld` (it ended otherwise, or its time is up) or `UnknownHold`:
    nothing is sold.
    """
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
    """Give back what is held. Raises `NotHeld` (it ended otherwise, or its time is up) or
    `UnknownHold`.
    """
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
    """Expire overdue holds, the longest overdue first: those of these SKUs, or all; at most
    `limit`. Returns them.
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
    if (
        expired
    ):  # the caller will take from `skus` next: have all the locks in one order, theirs too
        await lock_all(connection, {*units, *(skus or ())})
    await put_back(connection, units)
    await note(connection, expired, "expired", RETURN, now=now)
    for hold in expired:
        await announce(connection, HoldExpired(hold.id, hold.customer))
    return expired


# -- the parts they are made of


async def enter(connection: AsyncConnection, hold: Hold, *, now: float) -> Hold | None:
    """Write the hold and its lines, if its key is new: None. Else the hold that is there;
    `KeyReused` when it is another's.
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


async def note(
    connection: AsyncConnection, done: Iterable[Hold], kind: Kind, move: Balance, *, now: float
) -> None:
    """Write into the ledger what a transition of these holds moved; `move` is what it does with one
    unit.
    """
    entries = (
        Entry(now, hold.id, sku, kind, move * quantity, hold.reason)
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
