"""A hold and the stock it holds, as values; and what a caller may ask to be held.

A hold's life: `held` → `confirmed`, `released` or `expired`; in the optimistic mode `accepted` →
`confirmed` or `cancelled`. The four on the right are final.

Left out: customers and prices; a hold knows who has it, and what, no more.
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
"""How many SKUs one hold may name: a statement has a parameter for each, and databases bound those.
"""


@dataclass(frozen=True)
class Hold:
    """What `customer` has a claim on until `expires_at` (seconds since 1970; None for an accepted
    one, which has no end).

    `lines` are (SKU, quantity), one per SKU, sorted. A held hold whose time is up reads as
    `expired`, swept or not."""

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
    """Where the units of a SKU are, by the shelf and the holds (what the ledger says is a
    `Balance`).

    `on_hand` + `held` + `sold` changes only by what comes or goes without a hold: `adjust`, a
    direct sale. `available` is what a hold could have now: what is on hand, and what overdue holds
    would give back."""

    sku: str
    on_hand: int
    held: int
    sold: int
    available: int

    @property
    def overdue(self) -> int:
        """How many of the held units nobody has a claim on any more."""
        return self.available - self.on_hand

    @property
    def total(self) -> int:
        """All of them, wherever they are."""
        return self.on_hand + self.held + self.sold


def demand_of(lines: Lines) -> tuple[tuple[str, int], ...]:
    """The lines, checked one by one, then summed per SKU and sorted. Raises `ValueError` or
    `TypeError`.
    """
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
    """The units are set aside for the customer until `expires_at`, in seconds since 1970."""

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
    """The customer, or somebody for them, gave the units back."""

    hold_id: str
    customer: str
    reason: str


@dataclass(frozen=True)
class HoldExpired:
    """The time was up, and the units are back."""

    hold_id: str
    customer: str


@dataclass(frozen=True)
class HoldCancelled:
    """A hold that was accepted and could not be kept: the customer must be told, and paid back."""

    hold_id: str
    customer: str
    reason: str


HoldEvent = HoldPlaced | HoldConfirmed | HoldReleased | HoldExpired | HoldCancelled
Announce = Callable[[AsyncConnection, HoldEvent], Awaitable[None]]


async def to_nobody(connection: AsyncConnection, event: HoldEvent) -> None:
    """The `announce` of a shop in which nobody listens."""
