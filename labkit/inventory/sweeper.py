"""The sweeper: gives abandoned units back before somebody asks for them.

Shows: work that may stop anywhere. It takes its turn by a lease (a row, a guarded UPDATE) and
expires a batch in one transaction, and goes on until a batch is not full. Whoever comes after a
crash finds the rest as it was.

Guarantees: nothing is expired twice and nothing that is still live, with any number of sweepers and
any lease: that rests on the compare-and-set of each hold, not on the turn. The turn only saves two
sweepers from doing the same work.

Leaves out: urgency. `hold` takes back what it needs by itself. A dead sweeper delays announcements,
and keeps the units of overdue holds from whoever does not ask by a hold: a direct sale, a cache of
`Inventory.stock`.

Sources: Spree pull request 13978 (an expire job in batches); Stockpile pull request 419 (cleaning
up must not wait for a mutation)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.errors import DatabaseUnavailable
from labkit.base.transactions import begin_immediate, insert_if_new
from labkit.base.validation import between, text, whole
from labkit.inventory.holds import Holds
from labkit.inventory.tables import turns
from labkit.inventory.transitions import take_back

TURN = "sweeper"


class Sweeper:
    """Sweeps overdue holds under the name `owner`, which no other process has; `lease` is how long
    a turn lasts, in seconds.
    """

    def __init__(self, holds: Holds, *, owner: str, lease: float = 30.0, batch: int = 100) -> None:
        whole("batch", batch, 1)
        self.owner = text("owner", owner, 64)
        self.lease = between(lease, "lease", 0.001, 86_400.0)
        self.batch = batch
        self._holds = holds

    def __repr__(self) -> str:
        return f"<Sweeper {self.owner}, {self.batch} at a time>"

    async def sweep(self) -> int:
        """Expire what is overdue; returns how many holds (0 too when it is another's turn). Raises
        `DatabaseUnavailable`.
        """
        swept = 0
        while (expired := await self._batch()) is not None:
            swept += expired
            if expired < self.batch:
                break
        return swept

    async def work(self, every: float = 10.0) -> None:
        """Sweep for ever, `every` so many seconds; while the database is away, try again at the
        next time.
        """
        between(every, "every", 0.001, 86_400.0)
        while True:
            with suppress(DatabaseUnavailable):
                await self.sweep()
            await asyncio.sleep(every)

    async def _batch(self) -> int | None:
        """One batch in one transaction, the turn included; None when it is not this sweeper's turn."""
        holds = self._holds
        async with begin_immediate(holds.engine, within=holds.within) as connection:
            now = holds.clock()
            if not await take_turn(connection, TURN, self.owner, now=now, until=now + self.lease):
                return None
            expired = await take_back(
                connection, now=now, limit=self.batch, announce=holds.announce
            )
            if len(expired) < self.batch:  # nothing is left: let the next one in
                await take_turn(connection, TURN, self.owner, now=now, until=now)
            holds.observe("committing", what="sweep")
        for hold in expired:
            holds.observe("expired", hold=hold.id)
        return len(expired)


async def take_turn(
    connection: AsyncConnection, name: str, owner: str, *, now: float, until: float
) -> bool:
    """Have the turn `name` until then, unless another has it still. In the caller's transaction."""
    fresh = insert_if_new(turns).values(name=name, owner=owner, until=until)
    if (await connection.execute(fresh)).rowcount:
        return True
    free = or_(turns.c.owner == owner, turns.c.until <= now)
    taken = update(turns).where(turns.c.name == name, free).values(owner=owner, until=until)
    return (await connection.execute(taken)).rowcount == 1
