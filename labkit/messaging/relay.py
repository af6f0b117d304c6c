"""The relay: publishes what is in the outbox, in order, at least once.

Shows: read the oldest rows that are not published, publish each, and only then mark them. A crash
between the two publishes them again; marking first would lose them. Which rows are unpublished is
asked for by their mark and not by "position greater than the last one": on PostgreSQL a transaction
with a smaller position may commit later, and would be passed over for ever.

Guarantees: every event of a committed transaction is published, after those of the same source and
aggregate that came before it. Of several relays of one source, the one that holds the claim (a row
with an owner and an end) publishes; when it dies, another takes over after `lease` seconds.

Leaves out: exactly once. A relay that is stopped for longer than its claim, and goes on, repeats
what another has published: duplicates, and out of order; so does one whose clock is ahead (a claim
ends by the clock of who looks). The bus cannot refuse them; inboxes and guarded transitions do.
Polling costs one small query per `poll`; reading the database's log instead (Debezium) costs a
connector.

Sources: Richardson, "Microservices Patterns", 2018, ch. 3 (polling publisher); Debezium, "Outbox
Event Router"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, Double, MetaData, Row, String, Table, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate, create_tables, insert_if_new, reading
from labkit.base.validation import whole
from labkit.base.working import work
from labkit.messaging.bus import Bus
from labkit.messaging.outbox import outbox

metadata = MetaData()
claims = Table(
    "relay_claims",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("claimed_until", Double, nullable=False),
)


class Relay:
    """Publishes the events of `source` from its outbox to `bus`.

    `owner` names this relay and no other, `clock` gives seconds since 1970. Seconds: `lease` for a
    claim, which must be longer than one publication may take; `within` for each transaction."""

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
        if not 0 < lease < math.inf:
            raise ValueError(f"lease must be more than 0 seconds and finite, got {lease!r}")
        self._engine = engine
        self._source = source
        self._bus = bus
        self._owner = owner
        self._clock = clock
        self._lease = lease
        self._within = within
        self._observe = observe

    def __repr__(self) -> str:
        return f"<Relay {self._owner} of {self._source}>"

    async def relay(self, batch: int = 100) -> int:
        """Publish and mark up to `batch` events; returns how many (0: nothing to do, or another
        relay has the claim).

        Raises what the bus raises, and `DatabaseUnavailable`: what was published and not marked is
        published again."""
        whole("batch", batch, 1)
        rows = await self._unpublished(batch)
        if not rows or (until := await self._claim()) is None:
            return 0
        rows = await self._unpublished(
            batch
        )  # as the holder: what another relay marked meanwhile is not ours to repeat
        published: list[int] = []
        try:
            for row in rows:
                if self._clock() >= until:
                    break
                await self._bus.publish(row.wire)
                published.append(row.position)
                self._observe("published", id=row.message_id, by=self._owner)
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

    async def _claim(self) -> float | None:
        """Until when this relay may publish; None when another one may."""
        now = self._clock()
        until = now + self._lease
        nobody = {"source": self._source, "owner": self._owner, "claimed_until": until}
        free = or_(claims.c.owner == self._owner, claims.c.claimed_until <= now)
        take = (
            update(claims)
            .where(claims.c.source == self._source, free)
            .values(owner=self._owner, claimed_until=until)
        )
        async with begin_immediate(self._engine, within=self._within) as connection:
            if (await connection.execute(insert_if_new(claims).values(nobody))).rowcount:
                return until
            return until if (await connection.execute(take)).rowcount else None

    async def _mark(self, positions: Sequence[int]) -> None:
        mark = (
            update(outbox)
            .where(outbox.c.position.in_(positions))
            .values(published_at=self._clock())
        )
        async with begin_immediate(self._engine, within=self._within) as connection:
            await connection.execute(mark)
        self._observe("marked", events=len(positions), by=self._owner)


async def create_relay_claims(engine: AsyncEngine) -> None:
    """Create the table of the relays' claims where it is missing."""
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
