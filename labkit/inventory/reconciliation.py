"""Reconciliation: find where stock, holds and ledger disagree, and repair it without promising
anything twice.

`reconcile` compares the three records and changes nothing. `repair` repairs each finding in a
transaction of its own, after checking it again, and writes the reason into the ledger.

| kind | what is wrong | repair |
|---|---|---|
| `hold` | the ledger moved other units than the hold says | the units follow the hold |
| `orphan` | the ledger holds units for a hold that is gone | they come back |
| `overdue` | a hold ended more than `grace` seconds ago: nobody sweeps | expires it |
| `undecided` | an accepted hold without a task, or a needless task | adds or drops the task |
| `unopened` | the ledger does not know the SKU | opens it with the stock |
| `stock` | the stock is not what the ledger says | takes the smaller number |

The units follow the hold because the hold is what the customer was told. Why the smaller number: a
sale that bypassed the ledger leaves less stock than the books say, and units that were put back
twice leave more. The numbers do not tell which is true. A missing unit can be counted back
(`adjust`), but for a unit too many a customer gets nothing.

Guarantees: a check is one statement and sees one moment of the database, so a shop at work causes
no false alarm. A repair promises nothing twice and takes the locks that transitions take, so the
shop may stay open, and repeating it changes nothing. A hold whose units are gone cannot be
repaired: it is returned and left alone.

Leaves out: speed (the checks read the whole history), and SKUs that the inventory has lost. A hold
that was archived after its end is not reported as missing.

Sources: Magento, `inventory:reservation:list-inconsistencies`; Medusa issue 12401 (negative
reserved counts).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from sqlalchemy import and_, case, delete, func, literal, null, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import Refused
from labkit.base.transactions import begin_immediate, insert_if_new, one_at_a_time, reading
from labkit.base.validation import between
from labkit.inventory.ledger import Balance, Kind, LedgerEntry, record
from labkit.inventory.model import Announce, to_nobody
from labkit.inventory.stock import guarded, inventory, put_back
from labkit.inventory.tables import hold_lines, holds, stock_ledger, undecided
from labkit.inventory.transitions import take_back


async def reconcile(
    engine: AsyncEngine,
    *,
    clock: Callable[[], float],
    grace: float = 60.0,
    within: float | None = None,
) -> list[Inconsistency]:
    """All inconsistencies, in the order in which they should be repaired. Raises
    `DatabaseUnavailable`.
    """
    between(grace, "grace", 0.0, 86_400.0)
    async with reading(engine, within=within) as connection:
        return await look(connection, clock() - grace)


async def repair(
    engine: AsyncEngine,
    found: Iterable[Inconsistency],
    *,
    clock: Callable[[], float],
    announce: Announce = to_nobody,
    within: float | None = None,
) -> list[Inconsistency]:
    """Repair what `reconcile` found; returns what could not be repaired. After
    `DatabaseUnavailable`, the findings before that point are repaired.
    """
    left = []
    for one in sorted(found, key=Inconsistency.place):
        try:
            async with begin_immediate(engine, within=within) as connection:
                now = clock()
                await _lock(connection, one)
                for still in await look(connection, now, one):
                    await _mend(connection, still, now, announce)
        except Refused:
            left.append(one)
    return left


async def _lock(connection: AsyncConnection, one: Inconsistency) -> None:
    """Lock what the transitions lock, in their order: the hold, then the stock. (`take_back` takes
    its own locks.)
    """
    if one.kind == "overdue":
        return
    if one.kind == "unopened":
        await one_at_a_time(connection)  # `create_reservations` opens the ledger too
    await connection.execute(select(holds.c.id).where(holds.c.id == one.hold_id).with_for_update())
    await connection.execute(
        select(inventory.c.sku).where(inventory.c.sku == one.sku).with_for_update()
    )


async def _mend(
    connection: AsyncConnection, one: Inconsistency, now: float, announce: Announce
) -> None:
    """Repair one finding whose rows are locked. Raises `Refused` if the units are gone."""
    kind: Kind = "repaired"
    missing = one.missing
    if one.kind in ("hold", "orphan"):
        if missing.on_hand < 0:
            await guarded(connection, one.sku, -missing.on_hand)
        elif missing.on_hand > 0:
            await put_back(connection, {one.sku: missing.on_hand})
    elif one.kind == "overdue":
        await take_back(connection, now=now, skus=[one.sku], announce=announce)
        return  # that writes its own entries
    elif one.kind == "undecided":
        await _queue(connection, one)
    elif one.kind == "unopened":
        kind = "opened"
    elif missing.on_hand < 0:  # less stock than in the books: correct the books
        kind = "adjusted"
    else:
        shelf = update(inventory).where(inventory.c.sku == one.sku)
        await connection.execute(shelf.values(stock=inventory.c.stock - missing.on_hand))
        missing = Balance()
    await record(
        connection,
        [LedgerEntry(now, one.hold_id, one.sku, kind, missing, f"{one.kind}: {one.detail}"[:255])],
    )


async def _queue(connection: AsyncConnection, one: Inconsistency) -> None:
    """Add the task of deciding the hold, or drop it if the hold is decided."""
    head = select(holds.c.status, holds.c.created_at).where(holds.c.id == one.hold_id)
    hold = (await connection.execute(head)).one()
    if hold.status == "accepted":
        row = insert_if_new(undecided).values(hold_id=one.hold_id, created_at=hold.created_at)
        await connection.execute(row)
    else:
        await connection.execute(delete(undecided).where(undecided.c.hold_id == one.hold_id))


Wrong = Literal["hold", "orphan", "overdue", "undecided", "unopened", "stock"]
KINDS: tuple[Wrong, ...] = get_args(Wrong)
"""In the order of repair: stock last, because the other repairs move it."""

_WITH_HOLD = hold_lines.join(holds)


@dataclass(frozen=True)
class Inconsistency:
    """Something that does not add up about a SKU, or about a line of the hold `hold_id`."""

    kind: Wrong
    sku: str
    hold_id: str | None
    detail: str
    missing: Balance = field(default=Balance(), compare=False)
    """The movement that the ledger lacks."""

    def place(self) -> tuple[int, str, str]:
        """The sort key: kind, SKU, hold."""
        return KINDS.index(self.kind), self.sku, self.hold_id or ""

    def __repr__(self) -> str:
        return (
            f"<{self.kind}: {self.sku}{f', {self.hold_id}' if self.hold_id else ''}: {self.detail}>"
        )


async def look(
    connection: AsyncConnection, ended: float, only: Inconsistency | None = None
) -> list[Inconsistency]:
    """Run every check, or look again for one finding; in the order of repair. A hold that ended at
    `ended` or before is overdue.
    """
    found = [
        *await _lines(connection, only),
        *await _overdue(connection, ended, only),
        *await _undecided(connection, only),
        *await _shelf(connection, only),
    ]
    if only is not None:
        found = [one for one in found if one.place() == only.place()]
    return sorted(found, key=Inconsistency.place)


async def _lines(connection: AsyncConnection, only: Inconsistency | None) -> list[Inconsistency]:
    ledger = stock_ledger.c
    deltas = (ledger.delta_on_hand, ledger.delta_held, ledger.delta_sold)
    sums = [
        func.sum(delta).label(name)
        for delta, name in zip(deltas, ("on_hand", "held", "sold"), strict=True)
    ]
    moves = (
        select(ledger.hold_id, ledger.sku, *sums)
        .where(ledger.hold_id.is_not(None))
        .group_by(ledger.hold_id, ledger.sku)
    )
    told = select(
        hold_lines.c.hold_id, hold_lines.c.sku, hold_lines.c.quantity, holds.c.status
    ).select_from(_WITH_HOLD)
    if only is not None:
        moves, told = (
            moves.where(ledger.hold_id == only.hold_id),
            told.where(holds.c.id == only.hold_id),
        )
    moved, line = moves.subquery(), told.subquery()
    same = and_(moved.c.hold_id == line.c.hold_id, moved.c.sku == line.c.sku)
    places = [func.coalesce(moved.c[name], 0) for name in ("on_hand", "held", "sold")]
    with_line = select(line.c.hold_id, line.c.sku, line.c.quantity, line.c.status, *places)
    without = select(moved.c.hold_id, moved.c.sku, literal(0), null(), *places).where(
        line.c.hold_id.is_(None)
    )
    rows = await connection.execute(
        union_all(
            with_line.select_from(line.outerjoin(moved, same)),
            without.select_from(moved.outerjoin(line, same)),
        )
    )
    found = []
    for hold_id, sku, quantity, status, *units in rows:
        moved_so_far = Balance(*map(int, units))
        expected = _EXPECTED.get(status, Balance()) * quantity
        if status is None:  # the hold is gone, but what it sold stays sold
            expected = Balance(on_hand=-moved_so_far.sold, sold=moved_so_far.sold)
        if (missing := expected - moved_so_far) != Balance():
            kind: Wrong = "orphan" if status is None else "hold"
            says = "there is no such line" if status is None else f"{quantity} are {status}"
            found.append(
                Inconsistency(
                    kind, sku, hold_id, f"{says}, and the ledger {_moved(moved_so_far)}", missing
                )
            )
    return found


_EXPECTED = {"held": Balance(on_hand=-1, held=1), "confirmed": Balance(on_hand=-1, sold=1)}
"""What the ledger must have moved in total for one unit of a hold with this status."""


async def _overdue(
    connection: AsyncConnection, ended: float, only: Inconsistency | None
) -> list[Inconsistency]:
    late = select(hold_lines.c.sku, holds.c.id).select_from(_WITH_HOLD)
    late = late.where(holds.c.status == "held", holds.c.expires_at <= ended)
    if only is not None:
        late = late.where(holds.c.id == only.hold_id)
    return [
        Inconsistency("overdue", sku, hold_id, "its time is up")
        for sku, hold_id in await connection.execute(late)
    ]


async def _undecided(
    connection: AsyncConnection, only: Inconsistency | None
) -> list[Inconsistency]:
    accepted, queued = holds.c.status == "accepted", undecided.c.hold_id.is_not(None)
    wrong = or_(and_(accepted, ~queued), and_(~accepted, queued))
    rows = select(hold_lines.c.sku, holds.c.id, holds.c.status)
    rows = rows.select_from(
        _WITH_HOLD.outerjoin(undecided, undecided.c.hold_id == holds.c.id)
    ).where(wrong)
    if only is not None:
        rows = rows.where(holds.c.id == only.hold_id)
    return [
        Inconsistency(
            "undecided",
            sku,
            hold_id,
            "nobody will decide it" if status == "accepted" else f"it is {status} already",
        )
        for sku, hold_id, status in await connection.execute(rows)
    ]


async def _shelf(connection: AsyncConnection, only: Inconsistency | None) -> list[Inconsistency]:
    ledger = stock_ledger.c
    opened = func.coalesce(func.sum(case((ledger.kind == "opened", 1), else_=0)), 0)
    rows = select(
        inventory.c.sku, inventory.c.stock, func.coalesce(func.sum(ledger.delta_on_hand), 0), opened
    )
    rows = rows.outerjoin(stock_ledger, ledger.sku == inventory.c.sku).group_by(
        inventory.c.sku, inventory.c.stock
    )
    if only is not None:
        rows = rows.where(inventory.c.sku == only.sku)
    found = []
    for sku, stock, books, times in await connection.execute(rows):
        missing = Balance(on_hand=stock - int(books))
        if not times:
            found.append(
                Inconsistency(
                    "unopened",
                    sku,
                    None,
                    f"{stock} on the shelf, and the ledger has no beginning",
                    missing,
                )
            )
        elif missing.on_hand:
            found.append(
                Inconsistency(
                    "stock", sku, None, f"{stock} on the shelf, {books} in the ledger", missing
                )
            )
    return found


def _moved(units: Balance) -> str:
    places = [("on hand", units.on_hand), ("held", units.held), ("sold", units.sold)]
    return "moved " + (
        ", ".join(f"{name} {count:+}" for name, count in places if count) or "nothing"
    )
