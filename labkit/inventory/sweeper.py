"""The sweeper: expires abandoned holds, so that their units come back before somebody asks for
them.

It may be stopped anywhere. It takes its turn by a lease and expires one batch in one transaction,
until a batch is not full. After a crash, the next sweeper finds the remaining holds unchanged.

Guarantees: no hold is expired twice or while it is live, with any number of sweepers and any lease.
This rests on the compare-and-set of each hold. The turn only keeps two sweepers from doing the same
work.

Leaves out: urgency. `Holds.hold` takes back what it needs by itself. While no sweeper runs, events
are delayed, and the units of overdue holds are missing for everyone who does not go through a hold:
a direct sale, or a cache of `Inventory.stock`.

Sources: Spree pull request 13978 (the feature: an expire job in batches); Stockpile pull request
419 (cleaning up must not wait for a mutation).
"""

from __future__ import annotations

from labkit.base.claims import Turn
from labkit.base.transactions import begin_immediate
from labkit.base.validation import whole
from labkit.base.working import work
from labkit.inventory.holds import Holds
from labkit.inventory.transitions import take_back


class Sweeper:
    """Expires overdue holds as the worker `owner`, a name that no other process has. `lease`:
    seconds that a turn lasts.
    """

    def __init__(self, holds: Holds, *, owner: str, lease: float = 30.0, batch: int = 100) -> None:
        whole("batch", batch, 1)
        self.batch = batch
        self._turn = Turn("sweeper", owner, lease=lease)
        self._holds = holds

    def __repr__(self) -> str:
        return f"<Sweeper {self._turn.owner}, {self.batch} at a time>"

    async def sweep(self) -> int:
        """Expire all overdue holds and return their number (0 also if another sweeper has the
        turn). Raises `DatabaseUnavailable`.
        """
        swept = 0
        while (expired := await self._batch()) is not None:
            swept += expired
            if expired < self.batch:
                break
        return swept

    async def work(self, poll: float = 10.0) -> None:
        """Sweep for ever, with `poll` seconds in between; ends by cancellation."""

        async def step() -> int:
            await self.sweep()
            return 0  # a sweep leaves nothing to do at once

        await work(step, poll=poll, observe=self._holds.observe)

    async def _batch(self) -> int | None:
        """Expire one batch, in one transaction with the turn; None if another sweeper has it."""
        holds = self._holds
        async with begin_immediate(holds.engine, within=holds.within) as connection:
            now = holds.clock()
            if await self._turn.take(connection, now) is None:
                return None
            expired = await take_back(
                connection, now=now, limit=self.batch, announce=holds.announce
            )
            if len(expired) < self.batch:  # nothing is left
                await self._turn.end(connection)
            holds.observe("committing", what="sweep")
        for hold in expired:
            holds.observe("expired", hold=hold.id)
        return len(expired)
