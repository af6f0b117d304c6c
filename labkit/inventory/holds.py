"""Holds on stock: set units aside for a customer, for a limited time.

    holds = Holds(engine, clock=world.clock, ids=world.new_id)
    hold = await holds.hold([("stove", 1)], key="cart-7", customer="ada")
    await holds.confirm(hold.id)

Each method runs one of the `transitions` in a transaction of its own.

Guarantees, on any schedule: held plus sold units never exceed the stock. A cart is held as a whole
or not at all, with demand summed per SKU. The same key is the same hold, and a repeated transition
has no second effect. Holds never change on hand + held + sold. Every error says whether it
happened: after `DatabaseUnavailable` with outcome "unknown", repeat the call.

`observe(kind, **facts)` reports "committing" just before a commit, and "held", "extended",
"confirmed", "released" or (from a sweeper) "expired" just after it.

Leaves out: payment. A hold that is confirmed before the payment is known needs a saga.

Sources: Stripe Checkout (sessions that expire); Broadleaf and Spree (reservations with a time to
live). For the design of the transitions see `transitions.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.claims import metadata as turns
from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate, create_tables, reading, use_write_ahead_log
from labkit.base.validation import between, text
from labkit.inventory import transitions
from labkit.inventory.errors import UnknownSku
from labkit.inventory.ledger import Balance, LedgerEntry, record
from labkit.inventory.model import Announce, Availability, Hold, Lines, demand_of, to_nobody
from labkit.inventory.stock import create_inventory, inventory
from labkit.inventory.tables import metadata, stock_ledger
from labkit.inventory.transitions import availability, find

MIN_TTL, MAX_TTL = 0.001, 30 * 86_400.0
"""Limits of `ttl`, in seconds."""


class Holds:
    """Holds on the `inventory` of one database (create the tables with `create_reservations`).

    `clock` returns seconds since 1970, and `ids("hold-")` a new id with that prefix. Seconds: `ttl`
    is the default for a hold, `within` limits each call. `announce(connection, event)` runs in the
    transaction of its event."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        clock: Callable[[], float],
        ids: Callable[[str], str],
        ttl: float = 600.0,
        announce: Announce = to_nobody,
        within: float | None = None,
        observe: Observe = ignore,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.ttl = between(ttl, "ttl", MIN_TTL, MAX_TTL)
        self.announce = announce
        self.within = within
        self.observe = observe
        self._ids = ids

    def __repr__(self) -> str:
        return f"<Holds on {self.engine.dialect.name}, for {self.ttl:g} s>"

    async def hold(
        self, lines: Lines, *, key: str, customer: str, ttl: float | None = None
    ) -> Hold:
        """Set every (SKU, quantity) of `lines` aside for `ttl` seconds, or none of them.

        A repeated key returns the same hold as it is now: check its `status`, it may have ended.
        Raises `OutOfStock` or `UnknownSku` (nothing was set aside, and the key stays free),
        `KeyReused` (for other lines or another customer), or `DatabaseUnavailable`."""
        seconds = self.ttl if ttl is None else between(ttl, "ttl", MIN_TTL, MAX_TTL)
        text("key", key, 255)
        text("customer", customer, 64)
        demand = demand_of(lines)
        async with self._write("hold") as connection:
            now = self.clock()
            fresh = Hold(
                self._ids("hold-"),
                key,
                customer,
                "held",
                demand,
                created_at=now,
                expires_at=now + seconds,
            )
            hold = await transitions.place(connection, fresh, now=now, announce=self.announce)
        if hold.status == "held":  # not an earlier hold of this key that has ended
            self.observe("held", hold=hold.id, customer=customer)
        return hold

    async def extend(self, hold_id: str, ttl: float | None = None) -> Hold:
        """Let the hold last at least `ttl` seconds from now. Raises `NotHeld`, `UnknownHold`,
        `DatabaseUnavailable`.
        """
        seconds = self.ttl if ttl is None else between(ttl, "ttl", MIN_TTL, MAX_TTL)
        text("hold_id", hold_id, 64)
        async with self._write("extend") as connection:
            now = self.clock()
            hold = await transitions.extend(connection, hold_id, now + seconds, now=now)
        self.observe("extended", hold=hold.id)
        return hold

    async def confirm(self, hold_id: str) -> Hold:
        """Sell the held units. Raises `NotHeld` (it was released or has expired), `UnknownHold`,
        `DatabaseUnavailable`.
        """
        text("hold_id", hold_id, 64)
        async with self._write("confirm") as connection:
            hold = await transitions.confirm(
                connection, hold_id, now=self.clock(), announce=self.announce
            )
        self.observe("confirmed", hold=hold.id)
        return hold

    async def release(self, hold_id: str, reason: str = "given back") -> Hold:
        """Give the held units back, with a reason. Raises `NotHeld`, `UnknownHold`,
        `DatabaseUnavailable`.
        """
        text("hold_id", hold_id, 64)
        text("reason", reason, 255)
        async with self._write("release") as connection:
            hold = await transitions.release(
                connection, hold_id, reason, now=self.clock(), announce=self.announce
            )
        self.observe("released", hold=hold.id)
        return hold

    async def get(self, hold_id: str) -> Hold:
        """The hold as it is now. Raises `UnknownHold`, `DatabaseUnavailable`."""
        text("hold_id", hold_id, 64)
        async with reading(self.engine, within=self.within) as connection:
            return await find(connection, hold_id, now=self.clock())

    async def available(self, sku: str) -> Availability:
        """Where the units of this SKU are. Raises `UnknownSku`, `DatabaseUnavailable`."""
        text("sku", sku, 64)
        async with reading(self.engine, within=self.within) as connection:
            found = await availability(connection, now=self.clock(), sku=sku)
        if not found:
            raise UnknownSku(sku)
        return found[sku]

    @asynccontextmanager
    async def _write(self, what: str) -> AsyncIterator[AsyncConnection]:
        async with begin_immediate(self.engine, within=self.within) as connection:
            yield connection
            self.observe("committing", what=what)


async def create_reservations(engine: AsyncEngine, *, clock: Callable[[], float]) -> None:
    """Create the missing tables, and open the ledger for every SKU of the inventory that is not in
    it yet.

    Fill the inventory first (`create_inventory`, `open_shop`); at a site that only accepts holds it
    stays empty. `clock` returns seconds since 1970. May be repeated, also by several processes at
    once."""
    await create_inventory(engine, {})
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(
            connection, metadata, turns
        )  # nobody else opens the ledger until the commit
        known = select(stock_ledger.c.sku).where(stock_ledger.c.sku == inventory.c.sku)
        fresh = (
            select(inventory.c.sku, inventory.c.stock)
            .where(~known.exists())
            .order_by(inventory.c.sku)
        )
        shelf = (await connection.execute(fresh.with_for_update())).all()
        now = clock()
        await record(
            connection,
            [LedgerEntry(now, None, sku, "opened", Balance(on_hand=stock)) for sku, stock in shelf],
        )
