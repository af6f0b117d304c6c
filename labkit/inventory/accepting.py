"""The optimistic mode, first half: say yes at once. `validation` finds out later, and takes it back
where it cannot be kept.

Shows: `Accepts` writes a hold as "accepted" and, in the same transaction, the work of deciding it,
as a row. It asks nobody what is there. A cached number that is fresh enough may refuse; a cache
that is down refuses nobody.

Guarantees: what was accepted is decided, whatever crashes: the work is where the hold is. The same
key is the same hold.

Leaves out: withdrawing an accepted hold before it is decided, and an end: it waits for a decision,
not for its customer.

Source: Helland 2007, "Life beyond Distributed Transactions" (a tentative yes, then a confirmation
or a cancellation)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate, reading
from labkit.base.validation import text
from labkit.inventory.errors import OutOfStock
from labkit.inventory.lookup import find, find_where
from labkit.inventory.model import Hold, Lines, demand_of
from labkit.inventory.tables import holds, undecided
from labkit.inventory.transitions import enter


class Estimate(Protocol):
    """What is probably on hand; `StockCache` says so."""

    async def stock(self, sku: str) -> int | None:
        """Units, or None: nobody knows."""


class Accepts:
    """Accepts holds into one database, which need not be the one with the stock (see `forwarding`).

    `clock` gives seconds since 1970, `ids("hold-")` a fresh id with that prefix; `within` bounds
    the transaction, in seconds."""

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
        return f"<Accepts on {self._engine.dialect.name}, {'without' if self._cache is None else 'with'} a cache>"

    async def accept(self, lines: Lines, *, key: str, customer: str) -> Hold:
        """Say yes, and leave the rest to the validator; the same key again is the same hold, as it
        is by then.

        Raises `OutOfStock` when the cache knows better (nothing was accepted), `KeyReused`,
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
        if (
            hold.status == "accepted"
        ):  # and not one that the key has had long ago, and that is decided
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
        """Then this is a request repeated, and its units are among those that the cache misses."""
        async with reading(self._engine, within=self._within) as connection:
            return bool(await find_where(connection, holds.c.key == key, now=self._clock()))

    async def get(self, hold_id: str) -> Hold:
        """The hold as this database knows it. Raises `UnknownHold`, `DatabaseUnavailable`."""
        text("hold_id", hold_id, 64)
        async with reading(self._engine, within=self._within) as connection:
            return await find(connection, hold_id, now=self._clock())
