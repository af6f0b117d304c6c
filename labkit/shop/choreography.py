"""An order carried out by events: four services, each of which reacts to what the others publish.

Shows: the complete event table of the order.

| event | published by | who reacts | and publishes |
|---|---|---|---|
| `OrderPlaced` | orders | warehouse: takes the stock | `StockReserved` or `StockRefused` |
| | | payments, shipping: remember their part of it | |
| `StockReserved` | warehouse | payments: charges | `PaymentCharged` or `PaymentDeclined` |
| `PaymentCharged` | payments | shipping: books the parcel | `ParcelBooked` or `ShippingRefused` |
| `ParcelBooked` | shipping | orders: **completed** | |
| `StockRefused` | warehouse | orders: **cancelled** | |
| `PaymentDeclined` | payments | orders: **cancelled**; warehouse: puts back | `StockReleased` |
| `ShippingRefused` | shipping | orders: **cancelled**; warehouse, payments: undo | as below |
| `OrderTimedOut` | orders, **cancelled** | warehouse, payments, shipping: undo | as below |
| `StockReleased`, `PaymentRefunded` | warehouse, payments | orders: notes it | |

An order begins (`ByEvents.place`) with three writes in one transaction of `orders`: the order,
pending, the event, and the deadline that ends it if nothing else does.

Guarantees, with inbox and outbox, as long as the broker loses nothing or what it lost is
republished: the order ends completed with stock, payment and parcel, or cancelled with none of
them, each taken once and given back once. Only `orders` decides which: whoever deletes the order's
deadline, in the transaction that changes the order. Every undo leaves a tombstone, so the request
that it undoes may arrive later.

Leaves out: a view of the whole; no single service knows where an order is now. And changes to an
order. No service reads another's tables: each copies what it will need from `OrderPlaced`
(event-carried state), and raises `Early` for an event that arrives before it.

Sources: Richardson, "Microservices Patterns", 2018, ch. 3 (idempotent consumer, transactional
outbox) and 4 (choreography-based sagas); Fowler 2017, "What do you mean by Event-Driven?"
(event-carried state transfer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Row, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base import claims
from labkit.base.errors import Withdrawn
from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    use_write_ahead_log,
)
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.messaging import deadlines, inbox, outbox
from labkit.messaging.deadlines import Deadlines
from labkit.messaging.envelope import Envelope, Event
from labkit.messaging.subscriber import Early, Sends, Service
from labkit.shop import orders as order_book
from labkit.shop import payments as payments_trade
from labkit.shop import shipping as shipping_trade
from labkit.shop import warehouse as warehouse_trade
from labkit.shop.events import (
    Line,
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
from labkit.shop.orders import InTheSameTransaction, Order, OrderRequest
from labkit.shop.payments import Declined, Money
from labkit.shop.shipping import NotServed, Parcels
from labkit.shop.warehouse import Shelves

Events = Iterable[Event]


def order_services(
    clock: Callable[[], float],
    *,
    shelves: Shelves = warehouse_trade,
    money: Money = payments_trade,
    parcels: Parcels = shipping_trade,
) -> tuple[Service, ...]:
    """The four services, as lists of reactions. `clock` (seconds since 1970) dates the notes of
    `orders`; the other three can be given another trade.
    """
    return orders(clock), warehouse(shelves), payments(money), shipping(parcels)


def orders(clock: Callable[[], float]) -> Service:
    """Knows which orders there are, and decides what becomes of each."""
    service = Service("orders")
    service.says(OrderPlaced)
    service.says(OrderTimedOut, ends="cancelled")
    pending = Deadlines(service.name)

    @service.on(ParcelBooked, ends="completed")
    async def complete(
        connection: AsyncConnection, event: ParcelBooked, envelope: Envelope
    ) -> Events:
        # Without a deadline the order has ended, and this parcel is being cancelled.
        if await pending.clear(connection, event.order):
            await order_book.complete(connection, event.order)
        return ()

    async def cancel(connection: AsyncConnection, event: Any, envelope: Envelope) -> Events:
        if await pending.clear(connection, event.order):
            await order_book.cancel(connection, event.order, event.reason)
        return ()

    async def note_it(connection: AsyncConnection, event: Any, envelope: Envelope) -> Events:
        await order_book.note(connection, event.order, envelope.type, clock())
        return ()

    for refusal in (StockRefused, PaymentDeclined, ShippingRefused):
        service.on(refusal, ends="cancelled")(cancel)
    for undone in (StockReleased, PaymentRefunded):
        service.on(undone)(note_it)
    return service


def warehouse(shelves: Shelves = warehouse_trade) -> Service:
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


def payments(money: Money = payments_trade) -> Service:
    """Charges customers, and refunds them."""
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


def shipping(parcels: Parcels = shipping_trade) -> Service:
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


# -- placing an order, and ending one that takes too long


@dataclass(frozen=True, repr=False)
class ByEvents:
    """Carries out orders by events: 202, pending.

    `engine` and `outbox` are those of `orders`; a relay publishes what is in the outbox.
    `patience`: seconds from acceptance, after which a pending order is cancelled (`time_out`);
    `within` bounds each transaction, in seconds; `clock` gives seconds since 1970."""

    engine: AsyncEngine
    outbox: Sends
    clock: Callable[[], float]
    patience: float
    within: float = 5.0

    def __repr__(self) -> str:
        return f"<ByEvents, patience {self.patience:g} s>"

    async def place(
        self, order_id: str, request: OrderRequest, also: InTheSameTransaction | None = None
    ) -> Order:
        """Write down the order, pending, its event and its deadline. `also` runs in the same
        transaction, before its commit.

        Raises `UnknownSku` or `KeyReused` (nothing was placed), `DatabaseUnavailable` (see its
        `outcome`)."""
        at = self.clock()
        async with begin_immediate(self.engine, within=self.within) as connection:
            order, new = await order_book.create(connection, order_id, request, at)
            if new:
                cause = await self.outbox.add(connection, _placed(order), aggregate=order_id)
                await Deadlines("orders").set(connection, order_id, at + self.patience, cause=cause)
            if also is not None:
                await also(connection, order)
        return order

    async def stock(self, connection: AsyncConnection, sku: str) -> int | None:
        """None: only the warehouse knows."""
        return None


async def time_out(connection: AsyncConnection, order_id: str) -> list[OrderTimedOut]:
    """What the deadline worker of `orders` does when an order's patience is over."""
    await order_book.cancel(connection, order_id, "it took too long")
    return [OrderTimedOut(order_id)]


def _placed(order: Order) -> OrderPlaced:
    lines = tuple(Line(line.sku, line.quantity) for line in order.lines)
    return OrderPlaced(order.id, order.customer, order.country, order.total_cents, lines)


# -- what a service keeps of orders that are not its own

metadata = MetaData()
order_copies = Table(
    "order_copies",
    metadata,
    Column("service", String(64), primary_key=True),
    Column("reference", String(64), primary_key=True),
    Column("customer", String(64)),
    Column("country", String(2)),
    Column("cents", BigInteger),
)


async def remember(connection: AsyncConnection, service: str, order: str, **facts: Any) -> None:
    """Keep these facts of the order (customer, country, cents) for `service`. The first copy
    stays.
    """
    row = {"service": service, "reference": order, **facts}
    await connection.execute(insert_if_new(order_copies).values(row))


async def recall(connection: AsyncConnection, service: str, order: str) -> Row[Any]:
    """What `service` has kept of the order. Raises `Early`: it has not heard of it yet."""
    copies = order_copies.c
    mine = select(order_copies).where(copies.service == service, copies.reference == order)
    row = (await connection.execute(mine)).one_or_none()
    if row is None:
        raise Early(f"{service} has not heard of order {order!r} yet")
    return row


async def open_choreography(engine: AsyncEngine) -> None:
    """Create, where they are missing, the tables that a service needs besides those of its trade:
    copies, inbox, outbox, relay claims and deadlines.
    """
    await use_write_ahead_log(engine)
    parts = (metadata, inbox.metadata, outbox.metadata, claims.metadata, deadlines.metadata)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, *parts)
