"""An order without a conductor: four services, each of which reacts to what the others say.

Shows: the complete event table of the order.

| what was said | by | who reacts | and says |
|---|---|---|---|
| `OrderPlaced` | orders | warehouse: takes the stock | `StockReserved` or `StockRefused` |
| | | payments, shipping: remember their part of it | |
| `StockReserved` | warehouse | payments: charges | `PaymentCharged` or `PaymentDeclined` |
| `PaymentCharged` | payments | shipping: books the parcel | `ParcelBooked` or `ShippingRefused` |
| `ParcelBooked` | shipping | orders: **completed** | |
| `StockRefused` | warehouse | orders: **cancelled** | |
| `PaymentDeclined` | payments | orders: **cancelled**; warehouse: puts back | `StockReleased` |
| `ShippingRefused` | shipping | orders: **cancelled**; warehouse, payments: undo | `StockReleased`, `PaymentRefunded` |
| `OrderTimedOut` | orders, **cancelled** | warehouse, payments, shipping: undo | `StockReleased`, `PaymentRefunded` |
| `StockReleased`, `PaymentRefunded` | warehouse, payments | orders: note it | |

Guarantees, with inbox and outbox, as long as the broker forgets nothing, or what it forgot is
republished: the order ends completed with stock, payment and parcel, or cancelled with none of
them, each taken once and given back once. Only `orders` decides which: whoever deletes the order's
deadline, in the transaction that changes the order. Who undoes leaves a tombstone, so that what it
undoes may come later.

Leaves out: a view of the whole. Where an order is now, no single service knows. Nobody reads
another's tables: each copies what it will need from `OrderPlaced`, and finds the event after it
early as long as it has not.

Source: Richardson, "Microservices Patterns", 2018, ch. 4 (choreography-based sagas).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base import claims
from labkit.base.transactions import begin_immediate, create_tables
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.messaging import deadlines, inbox, outbox
from labkit.messaging.deadlines import Deadlines
from labkit.messaging.envelope import Envelope, Event
from labkit.messaging.subscriber import Service
from labkit.shop import order_copies, purchases
from labkit.shop.order_copies import recall, remember
from labkit.shop.order_events import (
    OrderPlaced,
    OrderTimedOut,
    ParcelBooked,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    ShippingRefused,
    StockRefused,
    StockReleased,
    StockReserved,
)
from labkit.shop.refusals import Declined, NotServed, Withdrawn
from labkit.shop.trades import MONEY, PARCELS, SHELVES, Money, Parcels, Shelves

Events = Iterable[Event]


def order_services(
    clock: Callable[[], float],
    *,
    shelves: Shelves = SHELVES,
    money: Money = MONEY,
    parcels: Parcels = PARCELS,
) -> tuple[Service, ...]:
    """The four, as lists of reactions; `clock` (seconds since 1970) is what `orders` dates its
    notes by.
    """
    return orders(clock), warehouse(shelves), payments(money), shipping(parcels)


def orders(clock: Callable[[], float]) -> Service:
    """Knows which orders there are, and decides what becomes of each."""
    service = Service("orders")
    service.says(OrderPlaced)
    service.says(OrderTimedOut, ends="cancelled")
    deadlines = Deadlines(service.name)

    @service.on(ParcelBooked, ends="completed")
    async def complete(
        connection: AsyncConnection, event: ParcelBooked, envelope: Envelope
    ) -> Events:
        if await deadlines.clear(
            connection, event.order
        ):  # without a deadline it has ended: this parcel is being cancelled
            await purchases.complete(connection, event.order)
        return ()

    async def cancel(connection: AsyncConnection, event: Any, envelope: Envelope) -> Events:
        if await deadlines.clear(connection, event.order):
            await purchases.cancel(connection, event.order, event.reason, clock())
        return ()

    async def note_it(connection: AsyncConnection, event: Any, envelope: Envelope) -> Events:
        await purchases.note(connection, event.order, envelope.type, clock())
        return ()

    for refusal in (StockRefused, PaymentDeclined, ShippingRefused):
        service.on(refusal, ends="cancelled")(cancel)
    for undone in (StockReleased, PaymentRefunded):
        service.on(undone)(note_it)
    return service


def warehouse(shelves: Shelves = SHELVES) -> Service:
    """Sets goods aside, and puts them back."""
    service = Service("warehouse")

    @service.on(OrderPlaced, emits=(StockReserved, StockRefused))
    async def reserve(
        connection: AsyncConnection, event: OrderPlaced, envelope: Envelope
    ) -> Events:
        try:
            await shelves.reserve(
                connection, event.order, [(line.sku, line.quantity) for line in event.lines]
            )
        except (OutOfStock, UnknownSku) as refusal:
            return [StockRefused(event.order, str(refusal))]
        except Withdrawn:
            return ()
        return [StockReserved(event.order)]

    async def release(connection: AsyncConnection, event: Any, envelope: Envelope) -> Events:
        undone = await shelves.release(connection, event.order)
        return [StockReleased(event.order)] if undone["released"] else ()

    for reason in (PaymentDeclined, ShippingRefused, OrderTimedOut):
        service.on(reason, emits=(StockReleased,))(release)
    return service


def payments(money: Money = MONEY) -> Service:
    """Charges customers, and pays them back."""
    service = Service("payments")

    @service.on(OrderPlaced)
    async def remember_the_bill(
        connection: AsyncConnection, event: OrderPlaced, envelope: Envelope
    ) -> Events:
        await remember(
            connection, service.name, event.order, customer=event.customer, cents=event.cents
        )
        return ()

    @service.on(StockReserved, emits=(PaymentCharged, PaymentDeclined))
    async def charge(
        connection: AsyncConnection, event: StockReserved, envelope: Envelope
    ) -> Events:
        bill = await recall(connection, service.name, event.order)
        try:
            await money.charge(connection, event.order, bill.customer, bill.cents)
        except Declined as refusal:
            return [PaymentDeclined(event.order, str(refusal))]
        except Withdrawn:
            return ()
        return [PaymentCharged(event.order, bill.cents)]

    async def refund(connection: AsyncConnection, event: Any, envelope: Envelope) -> Events:
        undone = await money.refund(connection, event.order)
        return (
            [PaymentRefunded(event.order, undone["refunded_cents"])]
            if undone["refunded_cents"]
            else ()
        )

    for reason in (ShippingRefused, OrderTimedOut):
        service.on(reason, emits=(PaymentRefunded,))(refund)
    return service


def shipping(parcels: Parcels = PARCELS) -> Service:
    """Books parcels, and cancels those of orders that took too long."""
    service = Service("shipping")

    @service.on(OrderPlaced)
    async def remember_the_address(
        connection: AsyncConnection, event: OrderPlaced, envelope: Envelope
    ) -> Events:
        await remember(connection, service.name, event.order, country=event.country)
        return ()

    @service.on(PaymentCharged, emits=(ParcelBooked, ShippingRefused))
    async def book(
        connection: AsyncConnection, event: PaymentCharged, envelope: Envelope
    ) -> Events:
        address = await recall(connection, service.name, event.order)
        try:
            booked = await parcels.book(connection, event.order, {"country": address.country})
        except NotServed as refusal:
            return [ShippingRefused(event.order, str(refusal))]
        except Withdrawn:
            return ()
        return [ParcelBooked(event.order, booked["parcel"])]

    @service.on(OrderTimedOut)
    async def cancel(
        connection: AsyncConnection, event: OrderTimedOut, envelope: Envelope
    ) -> Events:
        await parcels.cancel(connection, event.order)
        return ()

    return service


async def open_choreography(engine: AsyncEngine) -> None:
    """Create, where they are missing, the tables that a service has besides those of its trade; and
    those of `orders`.
    """
    await purchases.open_purchases(engine)
    parts = (
        order_copies.metadata,
        inbox.metadata,
        outbox.metadata,
        claims.metadata,
        deadlines.metadata,
    )
    async with begin_immediate(engine) as connection:
        await create_tables(connection, *parts)
