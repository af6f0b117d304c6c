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

from labkit.base.claims import Turn
from labkit.base.transactions import begin_immediate
from labkit.base.validation import whole
from labkit.base.working import work
from labkit.inventory.holds import Holds
from labkit.inventory.transitions import take_back


class Sweeper:
    """Sweeps overdue holds under the name `owner`, which no other process has; `lease` is how long
    a turn lasts, in seconds.
    """

    def __init__(self, holds: Holds, *, owner: str, lease: float = 30.0, batch: int = 100) -> None:
        whole("batch", batch, 1)
        self.batch = batch
        self._turn = Turn("sweeper", owner, lease=lease)
        self._holds = holds

    def __repr__(self) -> str:
        return f"<Sweeper {self._turn.owner}, {self.batch} at a time>"

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

    async def work(self, poll: float = 10.0) -> None:
        """Sweep for ever, with `poll` seconds in between; ends by cancellation."""

        async def step() -> int:
            await self.sweep()
            return 0  # what a sweep leaves is another sweeper's: no reason to look again at once

        await work(step, poll=poll, observe=self._holds.observe)

    async def _batch(self) -> int | None:
        """One batch in one transaction, the turn included; None when it is not this sweeper's turn."""
        holds = self._holds
        async with begin_immediate(holds.engine, within=holds.within) as connection:
            now = holds.clock()
            if await self._turn.take(connection, now) is None:
                return None
            expired = await take_back(
                connection, now=now, limit=self.batch, announce=holds.announce
            )
            if len(expired) < self.batch:  # nothing is left: let the next one in
                await self._turn.end(connection)
            holds.observe("committing", what="sweep")
        for hold in expired:
            holds.observe("expired", hold=hold.id)
        return len(expired)
