"""The outbox: a service writes its events where it writes its state, in the same transaction.

Shows: `add` puts an event into the table `outbox` in the caller's transaction; a relay
(`labkit.messaging.relay`) publishes it later. The alternatives lose: publish after the commit, and
a crash between the two leaves a state that nobody hears of; publish before it, and a rollback
leaves an event about nothing.

Guarantees: state and event are committed together or not at all. The events of one source and
aggregate are numbered 1, 2, 3 … in the order of their commits, without gaps: the counter's row is
locked from `add` to the commit.

Leaves out: the order between aggregates. Published rows stay until `prune`: they are the record of
what was published, and `republish` can send it again to a broker that has lost it. The counters are
never deleted, so no number is given twice.

Sources: Richardson, "Microservices Patterns", 2018, ch. 3 (transactional outbox); Debezium
documentation, "Outbox Event Router"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate, create_tables, insert_if_new
from labkit.messaging.envelope import Catalog, Cause, Envelope, Event

metadata = MetaData()
outbox = Table(
    "outbox",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("source", String(64), nullable=False),
    Column("message_id", String(64), nullable=False, unique=True),
    Column("aggregate", String(64), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("correlation", String(64), nullable=False),
    Column("wire", Text, nullable=False),
    Column("added_at", Double, nullable=False),
    Column("published_at", Double),
    UniqueConstraint("source", "aggregate", "sequence", name="one_event_per_number"),
)
_unpublished = outbox.c.published_at.is_(None)
Index(
    "outbox_unpublished",
    outbox.c.source,
    outbox.c.position,
    sqlite_where=_unpublished,
    postgresql_where=_unpublished,
)  # as long as the backlog, not as the history
Index("outbox_correlation", outbox.c.correlation)

counters = Table(
    "outbox_counters",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("aggregate", String(64), primary_key=True),
    Column("last", Integer, nullable=False),
)


class Outbox:
    """The events of the service `source`, in the table `outbox` of the database its state is in.

    `clock` gives seconds since 1970, `ids("event-")` a fresh id with that prefix.
    """

    def __init__(
        self,
        source: str,
        catalog: Catalog,
        *,
        clock: Callable[[], float],
        ids: Callable[[str], str],
    ) -> None:
        self.source = source
        self.catalog = catalog
        self._clock = clock
        self._ids = ids

    def __repr__(self) -> str:
        return f"<Outbox of {self.source}>"

    async def add(
        self,
        connection: AsyncConnection,
        event: Event,
        *,
        aggregate: str,
        cause: Cause | None = None,
    ) -> Envelope:
        """Publish `event` about `aggregate` if the caller's transaction commits. `cause` is the
        message that led to it; without one, a new correlation begins. Raises `BadMessage` for an
        event that no consumer could read."""
        identity = self._ids("event-")
        made = Envelope(
            id=identity,
            source=self.source,
            aggregate=aggregate,
            sequence=await self._next(connection, aggregate),
            correlation=identity if cause is None else cause.correlation,
            causation=None if cause is None else cause.id,
            at=self._clock(),
            event=event,
        )
        row = {
            "source": self.source,
            "message_id": made.id,
            "aggregate": made.aggregate,
            "sequence": made.sequence,
            "correlation": made.correlation,
            "wire": self.catalog.encode(made),
            "added_at": made.at,
        }
        await connection.execute(insert(outbox).values(row))
        return made

    async def said(self, connection: AsyncConnection, correlation: str) -> list[Envelope]:
        """All events of this service in one business process, in order, published or not."""
        mine = select(outbox.c.wire).where(
            outbox.c.source == self.source, outbox.c.correlation == correlation
        )
        return [
            self.catalog.decode(wire)
            for wire in (await connection.scalars(mine.order_by(outbox.c.position))).all()
        ]

    async def waiting(self, connection: AsyncConnection) -> int:
        """How many events have not been published yet."""
        mine = (
            select(func.count())
            .select_from(outbox)
            .where(outbox.c.source == self.source, _unpublished)
        )
        return int(await connection.scalar(mine) or 0)

    async def republish(self, connection: AsyncConnection, since: float) -> int:
        """Mark what was added since then (seconds since 1970) as unpublished, for a broker that has
        lost it; returns how many events.
        """
        again = update(outbox).where(outbox.c.source == self.source, outbox.c.added_at >= since)
        return (await connection.execute(again.values(published_at=None))).rowcount

    async def prune(self, connection: AsyncConnection, before: float) -> int:
        """Delete what was published before then (seconds since 1970); returns how many events."""
        old = delete(outbox).where(outbox.c.source == self.source, outbox.c.published_at < before)
        return (await connection.execute(old)).rowcount

    async def _next(self, connection: AsyncConnection, aggregate: str) -> int:
        row: dict[str, Any] = {"source": self.source, "aggregate": aggregate, "last": 0}
        await connection.execute(insert_if_new(counters).values(row))
        mine = update(counters).where(
            counters.c.source == self.source, counters.c.aggregate == aggregate
        )
        number: int = (
            await connection.execute(
                mine.values(last=counters.c.last + 1).returning(counters.c.last)
            )
        ).scalar_one()
        return number


async def create_outbox(engine: AsyncEngine) -> None:
    """Create the tables of the outbox where they are missing."""
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
