"""Deadlines: a process that waits for events must end even if one of them never comes.

Shows: a deadline is a row, set in the transaction that begins the process and cleared in the one
that ends it. A worker takes the rows that are due: in one transaction it deletes the row, runs
`when_due`, and adds the resulting events (the order has timed out) to the outbox.

Guarantees: a deadline fires at most once, whatever the number of workers, and never after it was
cleared: the transaction that deletes the row decides. A deadline whose work raises does not hold up
the others. If a process clears its deadline *before* it changes its own state, as the worker does,
the two take their locks in the same order and cannot deadlock.

Leaves out: punctuality. A deadline fires when a worker looks after it is due, by the worker's
clock.

Sources: NServiceBus documentation, "Saga timeouts"; Richardson, "Microservices Patterns", 2018, ch.
4 (process managers)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Double, MetaData, Row, String, Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.calls import relabel_os_errors
from labkit.base.errors import DatabaseUnavailable
from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate, create_tables, insert_if_new, reading
from labkit.base.validation import whole
from labkit.base.working import work
from labkit.messaging.envelope import Cause, Event
from labkit.messaging.subscriber import Sends

metadata = MetaData()
deadlines = Table(
    "deadlines",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("process", String(64), primary_key=True),
    Column("due_at", Double, nullable=False, index=True),
    Column("cause_id", String(64), nullable=False),
    Column("correlation", String(64), nullable=False),
)

WhenDue = Callable[[AsyncConnection, str], Awaitable[Iterable[Event]]]
"""End this process in the given transaction, and return the events to publish about it."""


@dataclass(frozen=True)
class _Cause:
    id: str
    correlation: str


class Deadlines:
    """The deadlines of one service, in the table `deadlines` of its own database."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def __repr__(self) -> str:
        return f"<Deadlines of {self.owner}>"

    async def set(
        self, connection: AsyncConnection, process: str, due_at: float, *, cause: Cause
    ) -> None:
        """Set the process's deadline to `due_at` (seconds since 1970). A process that has one
        already keeps it.
        """
        if not math.isfinite(due_at):
            raise ValueError(f"due_at must be finite, in seconds since 1970, got {due_at!r}")
        row = {"owner": self.owner, "process": process, "due_at": due_at}
        row |= {"cause_id": cause.id, "correlation": cause.correlation}
        await connection.execute(insert_if_new(deadlines).values(row))

    async def clear(self, connection: AsyncConnection, process: str) -> bool:
        """Clear the deadline of a process that ends; False when it has none, or none any more."""
        mine = delete(deadlines).where(
            deadlines.c.owner == self.owner, deadlines.c.process == process
        )
        return (await connection.execute(mine)).rowcount == 1


class DeadlineWorker:
    """Fires deadlines that are due. `outbox` belongs to the same service; `within` bounds each
    transaction, in seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        deadlines: Deadlines,
        outbox: Sends,
        when_due: WhenDue,
        *,
        clock: Callable[[], float],
        within: float = 5.0,
        observe: Observe = ignore,
    ) -> None:
        self._engine = engine
        self._deadlines = deadlines
        self._outbox = outbox
        self._when_due = when_due
        self._clock = clock
        self._within = within
        self._observe = observe

    def __repr__(self) -> str:
        return f"<DeadlineWorker of {self._deadlines.owner}>"

    async def fire(self, limit: int = 100) -> int:
        """Fire the `limit` oldest that are due, each in its own transaction; returns how many.

        Raises `DatabaseUnavailable`; and, after trying all of them, the first error of a deadline
        that could not fire. Nothing of that one was committed, and it is still due."""
        whole("limit", limit, 1)
        now, last, fired, broken = self._clock(), None, 0, None
        while fired < limit and (rows := await self._due(now, last, limit - fired)):
            for row in rows:
                try:
                    fired += await self._fire(row)
                except DatabaseUnavailable:
                    raise
                except Exception as error:
                    broken = broken or error
            last = rows[-1]
        if broken is not None:
            raise broken
        return fired

    async def work(self, poll: float = 1.0) -> None:
        """Fire for ever; ends by cancellation, or with the error of a deadline that could not fire,
        after trying all the others.
        """
        await work(self.fire, poll=poll, observe=self._observe)

    async def _due(self, now: float, last: Row[Any] | None, limit: int) -> Sequence[Row[Any]]:
        """The oldest that are due, after `last`: those up to it have been tried already."""
        due = select(deadlines).where(
            deadlines.c.owner == self._deadlines.owner, deadlines.c.due_at <= now
        )
        if last is not None:
            due = due.where(
                tuple_(deadlines.c.due_at, deadlines.c.process) > (last.due_at, last.process)
            )
        async with reading(self._engine, within=self._within) as connection:
            return (
                await connection.execute(
                    due.order_by(deadlines.c.due_at, deadlines.c.process).limit(limit)
                )
            ).all()

    async def _fire(self, row: Row[Any]) -> bool:
        async with begin_immediate(self._engine, within=self._within) as connection:
            if not await self._deadlines.clear(connection, row.process):
                return False  # the process ended, or another worker fired it, since we looked
            for event in await relabel_os_errors(self._when_due(connection, row.process)):
                cause = _Cause(row.cause_id, row.correlation)
                await self._outbox.add(connection, event, aggregate=row.process, cause=cause)
        self._observe("deadline fired", process=row.process)
        return True


async def create_deadlines(engine: AsyncEngine) -> None:
    """Create the table `deadlines` where it is missing."""
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
