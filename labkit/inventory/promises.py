"""The optimistic mode: accept a hold at once, decide it later, and take back what cannot be kept.

`Accepts` writes a hold as "accepted" and, in the same transaction, the task of deciding it, as a
row. It does not look at the stock. A cached number that is fresh enough may refuse; a cache that is
down refuses nobody.

`Validator` claims such tasks in the order in which the holds were created, and decides each hold in
one transaction: it takes the stock, confirms the hold, writes the ledger and announces the event;
or it cancels the hold, with a reason and an event.

Guarantees: whatever crashes, every accepted hold is decided exactly once, as long as a validator
runs. The same key is the same hold. Holds are confirmed as if they were served in the order
(created_at, id), each if it still fits, whichever worker decides it and when: a hold waits while an
earlier one that wants one of its SKUs is undecided. For this a hold is decided when it is `settle`
seconds old, so that it does not overtake one that was created earlier and is still on its way. A
hold that arrives later than that is served after those already decided.

Leaves out: telling the customer (the event is for that), withdrawing an accepted hold, and an
expiry for it. A hold whose decision fails `attempts` times is cancelled, so that it does not block
all others. An unavailable database does not count as a failure.

Sources: Helland 2007, "Life beyond Distributed Transactions" (a tentative yes, then a confirmation
or a cancellation); the guide's optimistic reservations, whose validator confirms everybody or
nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Protocol

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.claims import UNCLAIMED
from labkit.base.errors import ClaimLost, DatabaseUnavailable, Refused
from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate, reading
from labkit.base.validation import between, text, whole
from labkit.base.working import work
from labkit.inventory.errors import OutOfStock
from labkit.inventory.ledger import Balance
from labkit.inventory.model import (
    Announce,
    Hold,
    HoldCancelled,
    HoldConfirmed,
    Lines,
    demand_of,
    to_nobody,
)
from labkit.inventory.stock import take_all
from labkit.inventory.tables import claims, hold_lines, holds, undecided
from labkit.inventory.transitions import enter, find, find_where, note, take_back


class Validator:
    """Decides accepted holds in the database with the stock, as the worker `owner`, a name that no
    other worker has.

    Seconds: `lease` for a claim, `settle` for the age at which a hold is decided, `within` for each
    transaction. `batch` rows are claimed at once. `announce(connection, event)` runs in the
    transaction of the decision."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        owner: str,
        clock: Callable[[], float],
        lease: float = 30.0,
        batch: int = 100,
        settle: float = 0.0,
        attempts: int = 5,
        announce: Announce = to_nobody,
        within: float | None = None,
        observe: Observe = ignore,
    ) -> None:
        for field, value in (("batch", batch), ("attempts", attempts)):
            whole(field, value, 1)
        self.owner = text("owner", owner, 64)
        self.lease = between(lease, "lease", 0.001, 86_400.0)
        self.settle = between(settle, "settle", 0.0, 86_400.0)
        self.batch = batch
        self.attempts = attempts
        self._engine = engine
        self._clock = clock
        self._announce = announce
        self._within = within
        self._observe = observe
        # Claimed, but not tried because the database was away: their attempt does not count.
        self._untried: list[str] = []

    def __repr__(self) -> str:
        return f"<Validator {self.owner}, {self.batch} at a time>"

    async def decide(self) -> list[Hold]:
        """Claim and decide a batch; returns the decided holds in order. After
        `DatabaseUnavailable`, the others stay claimed and are decided when the lease has ended."""
        decided = []
        rows = await self._claim()
        for place, (hold_id, attempt) in enumerate(rows):
            try:
                hold = await self._decide(hold_id, attempt)
            except ClaimLost:
                continue
            except DatabaseUnavailable:
                self._untried = [untried for untried, _ in rows[place:]]
                raise
            if hold is not None:
                self._observe(hold.status, hold=hold.id, customer=hold.customer)
                decided.append(hold)
        return decided

    async def work(self, poll: float = 1.0) -> None:
        """Decide for ever, with `poll` seconds after a batch in which nothing was decided; ends by
        cancellation.
        """

        async def step() -> int:
            return len(await self.decide())

        await work(step, poll=poll, observe=self._observe)

    async def _claim(self) -> Sequence[tuple[str, int]]:
        """Claim the first free rows, in order; returns each with the number of this attempt. A row
        that was tried before is claimed alone: if it makes its worker fail, it uses up no other
        row's attempts."""
        async with begin_immediate(self._engine, within=self._within) as connection:
            now = self._clock()
            if self._untried:
                again = update(undecided).where(
                    undecided.c.hold_id.in_(self._untried), undecided.c.attempts > 0
                )
                await connection.execute(again.values(attempts=undecided.c.attempts - 1))
            free = claims.free(now)
            first = select(undecided.c.hold_id, undecided.c.attempts).where(
                free, undecided.c.created_at <= now - self.settle
            )
            first = (
                first.order_by(undecided.c.created_at, undecided.c.hold_id)
                .limit(self.batch)
                .with_for_update()
            )
            found = [(row.hold_id, row.attempts + 1) for row in await connection.execute(first)]
            rows = [*takewhile(lambda row: row[1] == 1, found)] or found[:1]
            claim = update(undecided).where(
                undecided.c.hold_id.in_([hold_id for hold_id, _ in rows]), free
            )
            claim = claim.values(
                claims.taken(self.owner, now + self.lease) | {"attempts": undecided.c.attempts + 1}
            )
            if rows:
                await connection.execute(claim)
            self._observe("committing", what="claim")
        self._untried = []
        return rows

    async def _decide(self, hold_id: str, attempt: int) -> Hold | None:
        """Decide one hold in one transaction; None if it must wait or is decided. Raises
        `ClaimLost`.
        """
        async with begin_immediate(self._engine, within=self._within) as connection:
            now = self._clock()
            mine = and_(undecided.c.hold_id == hold_id, claims.held(self.owner, now))
            hold = await find(connection, hold_id, now=now)
            if await _an_earlier_one_waits(connection, hold):
                back = (
                    update(undecided)
                    .where(mine)
                    .values(claimed_until=UNCLAIMED, attempts=undecided.c.attempts - 1)
                )
                await connection.execute(back)
                return None
            if not (await connection.execute(delete(undecided).where(mine))).rowcount:
                raise ClaimLost(f"the claim of {hold_id!r} by {self.owner!r} has ended")
            if hold.status != "accepted":  # decided by hand: its task must not block others
                return None
            if attempt > self.attempts:
                hold = replace(
                    hold, status="cancelled", reason=f"not decided in {self.attempts} attempts"
                )
            else:
                hold = await self._serve(connection, hold, now)
            end = update(holds).where(holds.c.id == hold_id, holds.c.status == "accepted")
            if not (
                await connection.execute(end.values(status=hold.status, reason=hold.reason))
            ).rowcount:
                raise ClaimLost(f"{hold_id!r} is not waiting for a decision")
            await self._tell(connection, hold, now)
            self._observe("committing", what="decide")
        return hold

    async def _serve(self, connection: AsyncConnection, hold: Hold, now: float) -> Hold:
        """The hold, confirmed with its stock taken; or cancelled, with nothing taken."""
        await take_back(
            connection, now=now, skus=[sku for sku, _ in hold.lines], announce=self._announce
        )
        try:
            async with connection.begin_nested():
                await take_all(connection, dict(hold.lines))
        except Refused as refusal:
            return replace(hold, status="cancelled", reason=str(refusal))
        return replace(hold, status="confirmed")

    async def _tell(self, connection: AsyncConnection, hold: Hold, now: float) -> None:
        if hold.status == "confirmed":
            await note(connection, [hold], "confirmed", Balance(on_hand=-1, sold=1), now=now)
            await self._announce(connection, HoldConfirmed(hold.id, hold.customer))
        else:
            await note(connection, [hold], "cancelled", Balance(), now=now)
            await self._announce(connection, HoldCancelled(hold.id, hold.customer, hold.reason))


async def _an_earlier_one_waits(connection: AsyncConnection, hold: Hold) -> bool:
    """Whether an earlier undecided hold wants one of the SKUs of this one."""
    rows = undecided.join(hold_lines, hold_lines.c.hold_id == undecided.c.hold_id)
    same_moment = and_(undecided.c.created_at == hold.created_at, undecided.c.hold_id < hold.id)
    before = or_(undecided.c.created_at < hold.created_at, same_moment)
    wanted = (
        select(undecided.c.hold_id)
        .select_from(rows)
        .where(before, hold_lines.c.sku.in_([sku for sku, _ in hold.lines]))
    )
    return (await connection.scalar(wanted.limit(1))) is not None


class Estimate(Protocol):
    """An estimate of the stock; `StockCache` is one."""

    async def stock(self, sku: str) -> int | None:
        """Units on hand, or None if unknown."""


class Accepts:
    """Accepts holds into one database, which need not be the one with the stock (`forwarding.py`).

    `clock` returns seconds since 1970, and `ids("hold-")` a new id with that prefix. `within`
    limits the transaction, in seconds."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        clock: Callable[[], float],
        ids: Callable[[str], str],
        cache: Estimate | None = None,
        within: float | None = None,
        observe: Observe = ignore,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self._cache = cache
        self._within = within
        self._observe = observe

    def __repr__(self) -> str:
        cache = "without a cache" if self._cache is None else "with a cache"
        return f"<Accepts on {self._engine.dialect.name}, {cache}>"

    async def accept(self, lines: Lines, *, key: str, customer: str) -> Hold:
        """Accept a hold on these lines. A repeated key returns the same hold as it is now.

        Raises `OutOfStock` if the cached stock is too small (nothing was accepted), `KeyReused`,
        `DatabaseUnavailable`."""
        text("key", key, 255)
        text("customer", customer, 64)
        demand = demand_of(lines)
        refusal = await self._known_to_lack(demand)
        if refusal is not None and not await self._was_accepted(key):
            raise refusal
        async with begin_immediate(self._engine, within=self._within) as connection:
            now = self._clock()
            fresh = Hold(
                self._ids("hold-"),
                key,
                customer,
                "accepted",
                demand,
                created_at=now,
                expires_at=None,
            )
            hold = await enter(connection, fresh, now=now)
            if hold is None:
                hold = fresh
                await connection.execute(insert(undecided).values(hold_id=hold.id, created_at=now))
            self._observe("committing", what="accept")
        if hold.status == "accepted":  # not an earlier hold of this key that is decided
            self._observe("accepted", hold=hold.id, customer=customer)
        return hold

    async def _known_to_lack(self, demand: tuple[tuple[str, int], ...]) -> OutOfStock | None:
        if self._cache is not None:
            for sku, quantity in demand:
                known = await self._cache.stock(sku)
                if known is not None and known < quantity:
                    return OutOfStock(sku, quantity, known)
        return None

    async def _was_accepted(self, key: str) -> bool:
        """Whether this is a repeated request, whose units are no longer in the cached stock."""
        async with reading(self._engine, within=self._within) as connection:
            return bool(await find_where(connection, holds.c.key == key, now=self._clock()))

    async def get(self, hold_id: str) -> Hold:
        """The hold as this database has it. Raises `UnknownHold`, `DatabaseUnavailable`."""
        text("hold_id", hold_id, 64)
        async with reading(self._engine, within=self._within) as connection:
            return await find(connection, hold_id, now=self._clock())
