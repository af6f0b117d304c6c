"""Shipping: book a parcel for an order, and cancel it.

Shows: the third participant of the saga. As in `payments` and `warehouse`, a parcel is known by the
order's `reference`, a repeated request gets the same answer, a refusal leaves nothing behind, and a
cancellation that comes before the booking leaves a tombstone ("void").

Guarantees, on any schedule: at most one parcel for a reference, and none to a country that is not
served.

Leaves out: carriers, labels and prices; and that a parcel which has left cannot be cancelled. That
is why the saga makes it the pivot: once a parcel is known to be booked, the order only goes
forward."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import CheckConstraint, Column, MetaData, String, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import KeyReused, Refused, Withdrawn
from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    use_write_ahead_log,
)
from labkit.messaging import inbox
from labkit.shop.orders import COUNTRY

metadata = MetaData()
countries = Table("countries", metadata, Column("country", String(2), primary_key=True))
parcels = Table(
    "parcels",
    metadata,
    Column("reference", String(64), primary_key=True),
    Column("country", String(2)),
    Column("state", String(9), nullable=False),
    CheckConstraint("state IN ('booked', 'cancelled', 'void')", name="parcel_state"),
)


class NotServed(Refused):
    """No parcel can be sent to that country."""

    def __init__(self, country: str) -> None:
        self.country = country
        super().__init__(f"no parcels to {country!r}")


class Parcels(Protocol):
    """What a service needs to book parcels and cancel them. This module is one."""

    async def book(
        self, connection: AsyncConnection, reference: str, address: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        """Book it, and answer the `parcel`; or raise `NotServed` or `Withdrawn`."""

    async def cancel(self, connection: AsyncConnection, reference: str, /) -> Mapping[str, Any]:
        """Cancel it, if it was booked."""


async def book(
    connection: AsyncConnection, reference: str, address: Mapping[str, Any]
) -> dict[str, Any]:
    """Book a parcel to `address["country"]`, two capital letters. Raises `NotServed` or
    `Withdrawn`: nothing was booked.

    `KeyReused`: the reference is that of another parcel.
    """
    country = _country("address", address.get("country"))
    # A refusal takes back the row too, and the caller's transaction can go on.
    async with connection.begin_nested():
        booking = insert_if_new(parcels).values(
            reference=reference, country=country, state="booked"
        )
        if not (await connection.execute(booking)).rowcount:
            found = (
                await connection.execute(select(parcels).where(parcels.c.reference == reference))
            ).one()
            if found.state != "booked":
                raise Withdrawn(reference)
            if found.country != country:
                raise KeyReused(f"parcel {reference!r} goes to {found.country!r}")
        elif (
            await connection.scalar(
                select(countries.c.country).where(countries.c.country == country)
            )
            is None
        ):
            raise NotServed(country)
    return {"parcel": f"parcel-{reference}"}


async def cancel(connection: AsyncConnection, reference: str) -> dict[str, Any]:
    """Cancel the parcel, if it was booked; a booking that comes later is refused."""
    tombstone = insert_if_new(parcels).values(reference=reference, state="void")
    if not (await connection.execute(tombstone)).rowcount:
        booked = update(parcels).where(
            parcels.c.reference == reference, parcels.c.state == "booked"
        )
        await connection.execute(booked.values(state="cancelled"))
    return {"parcel": f"parcel-{reference}", "state": "cancelled"}


async def open_shipping(engine: AsyncEngine, served: Iterable[str]) -> None:
    """Create the tables, the inbox too, if need be, and serve these countries (two capital letters
    each).

    Doing it again is harmless, and takes no country away. `ValueError`: one is no country, and
    nothing was made."""
    checked = sorted([_country("served", country) for country in served])
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata, inbox.metadata)
        if checked:
            await connection.execute(
                insert_if_new(countries), [{"country": country} for country in checked]
            )


def _country(field: str, given: Any) -> str:
    if not isinstance(given, str) or re.fullmatch(COUNTRY, given) is None:
        raise ValueError(f"{field} needs a country of two capital letters, got {given!r}")
    return given
