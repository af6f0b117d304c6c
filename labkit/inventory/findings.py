"""What does not add up between the shelf, the holds and the ledger: the checks, one statement each.

Guarantees: a check sees one moment of the database, so a shop at work causes no false alarm.

Leaves out: mending, which is `reconcile`'s; speed, they read the whole history; SKUs that the
inventory has lost. A hold that was archived after its end is not missed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from sqlalchemy import and_, case, func, literal, null, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.inventory.ledger import Balance
from labkit.inventory.stock import inventory
from labkit.inventory.tables import hold_lines, holds, stock_ledger, undecided

Wrong = Literal["hold", "orphan", "overdue", "undecided", "unopened", "stock"]
KINDS: tuple[Wrong, ...] = get_args(Wrong)
"""In the order of mending: the shelf last, because the others move what is on it."""

_WITH_HOLD = hold_lines.join(holds)


@dataclass(frozen=True)
class Inconsistency:
    """Something that does not add up about a SKU, and about a line of a hold where one is named."""

    kind: Wrong
    sku: str
    hold_id: str | None
    detail: str
    missing: Balance = field(default=Balance(), compare=False)
    """What the ledger would have to move to agree."""

    def place(self) -> tuple[int, str, str]:
        """Where it stands in a list."""
        return KINDS.index(self.kind), self.sku, self.hold_id or ""

    def __repr__(self) -> str:
        return (
            f"<{self.kind}: {self.sku}{f', {self.hold_id}' if self.hold_id else ''}: {self.detail}>"
        )


async def look(
    connection: AsyncConnection, ended: float, only: Inconsistency | None = None
) -> list[Inconsistency]:
    """Make every check, or look again for one finding; a hold is overdue that ended at `ended` or
    before. In mending order.
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
        if status is None:  # what it sold stays sold
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
"""What the ledger has moved, in sum, for one unit of a hold in this status."""


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
