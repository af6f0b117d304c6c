"""The quota mode (escrow): the stock is divided in advance, and each site sells its share without
asking anybody.

`Escrow` is a bounded counter, as a value. Its state is a table of numbers that only grow: how many
units `giver` has ever passed on to `receiver`. A site's own units are those it gave to itself, and
a sale is units given to the customers ("").

    rights of a site = what it gave itself + what others gave it
                       - what it gave to others and to customers

A site writes only its own row and never gives more than its rights. Two sites that merge take the
larger of each pair of numbers.

`Quotas` keeps these numbers of one site in its database, one row per SKU, giver and receiver, and
runs each step in a transaction. `take_in` is a `Take` like `guarded`, for the transaction of an
order.

    await create_quotas(engine, {"stove": {"east": 50, "west": 50}})     # the same at every site
    await Quotas(engine, "west").take("stove", 1)

Guarantees: all sales together never exceed the stock, in any order of events. Merging is
commutative, associative and idempotent, so a state that arrives late, twice or never does no harm.
A site that knows less about the others sees fewer rights than it has, never more. A site may have
any number of processes: each step locks the site's own row first, so that two of them cannot spend
one right.

Leaves out: sending the state (send `await quotas.state()` by any means, and `merge` what arrives; a
state that lies is believed); the policy of who gets how many rights, and when to move them; and a
site that forgets its own row, for example after restoring a backup: it must hear of its row from
another site before it sells again. If the answer to `take` or `give` was lost, repeating it wastes
rights but oversells nothing. `add` must not be repeated, because it would create rights to units
that do not exist: check `rights` first.

Sources: Balegas et al. 2015, "Extending Eventually Consistent Cloud Databases for Enforcing Numeric
Invariants" (the bounded counter); O'Neil 1986, "The Escrow Transactional Method".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, MetaData, String, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    reading,
    use_write_ahead_log,
)
from labkit.base.validation import text, whole
from labkit.inventory.errors import QuotaSpent, UnknownSku
from labkit.inventory.model import demand_of

CUSTOMERS = ""
"""The receiver of what is sold."""

Move = tuple[str, str, int]
"""Giver, receiver, and the total number of units given since the beginning."""


@dataclass(frozen=True)
class Escrow:
    """One site's knowledge of one SKU: units given so far, by (giver, receiver)."""

    given: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def split(cls, quotas: Mapping[str, int]) -> Escrow:
        """The initial state, with these units for each site."""
        return cls.of((site, site, units) for site, units in quotas.items())

    @classmethod
    def of(cls, moves: Iterable[Move]) -> Escrow:
        """The state that these moves describe; of two moves between the same pair, the larger
        counts. Raises `ValueError` or `TypeError` for what is no move.
        """
        given: dict[tuple[str, str], int] = {}
        for giver, receiver, units in moves:
            _check(giver, receiver, units, least=0)
            if units:
                given[giver, receiver] = max(units, given.get((giver, receiver), 0))
        return cls(given)

    @property
    def moves(self) -> tuple[Move, ...]:
        """All moves, sorted."""
        return tuple((*pair, self.given[pair]) for pair in sorted(self.given))

    def rights(self, site: str) -> int:
        """Units that the site may sell or give, according to this state."""
        received = sum(units for (_, receiver), units in self.given.items() if receiver == site)
        passed_on = sum(
            units for (giver, receiver), units in self.given.items() if giver == site != receiver
        )
        return received - passed_on

    def sold(self, site: str | None = None) -> int:
        """Units sold by one site or by all, according to this state."""
        sales = (
            units
            for (giver, to), units in self.given.items()
            if to == CUSTOMERS and site in (None, giver)
        )
        return sum(sales)

    def give(self, giver: str, receiver: str, quantity: int, *, sku: str = "") -> Escrow:
        """Give rights to another site, or units to customers. Only `giver` itself may do this.
        Raises `QuotaSpent`.
        """
        if giver == receiver:
            raise ValueError(f"receiver must be another than the giver, got {receiver!r}")
        _check(giver, receiver, quantity, least=1)
        if (left := self.rights(giver)) < quantity:
            raise QuotaSpent(sku, quantity, left, giver)
        return self._more(giver, receiver, quantity)

    def take(self, site: str, quantity: int, *, sku: str = "") -> Escrow:
        """Sell `quantity` units. Raises `QuotaSpent` if the site has fewer rights (other sites may
        have more).
        """
        return self.give(site, CUSTOMERS, quantity, sku=sku)

    def add(self, site: str, quantity: int) -> Escrow:
        """Add new units at a site: a delivery, or a sale that was undone there."""
        _check(site, site, quantity, least=1)
        return self._more(site, site, quantity)

    def merge(self, other: Escrow) -> Escrow:
        """The combined knowledge of both."""
        return Escrow.of((*self.moves, *other.moves))

    def _more(self, giver: str, receiver: str, quantity: int) -> Escrow:
        now = Counter(self.given)
        now[giver, receiver] += quantity
        return Escrow(dict(now))

    def __repr__(self) -> str:
        sites = sorted(
            {giver for giver, _ in self.given}
            | {receiver for _, receiver in self.given if receiver}
        )
        rights = ", ".join(f"{site} may sell {self.rights(site)}" for site in sites)
        return f"<Escrow, {rights}, {self.sold()} sold>"


def _check(giver: str, receiver: str, units: int, *, least: int) -> None:
    """Refuse a move that would create or lose rights: customers give nothing back (`add` is for
    that), and units are whole numbers.
    """
    text("giver", giver, 64)
    if receiver != CUSTOMERS:
        text("receiver", receiver, 64)
    whole("units", units, least)


metadata = MetaData()
quota_moves = Table(
    "quota_moves",
    metadata,
    Column("sku", String(64), primary_key=True),
    Column("giver", String(64), primary_key=True),
    Column("receiver", String(64), primary_key=True),  # '' for the customers
    Column("units", BigInteger, nullable=False),
    CheckConstraint("units >= 0", name="given_not_negative"),
)

MAX_UNITS = 2**53 - 1
State = dict[str, list[Move]]
"""A site's knowledge by SKU, ready for JSON."""


class Quotas:
    """The quotas of `site` in its database. `within` limits each call, in seconds.

    `take`, `give`, `add`, `rights` and `known` raise `UnknownSku` for a SKU without quotas. Every
    method can raise `DatabaseUnavailable`."""

    def __init__(self, engine: AsyncEngine, site: str, *, within: float | None = None) -> None:
        self.site = text("site", site, 64)
        self._engine = engine
        self._within = within

    def __repr__(self) -> str:
        return f"<Quotas of {self.site}>"

    async def take(self, sku: str, quantity: int) -> int:
        """Sell units; returns the rights left. Raises `QuotaSpent` (nothing was sold)."""
        async with begin_immediate(self._engine, within=self._within) as connection:
            return await self.take_in(connection, sku, quantity)

    async def take_in(self, connection: AsyncConnection, sku: str, quantity: int) -> int:
        """`take` in the caller's transaction."""
        return await self._pass_on(connection, sku, CUSTOMERS, quantity)

    async def give(self, to: str, sku: str, quantity: int) -> int:
        """Give rights to another site, which has them once it has merged this site's state. Returns
        the rights left here. Raises `QuotaSpent` (nothing was given).
        """
        if text("to", to, 64) == self.site:
            raise ValueError(f"to must be another site, got {to!r}")
        async with begin_immediate(self._engine, within=self._within) as connection:
            return await self._pass_on(connection, sku, to, quantity)

    async def add(self, sku: str, quantity: int) -> int:
        """Add new units that arrived at this site; returns its rights."""
        async with begin_immediate(self._engine, within=self._within) as connection:
            return await self._pass_on(connection, sku, self.site, quantity)

    async def rights(self, sku: str) -> int:
        """Units that this site may sell or give, as far as it knows."""
        return (await self.known(sku)).rights(self.site)

    async def known(self, sku: str) -> Escrow:
        """Everything this site knows about the SKU."""
        async with reading(self._engine, within=self._within) as connection:
            return await _read(connection, sku)

    async def state(self) -> State:
        """Everything this site knows, to be sent to other sites."""
        everything = select(quota_moves).order_by(*quota_moves.primary_key.columns)
        found: State = {}
        async with reading(self._engine, within=self._within) as connection:
            for row in await connection.execute(everything):
                found.setdefault(row.sku, []).append((row.giver, row.receiver, row.units))
        return found

    async def merge(self, state: Mapping[str, Sequence[Sequence[Any]]]) -> None:
        """Merge another site's state. Raises `ValueError` or `TypeError` for what is no state, and
        merges nothing of it then.
        """
        rows = _rows(state)
        # One order for all merges, so that they cannot deadlock.
        rows.sort(key=lambda row: (row["sku"], row["giver"], row["receiver"]))
        async with begin_immediate(self._engine, within=self._within) as connection:
            for row in rows:
                if not (await connection.execute(insert_if_new(quota_moves).values(row))).rowcount:
                    larger = update(quota_moves).where(
                        quota_moves.c.units < row["units"], *_is(row)
                    )
                    await connection.execute(larger.values(units=row["units"]))

    async def _pass_on(
        self, connection: AsyncConnection, sku: str, receiver: str, quantity: int
    ) -> int:
        ((_, quantity),) = demand_of([(sku, quantity)])
        await self._lock(connection, sku)
        before = await _read(connection, sku)
        if receiver == self.site:
            after = before.add(self.site, quantity)
        else:
            after = before.give(self.site, receiver, quantity, sku=sku)
        row = {"sku": sku, "giver": self.site, "receiver": receiver, "units": quantity}
        if not (await connection.execute(insert_if_new(quota_moves).values(row))).rowcount:
            await connection.execute(
                update(quota_moves).where(*_is(row)).values(units=quota_moves.c.units + quantity)
            )
        return after.rights(self.site)

    async def _lock(self, connection: AsyncConnection, sku: str) -> None:
        """Lock the row of what this site gave itself; a site that joined later may lack it."""
        own = {"sku": sku, "giver": self.site, "receiver": self.site}
        row = select(quota_moves.c.units).where(*_is(own)).with_for_update()
        if await connection.scalar(row) is None and await _read(connection, sku):
            await connection.execute(insert_if_new(quota_moves).values(own | {"units": 0}))
            await connection.execute(row)


async def create_quotas(engine: AsyncEngine, quotas: Mapping[str, Mapping[str, int]]) -> None:
    """Create the table if it is missing, and divide the stock: units by SKU and site. Every site
    must be given the same quotas.
    """
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
        for sku, sites in sorted(quotas.items()):
            for site, units in sorted(sites.items()):
                row = _checked(sku, text("site", site, 64), site, units)
                await connection.execute(insert_if_new(quota_moves).values(row))


async def _read(connection: AsyncConnection, sku: str) -> Escrow:
    rows = (await connection.execute(select(quota_moves).where(quota_moves.c.sku == sku))).all()
    if not rows:
        raise UnknownSku(sku)
    return Escrow.of((row.giver, row.receiver, row.units) for row in rows)


def _checked(sku: str, giver: str, receiver: str, units: int) -> dict[str, Any]:
    text("sku", sku, 64)
    text("giver", giver, 64)
    if receiver != CUSTOMERS:
        text("receiver", receiver, 64)
    whole("units", units, 0, MAX_UNITS)
    return {"sku": sku, "giver": giver, "receiver": receiver, "units": units}


def _rows(state: Mapping[str, Sequence[Sequence[Any]]]) -> list[dict[str, Any]]:
    """The rows of a state, after checking it."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a mapping from SKU to moves, got {state!r}")
    rows = []
    for sku, moves in state.items():
        if not isinstance(moves, list | tuple):
            raise TypeError(f"state[{sku!r}] must be a list of moves, got {moves!r}")
        for move in moves:
            if not isinstance(move, list | tuple) or len(move) != 3:
                raise TypeError(f"a move must be a triple (giver, receiver, units), got {move!r}")
            rows.append(_checked(sku, *move))
    return rows


def _is(row: Mapping[str, Any]) -> list[Any]:
    return [quota_moves.c[name] == row[name] for name in ("sku", "giver", "receiver")]
