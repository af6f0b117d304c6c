"""The ledger: every movement of stock is a row that is only ever added, so that the books can be
checked against the shelf.

A row has three deltas. The sum of all rows of a SKU says where its units are now. Each row is
written in the transaction of its movement. `record` writes, `Ledger` reads, and `adjust` books
goods that come or go outside of holds (a delivery, a stocktake).

Guarantees: the deltas of a transition sum to zero (a CHECK), and rows are never changed (triggers).
A hold has one row per SKU for its end (a unique index).

Leaves out: pruning (to close a year, someone who may drop the triggers sums it into one "opened"
row) and commit order: `seq` is the order in which rows were written, which can differ from the
commit order of two concurrent transactions.

Sources: Magento, "Inventory reservations" (append-only, must sum to zero); Helland 2015,
"Immutability Changes Everything".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import reading
from labkit.base.validation import text
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.inventory.model import MAX_QUANTITY
from labkit.inventory.stock import inventory
from labkit.inventory.tables import stock_ledger

Kind = Literal[
    "opened",
    "adjusted",
    "held",
    "extended",
    "confirmed",
    "released",
    "expired",
    "cancelled",
    "repaired",
]


@dataclass(frozen=True)
class Balance:
    """Units of a SKU in each of the three places; or, as deltas, how many moved there (negative:
    away).
    """

    on_hand: int = 0
    held: int = 0
    sold: int = 0

    def __add__(self, other: Balance) -> Balance:
        return Balance(self.on_hand + other.on_hand, self.held + other.held, self.sold + other.sold)

    def __sub__(self, other: Balance) -> Balance:
        return Balance(self.on_hand - other.on_hand, self.held - other.held, self.sold - other.sold)

    def __mul__(self, units: int) -> Balance:
        return Balance(self.on_hand * units, self.held * units, self.sold * units)

    @property
    def total(self) -> int:
        """The sum; 0 for a movement from one place to another."""
        return self.on_hand + self.held + self.sold


@dataclass(frozen=True)
class LedgerEntry:
    """A row of the ledger. `hold_id` is None if the movement belongs to no hold; `seq` is 0 until
    the row is written.
    """

    at: float
    hold_id: str | None
    sku: str
    kind: Kind
    delta: Balance
    reason: str = ""
    seq: int = 0

    def __repr__(self) -> str:
        moves = [
            f"{place.replace('_', ' ')} {units:+}"
            for place, units in asdict(self.delta).items()
            if units
        ]
        whose = self.hold_id or "nobody's"
        moved = ", ".join(moves) or "nothing moved"
        return f"<LedgerEntry {self.seq}: {whose}, {self.kind}, {self.sku}, {moved}>"


async def record(connection: AsyncConnection, entries: Iterable[LedgerEntry]) -> None:
    """Write the entries in the caller's transaction, which is the one that moves the units."""
    rows = [
        {
            "at": entry.at,
            "hold_id": entry.hold_id,
            "sku": entry.sku,
            "kind": entry.kind,
            "reason": entry.reason,
        }
        | {f"delta_{place}": units for place, units in asdict(entry.delta).items()}
        for entry in entries
    ]
    if rows:
        await connection.execute(insert(stock_ledger), rows)


async def adjust(connection: AsyncConnection, sku: str, by: int, *, reason: str, now: float) -> int:
    """Book goods that came (`by` > 0) or went, with a reason, in the caller's transaction. Returns
    the stock on hand.

    Raises `UnknownSku`; `OutOfStock` if fewer are on hand; `ValueError` if more than
    `MAX_QUANTITY` would be on hand."""
    text("sku", sku, 64)
    text("reason", reason, 255)
    if isinstance(by, bool) or not isinstance(by, int) or by == 0 or abs(by) > MAX_QUANTITY:
        allowed = f"from -{MAX_QUANTITY} to {MAX_QUANTITY} other than 0"
        raise ValueError(f"by must be a whole number {allowed}, got {by!r}")
    fits = inventory.c.stock.between(max(0, -by), MAX_QUANTITY - max(0, by))
    shelf = update(inventory).where(inventory.c.sku == sku, fits)
    left = await connection.scalar(
        shelf.values(stock=inventory.c.stock + by).returning(inventory.c.stock)
    )
    if left is None:
        there = await connection.scalar(select(inventory.c.stock).where(inventory.c.sku == sku))
        if there is None:
            raise UnknownSku(sku)
        if by > 0:
            raise ValueError(
                f"by must leave at most {MAX_QUANTITY} on hand, got {by!r} with {there} there"
            )
        raise OutOfStock(sku, -by, there)
    await record(connection, [LedgerEntry(now, None, sku, "adjusted", Balance(on_hand=by), reason)])
    return int(left)


async def balances(connection: AsyncConnection) -> dict[str, Balance]:
    """The sums of the ledger, by SKU."""
    ledger = stock_ledger.c
    places = (ledger.delta_on_hand, ledger.delta_held, ledger.delta_sold)
    sums = select(ledger.sku, *map(func.sum, places)).group_by(ledger.sku).order_by(ledger.sku)
    return {sku: Balance(*map(int, units)) for sku, *units in await connection.execute(sums)}


@dataclass(frozen=True)
class Ledger:
    """Reads the ledger of one database. `within` limits each call, in seconds. Every method can
    raise `DatabaseUnavailable`.
    """

    engine: AsyncEngine
    within: float | None = None

    async def entries(
        self, sku: str | None = None, hold_id: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        """All rows, or those of one SKU or hold, in the order in which they were written."""
        wanted = select(stock_ledger).order_by(stock_ledger.c.seq)
        if sku is not None:
            wanted = wanted.where(stock_ledger.c.sku == sku)
        if hold_id is not None:
            wanted = wanted.where(stock_ledger.c.hold_id == hold_id)
        async with reading(self.engine, within=self.within) as connection:
            rows = (await connection.execute(wanted)).all()
        return tuple(
            LedgerEntry(
                row.at,
                row.hold_id,
                row.sku,
                row.kind,
                Balance(row.delta_on_hand, row.delta_held, row.delta_sold),
                row.reason,
                row.seq,
            )
            for row in rows
        )

    async def balance(self, sku: str) -> Balance:
        """Where the units of this SKU are, according to the ledger. Raises `UnknownSku`."""
        async with reading(self.engine, within=self.within) as connection:
            found = await balances(connection)
        if sku not in found:
            raise UnknownSku(sku)
        return found[sku]

    def __repr__(self) -> str:
        return f"<Ledger on {self.engine.dialect.name}>"
