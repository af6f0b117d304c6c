"""The events of an order: what the services of the shop tell each other, as frozen dataclasses
whose bounds are part of the type.

`order_catalog()` reads and writes them. `OrderPlaced` carries everything that another service needs
to know of the order, so that no service has to ask; the others carry what is new. Which service
publishes and which reacts is in `labkit.shop.choreography`.

Leaves out: prices per line (the total is what is charged)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from labkit.messaging.envelope import Catalog
from labkit.shop.orders import MAX_LINES, Cents, Country, Customer, OrderId, Quantity, Sku

Reason = Annotated[str, Field(pattern=r"^[^\x00]{0,300}$")]  # PostgreSQL stores no zero


@dataclass(frozen=True)
class Line:
    """So many of one SKU."""

    sku: Sku
    quantity: Quantity


@dataclass(frozen=True)
class OrderPlaced:
    """An order was placed, and is pending."""

    order: OrderId
    customer: Customer
    country: Country
    cents: Cents
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES)]


@dataclass(frozen=True)
class StockReserved:
    """The goods are set aside, all of them."""

    order: OrderId


@dataclass(frozen=True)
class StockRefused:
    """Nothing is set aside."""

    order: OrderId
    reason: Reason


@dataclass(frozen=True)
class StockReleased:
    """What was set aside is back on the shelf."""

    order: OrderId


@dataclass(frozen=True)
class PaymentCharged:
    """The customer has paid."""

    order: OrderId
    cents: Cents


@dataclass(frozen=True)
class PaymentDeclined:
    """Nothing was charged."""

    order: OrderId
    reason: Reason


@dataclass(frozen=True)
class PaymentRefunded:
    """The customer has the money back."""

    order: OrderId
    cents: Cents


@dataclass(frozen=True)
class ParcelBooked:
    """The parcel will leave."""

    order: OrderId
    parcel: Annotated[str, Field(min_length=1, max_length=100)]


@dataclass(frozen=True)
class ShippingRefused:
    """No parcel was booked."""

    order: OrderId
    reason: Reason


@dataclass(frozen=True)
class OrderTimedOut:
    """The order was cancelled because it took too long: every service undoes its part, or refuses
    to do it later.
    """

    order: OrderId


ORDER_EVENTS = (
    OrderPlaced,
    StockReserved,
    StockRefused,
    StockReleased,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    ParcelBooked,
    ShippingRefused,
    OrderTimedOut,
)


def order_catalog() -> Catalog:
    """All events of an order, as one catalog."""
    return Catalog(*ORDER_EVENTS)
