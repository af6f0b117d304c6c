"""Reconciliation: find where shelf, holds and ledger disagree, and mend it without promising
anything twice.

Shows: three records of one truth, compared. `reconcile` lists what it finds and changes nothing;
`repair` mends each finding in a transaction of its own, after another look, and writes into the
ledger why.
| kind | what is wrong | what repair does |
|---|---|---|
| `hold` | a hold says one thing, the ledger moved another | the units follow the hold: it is what the customer was told |
| `orphan` | the ledger holds units for a hold that is gone | they come back |
| `overdue` | a hold is past its end for longer than `grace` seconds: nobody sweeps | expires it |
| `undecided` | an accepted hold that nobody will decide, or work for one that is decided | queues it, or drops the work |
| `unopened` | the ledger does not know the SKU | opens it with what is there |
| `stock` | on the shelf is not what the ledger says | takes the smaller number |

Why the smaller number: a sale that went past the ledger leaves less on the shelf than in the books,
units put back twice leave more. The numbers do not tell which is true. A unit too few can be
counted back (`adjust`); a unit too many is a customer who gets nothing.

Guarantees: nothing is promised twice by a repair; it takes the locks that transitions take, so the
shop may stay open, and doing it again changes nothing. A hold whose units are not there any more
cannot be mended: it is returned, and left alone.

Leaves out: see `findings`, which has the checks.

Sources: Magento, `inventory:reservation:list-inconsistencies`; Medusa issue 12401 (negative
reserved counts)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import Refused
from labkit.base.transactions import begin_immediate, insert_if_new, one_at_a_time, reading
from labkit.base.validation import between
from labkit.inventory.events import Announce, to_nobody
from labkit.inventory.findings import Inconsistency, look
from labkit.inventory.ledger import Balance, Entry, Kind, record
from labkit.inventory.stock import guarded, inventory
from labkit.inventory.tables import holds, undecided
from labkit.inventory.transitions import put_back, take_back


async def reconcile(
    engine: AsyncEngine,
    *,
    clock: Callable[[], float],
    grace: float = 60.0,
    within: float | None = None,
) -> list[Inconsistency]:
    """Everything that does not add up, in the order in which it should be mended. Raises
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
    """Mend what `reconcile` found; returns what could not be mended. `DatabaseUnavailable`: what
    came before it is mended.
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
    """What the transitions lock, in their order: first the hold, then the stock. (`take_back` locks
    for itself.)
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
    """Mend one finding whose rows are locked. Raises `Refused` when the units are not there."""
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
    elif missing.on_hand < 0:  # fewer on the shelf than in the books: the books follow
        kind = "adjusted"
    else:
        shelf = update(inventory).where(inventory.c.sku == one.sku)
        await connection.execute(shelf.values(stock=inventory.c.stock - missing.on_hand))
        missing = Balance()
    await record(
        connection,
        [Entry(now, one.hold_id, one.sku, kind, missing, f"{one.kind}: {one.detail}"[:255])],
    )


async def _queue(connection: AsyncConnection, one: Inconsistency) -> None:
    """Have the hold decided, if it is to be."""
    head = select(holds.c.status, holds.c.created_at).where(holds.c.id == one.hold_id)
    hold = (await connection.execute(head)).one()
    if hold.status == "accepted":
        row = insert_if_new(undecided).values(hold_id=one.hold_id, created_at=hold.created_at)
        await connection.execute(row)
    else:
        await connection.execute(delete(undecided).where(undecided.c.hold_id == one.hold_id))
