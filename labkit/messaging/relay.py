"""The relay: publishes what is in the outbox, in order, at least once.

Shows: read the oldest unpublished rows, publish each, and only then mark them. A crash between the
two publishes them again; marking first would lose them. Unpublished rows are found by their mark
and not by "position greater than the last one": on PostgreSQL a transaction with a smaller position
may commit later, and would be skipped for good.

Guarantees: every event of a committed transaction is published, after the earlier events of its
source and aggregate. Of several relays of one source, the one that has the turn
(`labkit.base.claims`) publishes; if it dies, another takes over after `lease` seconds.

Leaves out: exactly-once publication. A relay that is stopped for longer than its turn and then
continues repeats what another has published, out of order; so does one whose clock is ahead. The
bus cannot refuse that; inboxes and guarded updates do. Polling costs one small query every `poll`
seconds; reading the database's log instead (Debezium) costs a connector.

Sources: Richardson, "Microservices Patterns", 2018, ch. 3 (polling publisher); Debezium, "Outbox
Event Router"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.claims import Turn
from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate, reading
from labkit.base.validation import whole
from labkit.base.working import work
from labkit.messaging.bus import Bus
from labkit.messaging.outbox import outbox


class Relay:
    """Publishes the events of `source` from its outbox to `bus`.

    `owner` names this relay and no other; `clock` gives seconds since 1970. A turn lasts `lease`
    seconds, which must be longer than one publication may take; `within` bounds each transaction,
    in seconds. The turns are in the table of `labkit.base.claims.create_turns`."""

    def __init__(
        self,
        engine: AsyncEngine,
        source: str,
        bus: Bus,
        *,
        owner: str,
        clock: Callable[[], float],
        lease: float = 10.0,
        within: float = 5.0,
        observe: Observe = ignore,
    ) -> None:
        self._engine = engine
        self._source = source
        self._bus = bus
        self._clock = clock
        self._turn = Turn(f"relay of {source}", owner, lease=lease)
        self._within = within
        self._observe = observe

    def __repr__(self) -> str:
        return f"<Relay {self._turn.owner} of {self._source}>"

    async def relay(self, batch: int = 100) -> int:
        """Publish and mark up to `batch` events; returns how many (0: nothing to do, or it is
        another relay's turn).

        Raises what the bus raises, and `DatabaseUnavailable`. What was published and not marked
        will be published again."""
        whole("batch", batch, 1)
        rows = await self._unpublished(batch)
        if not rows or (until := await self._take_turn()) is None:
            return 0
        # Look again, now that it is our turn: another relay may have published some meanwhile.
        rows = await self._unpublished(batch)
        published: list[int] = []
        try:
            for row in rows:
                if self._clock() >= until:
                    break
                await self._bus.publish(row.wire)
                published.append(row.position)
                self._observe("published", id=row.message_id, by=self._turn.owner)
        finally:
            if published:
                await self._mark(published)
        return len(published)

    async def work(self, poll: float = 0.05, batch: int = 100) -> None:
        """Relay for ever; ends by cancellation."""

        async def step() -> int:
            return await self.relay(batch)

        await work(step, poll=poll, observe=self._observe)

    async def _unpublished(self, batch: int) -> Sequence[Row[Any]]:
        waiting = select(outbox.c.position, outbox.c.message_id, outbox.c.wire)
        waiting = waiting.where(outbox.c.source == self._source, outbox.c.published_at.is_(None))
        async with reading(self._engine, within=self._within) as connection:
            return (
                await connection.execute(waiting.order_by(outbox.c.position).limit(batch))
            ).all()

    async def _take_turn(self) -> float | None:
        """Until when this relay may publish; None when it is another relay's turn."""
        async with begin_immediate(self._engine, within=self._within) as connection:
            return await self._turn.take(connection, self._clock())

    async def _mark(self, positions: Sequence[int]) -> None:
        mark = (
            update(outbox)
            .where(outbox.c.position.in_(positions))
            .values(published_at=self._clock())
        )
        async with begin_immediate(self._engine, within=self._within) as connection:
            await connection.execute(mark)
        self._observe("marked", events=len(positions), by=self._turn.owner)
