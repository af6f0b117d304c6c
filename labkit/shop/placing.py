"""What a program does around the reactions of the choreography: place an order, and end one that
takes too long.

Shows: an order begins with three writes in one transaction of `orders`: the purchase, the event
that says so, and the deadline that will end it. Whoever deletes the deadline decides what becomes
of the order: a reaction of `orders`, or `time_out`.

Guarantees: an order is placed once, however often it is asked for, and does not stay pending for
ever as long as the deadline worker of `orders` runs.

Leaves out: checking the order (its type has bounds), and telling the customer.

Source: Richardson, "Microservices Patterns", 2018, ch. 3 (idempotent consumer, transactional
outbox)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.messaging.deadlines import Deadlines, WhenDue
from labkit.messaging.subscriber import FirstTime, Sends
from labkit.shop import purchases
from labkit.shop.order_events import OrderPlaced, OrderTimedOut


async def place(
    connection: AsyncConnection,
    order: OrderPlaced,
    *,
    inbox: FirstTime,
    outbox: Sends,
    at: float,
    patience: float,
) -> bool:
    """Place the order at time `at` (seconds since 1970), to be settled within `patience` seconds,
    in the caller's transaction; False when this order was placed before, and nothing is done.
    `inbox` and `outbox` are those of `orders`."""
    if not await inbox.first(connection, f"place {order.order}"):
        return False
    await purchases.place(connection, order.order, order.customer, order.cents, at)
    said = await outbox.add(connection, order, aggregate=order.order)
    await Deadlines("orders").set(connection, order.order, at + patience, cause=said)
    return True


def time_out(clock: Callable[[], float]) -> WhenDue:
    """What the deadline worker of `orders` does when an order's patience is over."""

    async def when_due(connection: AsyncConnection, order: str) -> list[OrderTimedOut]:
        await purchases.cancel(connection, order, "it took too long", clock())
        return [OrderTimedOut(order)]

    return when_due
