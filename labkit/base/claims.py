"""Claims: which worker has a piece of work, and until when. A worker that dies blocks nobody for
longer than its claim lasts.

Two forms of one mechanism, an owner and an end in a row and a guarded UPDATE that sets both:
- `Turn`: a named job that one worker does at a time (sweeping holds, relaying an outbox), in the
  table `turns`.
- `Claim`: the two columns of any other table whose rows are themselves the work (an undecided hold,
  an idempotency key, a saga). It gives the conditions and the values for that table's statements.

Guarantees: of workers that take a turn at the same moment, one has it. A claim that has not ended
is refused to everyone but its owner.

Leaves out: mutual exclusion. A worker that is stopped for longer than its claim goes on when it
wakes, beside its successor; and a worker whose clock is ahead takes over too early. What the work
changes must be guarded by itself: by `Claim.held` in the statement that finishes it, by a
compare-and-set, or by a receiver that recognises duplicates.

Source: Gray and Cheriton 1989, "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File
Cache Consistency"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Double, MetaData, String, Table, and_, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate, create_tables, insert_if_new
from labkit.base.validation import between, text

UNCLAIMED = 0.0
"""The end of a claim that nobody holds (seconds since 1970)."""


@dataclass(frozen=True)
class Claim:
    """The two columns of a table that say who has claimed a row, and until when (seconds since
    1970; `UNCLAIMED`: nobody has)."""

    owner: Column[Any]
    until: Column[Any]

    def free(self, now: float, owner: str | None = None) -> ColumnElement[bool]:
        """Rows that may be claimed now: those whose claim has ended, and `owner`'s own, if an owner
        is given."""
        ended = self.until <= now
        return ended if owner is None else or_(ended, self.owner == owner)

    def held(self, owner: str, now: float) -> ColumnElement[bool]:
        """Rows that `owner` has claimed and that nobody else may claim yet. The guard of the
        statement that finishes the work."""
        return and_(self.owner == owner, self.until > now)

    def taken(self, owner: str, until: float) -> dict[str, str | float]:
        """The values, by column name, of a row that `owner` claims until then."""
        return {self.owner.name: owner, self.until.name: until}


metadata = MetaData()
turns = Table(
    "turns",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("until", Double, nullable=False),
)
_TURN = Claim(turns.c.owner, turns.c.until)


class Turn:
    """The turn of the worker `owner` at the job `name`; it lasts `lease` seconds from each `take`.

    No other worker may have the same `owner`. The table is made with `create_turns`."""

    def __init__(self, name: str, owner: str, *, lease: float) -> None:
        self.name = text("name", name, 128)
        self.owner = text("owner", owner, 64)
        self.lease = between(lease, "lease", 0.001, 86_400.0)

    def __repr__(self) -> str:
        return f"<Turn of {self.owner} at {self.name}, {self.lease:g} s>"

    async def take(self, connection: AsyncConnection, now: float) -> float | None:
        """Take the turn, or renew it; returns its end, or None while another worker has it. In the
        caller's transaction: it counts from that commit on."""
        until = now + self.lease
        taken = _TURN.taken(self.owner, until)
        first = await connection.execute(insert_if_new(turns).values(name=self.name, **taken))
        if first.rowcount:
            return until
        free = update(turns).where(turns.c.name == self.name, _TURN.free(now, self.owner))
        return until if (await connection.execute(free.values(taken))).rowcount else None

    async def end(self, connection: AsyncConnection) -> None:
        """End the turn before its time, if it is still this worker's: the next may take it at
        once. In the caller's transaction."""
        mine = update(turns).where(turns.c.name == self.name, turns.c.owner == self.owner)
        await connection.execute(mine.values(until=UNCLAIMED))


async def create_turns(engine: AsyncEngine) -> None:
    """Create the table `turns` where it is missing."""
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
