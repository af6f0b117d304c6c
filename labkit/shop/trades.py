"""What the services of the order do their work with: the functions of `warehouse`, `payments` and
`shipping`, as protocols.

A module is a value: `payments(money=labkit.shop.payments)`. Whoever wants to see what a service is
worth on other ground (a gateway that knows no reference, a warehouse without tombstones) hands in
an object with the same functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.shop import payments, shipping, warehouse

Answer = Mapping[str, Any]


class Shelves(Protocol):
    """Sets goods aside for a reference, and puts back what was set aside."""

    async def reserve(
        self, connection: AsyncConnection, reference: str, lines: Iterable[tuple[str, int]], /
    ) -> Answer:
        """All of the lines, or raise `OutOfStock`, `UnknownSku` or `Withdrawn`."""

    async def release(self, connection: AsyncConnection, reference: str, /) -> Answer:
        """Answers what was put back as `released`."""


class Money(Protocol):
    """Charges for a reference, and pays back what was charged."""

    async def charge(
        self, connection: AsyncConnection, reference: str, customer: str, cents: int, /
    ) -> Answer:
        """Charge, or raise `Declined` or `Withdrawn`."""

    async def refund(self, connection: AsyncConnection, reference: str, /) -> Answer:
        """Answers what was paid back as `refunded_cents`."""


class Parcels(Protocol):
    """Books a parcel for a reference, and cancels it."""

    async def book(
        self, connection: AsyncConnection, reference: str, address: Mapping[str, Any], /
    ) -> Answer:
        """Answers the `parcel`; or raises `NotServed` or `Withdrawn`."""

    async def cancel(self, connection: AsyncConnection, reference: str, /) -> Answer:
        """Cancel it, if it was booked."""


SHELVES: Shelves = warehouse
MONEY: Money = payments
PARCELS: Parcels = shipping
