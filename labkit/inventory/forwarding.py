"""Promises at a site that is cut off: its own database accepts holds, which are forwarded home when
the connection is back.

A site has the tables of the reservations, but no stock. Its table of undecided holds is at the same
time an outbox: `forward` copies accepted holds into the database with the stock (home), where a
validator decides them, and `collect` brings the decisions back. A hold keeps its id, so a copy that
is sent twice is one hold.

Guarantees: whatever crashes between the two databases, every hold accepted at the site reaches home
once and its decision reaches the site, as long as both are up at the same time now and then. If a
customer sent a request to two sites with the same key, it is one hold: the second to arrive is
cancelled at its site, with a reason. So is a hold whose id is taken.

Leaves out: what the customer is told meanwhile (the site says "accepted", which may be taken back).
The event of a decision is announced at home; `announce` here is for the duplicates, which home does
not have. `reconcile` is not for a site's database, because the units of its holds are at home.

Source: Helland 2007, "Life beyond Distributed Transactions".
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import KeyReused
from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate, reading
from labkit.base.validation import whole
from labkit.base.working import work
from labkit.inventory.model import Announce, Hold, HoldCancelled, to_nobody
from labkit.inventory.tables import holds, undecided
from labkit.inventory.transitions import enter, find_where


class Forwarder:
    """Copies accepted holds from the database `site` to the database `home`, `batch` at a time, and
    decisions back.

    `clock` returns seconds since 1970. `within` limits each transaction, in seconds; while home
    cannot be reached, a call takes that long."""

    def __init__(
        self,
        site: AsyncEngine,
        home: AsyncEngine,
        *,
        clock: Callable[[], float],
        batch: int = 100,
        announce: Announce = to_nobody,
        within: float | None = None,
        observe: Observe = ignore,
    ) -> None:
        whole("batch", batch, 1)
        self._site = site
        self._home = home
        self._clock = clock
        self._batch = batch
        self._announce = announce
        self._within = within
        self._observe = observe

    def __repr__(self) -> str:
        return f"<Forwarder, {self._batch} at a time>"

    async def forward(self) -> int:
        """Send one batch home, the oldest first. Returns how many holds were sent, or cancelled
        here as duplicates.

        After `DatabaseUnavailable`, the batch is sent again.
        """
        waiting = await self._waiting(forwarded=0)
        if not waiting:
            return 0
        duplicates: dict[str, str] = {}
        async with begin_immediate(self._home, within=self._within) as connection:
            # In one order, or two sites could wait for each other.
            for hold in sorted(waiting, key=lambda hold: hold.key):
                if (why := await self._arrive(connection, hold)) is not None:
                    duplicates[hold.id] = why
            self._observe("committing", what="forward")
        self._observe("forwarded", holds=len(waiting))
        async with begin_immediate(self._site, within=self._within) as connection:
            sent = update(undecided).where(undecided.c.hold_id.in_([hold.id for hold in waiting]))
            await connection.execute(sent.values(forwarded=1))
            for hold in waiting:
                if hold.id in duplicates and await _settle(
                    connection, hold.id, "cancelled", duplicates[hold.id]
                ):
                    await self._announce(
                        connection, HoldCancelled(hold.id, hold.customer, duplicates[hold.id])
                    )
            self._observe("committing", what="mark")
        return len(waiting)

    async def collect(self) -> list[Hold]:
        """Copy home's decisions on one batch of holds to the site, and return the decided holds.
        Raises `DatabaseUnavailable`."""
        waiting = await self._waiting(forwarded=1)
        if not waiting:
            return []
        ours = holds.c.id.in_([hold.id for hold in waiting])
        async with reading(self._home, within=self._within) as connection:
            decided = await find_where(
                connection, ours & (holds.c.status != "accepted"), now=self._clock()
            )
        async with begin_immediate(self._site, within=self._within) as connection:
            for hold in decided:
                await _settle(connection, hold.id, hold.status, hold.reason)
            self._observe("committing", what="collect")
        return decided

    async def work(self, poll: float = 1.0) -> None:
        """Forward and collect for ever, with `poll` seconds after a round in which nothing was left
        to forward; ends by cancellation.
        """

        async def step() -> int:
            sent = await self.forward()
            if not sent:
                await self.collect()
            return sent

        await work(step, poll=poll, observe=self._observe)

    async def _waiting(self, *, forwarded: int) -> list[Hold]:
        rows = select(undecided.c.hold_id).where(undecided.c.forwarded == forwarded)
        first = rows.order_by(undecided.c.created_at, undecided.c.hold_id).limit(self._batch)
        async with reading(self._site, within=self._within) as connection:
            return await find_where(connection, holds.c.id.in_(first), now=self._clock())

    async def _arrive(self, connection: AsyncConnection, hold: Hold) -> str | None:
        """Insert the hold at home, once; or return the reason why it cannot be there."""
        try:
            first = await enter(connection, hold, now=self._clock())
        except KeyReused:
            return "its key was used for another hold"
        except ValueError:  # two sites have made the same id
            return "its id is another hold's"
        if first is None:
            await connection.execute(
                insert(undecided).values(hold_id=hold.id, created_at=hold.created_at)
            )
        elif first.id != hold.id:
            return f"the same request was taken before, as {first.id}"
        return None


async def _settle(connection: AsyncConnection, hold_id: str, status: str, reason: str) -> bool:
    """Write the decision at the site, once. Returns whether it is new."""
    await connection.execute(delete(undecided).where(undecided.c.hold_id == hold_id))
    end = update(holds).where(holds.c.id == hold_id, holds.c.status == "accepted")
    return (await connection.execute(end.values(status=status, reason=reason))).rowcount == 1
