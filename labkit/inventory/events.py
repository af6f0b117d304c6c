"""What happened to a hold, for whoever must hear of it: frozen, and written in the transaction in
which it happened.

`announce(connection, event)` is called in that transaction. With an outbox:

    async def announce(connection, event):
        await outbox.add(connection, event, aggregate=event.hold_id)

A crash then loses both or neither; an event sent after the commit would be the dual write of lesson
1.2b."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection


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
