"""Holds and stock as values, what a caller may ask to be held, and the events of a hold.

A hold goes from `held` to `confirmed`, `released` or `expired`; in the optimistic mode from
`accepted` to `confirmed` or `cancelled`. These four are final.

Events are written in the transaction in which they happen: `announce(connection, event)` is called
there. With an outbox:

    async def announce(connection, event):
        await outbox.add(connection, event, aggregate=event.hold_id)

A crash then loses both or neither. An event sent after the commit would be a dual write.

Leaves out: customers and prices. A hold knows who has it, and what, and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.validation import text, whole

Status = Literal["held", "confirmed", "released", "expired", "accepted", "cancelled"]
Lines = Iterable[tuple[str, int]]

MAX_QUANTITY = 2**31 - 1
MAX_SKUS = 1000
"""SKUs that one hold may name. A statement has a parameter for each, and databases limit those."""


@dataclass(frozen=True)
class Hold:
    """Units set aside for `customer` until `expires_at` (seconds since 1970; None for an accepted
    hold, which has no end).

    `lines` are (SKU, quantity), one per SKU, sorted. A held hold whose time is up reads as
    `expired`, whether it was swept or not."""

    id: str
    key: str
    customer: str
    status: Status
    lines: tuple[tuple[str, int], ...]
    created_at: float
    expires_at: float | None
    reason: str = ""

    def __repr__(self) -> str:
        goods = ", ".join(f"{quantity} {sku}" for sku, quantity in self.lines)
        why = f": {self.reason}" if self.reason else ""
        return f"<Hold {self.id} of {self.customer}, {goods}, {self.status}{why}>"


@dataclass(frozen=True)
class Availability:
    """Where the units of a SKU are, according to stock and holds (`Balance` is the ledger's view).

    Only `adjust` and direct sales, which have no hold, change `on_hand` + `held` + `sold`.
    `available` is what a hold could get now: the units on hand, and those of overdue holds."""

    sku: str
    on_hand: int
    held: int
    sold: int
    available: int

    @property
    def overdue(self) -> int:
        """Held units whose holds have expired and were not swept yet."""
        return self.available - self.on_hand

    @property
    def total(self) -> int:
        """All units, wherever they are."""
        return self.on_hand + self.held + self.sold


def demand_of(lines: Lines) -> tuple[tuple[str, int], ...]:
    """The lines, checked, summed per SKU and sorted. Raises `ValueError` or `TypeError`."""
    demand: Counter[str] = Counter()
    for line in lines:
        if not isinstance(line, tuple) or len(line) != 2:
            raise TypeError(f"a line must be a pair (sku, quantity), got {line!r}")
        sku, quantity = line
        text("sku", sku, 64)
        whole("quantity", quantity, 1)
        demand[sku] += quantity
        if demand[sku] > MAX_QUANTITY:
            raise ValueError(
                f"quantity must be at most {MAX_QUANTITY} of one SKU, got {demand[sku]} of {sku!r}"
            )
        if len(demand) > MAX_SKUS:
            raise ValueError(f"lines must name at most {MAX_SKUS} SKUs, got more")
    if not demand:
        raise ValueError("lines must name at least one SKU, got none")
    return tuple(sorted(demand.items()))


@dataclass(frozen=True)
class HoldPlaced:
    """The units are set aside for the customer until `expires_at` (seconds since 1970)."""

    hold_id: str
    customer: str
    expires_at: float


@dataclass(frozen=True)
class HoldConfirmed:
    """The units are sold to the customer."""

    hold_id: str
    customer: str


@dataclass(frozen=True)
class HoldReleased:
    """The units were given back before the hold expired."""

    hold_id: str
    customer: str
    reason: str


@dataclass(frozen=True)
class HoldExpired:
    """The hold expired, and its units are on hand again."""

    hold_id: str
    customer: str


@dataclass(frozen=True)
class HoldCancelled:
    """A promise could not be kept. The customer must be told, and refunded."""

    hold_id: str
    customer: str
    reason: str


HoldEvent = HoldPlaced | HoldConfirmed | HoldReleased | HoldExpired | HoldCancelled
Announce = Callable[[AsyncConnection, HoldEvent], Awaitable[None]]


async def to_nobody(connection: AsyncConnection, event: HoldEvent) -> None:
    """The default `announce`: it does nothing."""
