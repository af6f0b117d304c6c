"""Accepting at a site that is cut off: its own database takes the holds, and they travel home when
the way is open.

Shows: a site has the tables of the reservations and no stock. Its rows of undecided work are at the
same time an outbox: `forward` copies accepted holds into the database with the stock, where a
validator decides them, and `collect` brings the decisions back. A hold keeps its id on the way, so
a copy that was sent twice is one hold.

Guarantees: whatever crashes between the two databases, every hold accepted at the site reaches home
once and its decision reaches the site, as long as both are up at the same time now and then. A
request that a customer made at two sites with the same key is one hold: the second to arrive is
cancelled at its site, with the reason; so is one whose id is taken.

Leaves out: what a customer is told at the site in between: "accepted", which may be taken back. An
event of the decision is announced at home; `announce` here is for the doubles, of which home knows
nothing. A site's database is not for `reconcile`: the units of its holds are at home.

Source: Helland 2007, "Life beyond Distributed Transactions"; the outbox of lesson 1.2b, here
without a broker."""

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
    """Carries accepted holds from the database `site` to the database `home`, `batch` at a time,
    and decisions back.

    `clock` gives seconds since 1970; `within` bounds each transaction, in seconds: while home is
    cut off, a call takes as long."""

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
        """Send one batch home, the oldest first; returns how many holds it was done with: sent, or
        cancelled here as doubles.

        Raises `DatabaseUnavailable`: the batch is sent again.
        """
        waiting = await self._waiting(forwarded=0)
        if not waiting:
            return 0
        doubles: dict[str, str] = {}
        async with begin_immediate(self._home, within=self._within) as connection:
            for hold in sorted(
                waiting, key=lambda hold: hold.key
            ):  # in one order, or two sites could wait for each other
                if (why := await self._arrive(connection, hold)) is not None:
                    doubles[hold.id] = why
            self._observe("committing", what="forward")
        self._observe("forwarded", holds=len(waiting))
        async with begin_immediate(self._site, within=self._within) as connection:
            sent = update(undecided).where(undecided.c.hold_id.in_([hold.id for hold in waiting]))
            await connection.execute(sent.values(forwarded=1))
            for hold in waiting:
                if hold.id in doubles and await _settle(
                    connection, hold.id, "cancelled", doubles[hold.id]
                ):
                    await self._announce(
                        connection, HoldCancelled(hold.id, hold.customer, doubles[hold.id])
                    )
            self._observe("committing", what="mark")
        return len(waiting)

    async def collect(self) -> list[Hold]:
        """Bring the decisions home has made by now to the site, of one batch of holds; returns
        those. Raises `DatabaseUnavailable`."""
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
        """Write the hold at home, once; or say why it cannot be there."""
        try:
            first = await enter(connection, hold, now=self._clock())
        except KeyReused:
            return "its key was used for another hold"
        except ValueError:  # of two sites whose ids are not as different as they should be
            return "its id is another hold's"
        if first is None:
            await connection.execute(
                insert(undecided).values(hold_id=hold.id, created_at=hold.created_at)
            )
        elif first.id != hold.id:
            return f"the same request was taken before, as {first.id}"
        return None


async def _settle(connection: AsyncConnection, hold_id: str, status: str, reason: str) -> bool:
    """Note the decision at the site, once."""
    await connection.execute(delete(undecided).where(undecided.c.hold_id == hold_id))
    end = update(holds).where(holds.c.id == hold_id, holds.c.status == "accepted")
    return (await connection.execute(end.values(status=status, reason=reason))).rowcount == 1
