"""The choreographed order as a scenario: four services, a relay, a broker and a database, each on a
node of its own.

And what an independent look into the tables says of how it ended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import DatabaseUnavailable
from labkit.messaging import (
    Deadlines,
    DeadlineWorker,
    Inbox,
    Outbox,
    RedisStreams,
    Relay,
    Service,
    Subscriber,
)
from labkit.messaging.bus import Receive
from labkit.shop.catalogue import Product
from labkit.shop.choreography import ByEvents, open_choreography, order_services, time_out
from labkit.shop.events import order_catalog
from labkit.shop.orders import OrderItem, OrderRequest, open_orders
from labkit.shop.payments import open_payments
from labkit.shop.shipping import open_shipping
from labkit.shop.warehouse import open_warehouse
from labkit.world import World
from tests.shop.ablations import DualWriter, NoInbox, NoOutbox

STOCK = {"mat": 5, "tent": 8}
LIMITS = {"ada": 100_000, "bob": 1_000}
PRICES = {"mat": 5_000, "tent": 10_000}


@dataclass(frozen=True)
class Wanted:
    """An order that a customer will place."""

    order: str
    customer: str
    country: str
    goods: tuple[tuple[str, int], ...]

    @property
    def cents(self) -> int:
        return sum(PRICES[sku] * quantity for sku, quantity in self.goods)

    @property
    def request(self) -> OrderRequest:
        items = [OrderItem(sku=sku, quantity=quantity) for sku, quantity in self.goods]
        return OrderRequest(customer=self.customer, country=self.country, items=items)


GOOD = Wanted("order-good", "ada", "ES", (("tent", 1), ("mat", 2)))
UNPAID = Wanted("order-unpaid", "bob", "ES", (("tent", 1),))
FAR = Wanted("order-far", "ada", "AQ", (("tent", 2),))
TOO_MANY = Wanted("order-many", "ada", "ES", (("mat", 1), ("tent", 9)))
ENDS = {
    GOOD.order: "completed",
    UNPAID.order: "cancelled",
    FAR.order: "cancelled",
    TOO_MANY.order: "cancelled",
}
SERVICES = ("orders", "warehouse", "payments", "shipping")


@dataclass(frozen=True)
class Wire:
    """What a hostile broker does to the nth message published, or to the nth delivery: 0 is the
    first.

    A delivery may also be named, as (service, type of event): the first one of those.
    """

    twice: Sequence[int] = ()  # published twice
    dropped: Sequence[
        int | tuple[str, str]
    ] = ()  # lost before it was handled: it comes again later, after younger ones
    unacknowledged: Sequence[
        int | tuple[str, str]
    ] = ()  # handled, and the acknowledgement lost: it comes again


@dataclass
class HostileBus:
    """Redis Streams behind a `Wire`."""

    world: World
    wire: Wire
    published: int = 0
    delivered: int = 0
    named: set[tuple[str, str]] = field(default_factory=set)

    async def publish(self, wire: str) -> None:
        copies = 1 + (self.published in self.wire.twice)
        self.published += 1
        for _ in range(copies):
            await streams(self.world).publish(wire)

    def through(self, service: str, receive: Receive) -> Receive:
        async def hostile(wire: str) -> None:
            number, name = self.delivered, (service, json.loads(wire)["type"])
            first = name not in self.named
            self.named.add(name)
            self.delivered += 1
            if number in self.wire.dropped or (first and name in self.wire.dropped):
                raise RuntimeError("lost before it was handled")
            await receive(wire)
            if number in self.wire.unacknowledged or (first and name in self.wire.unacknowledged):
                raise RuntimeError("lost after it was handled")

        return hostile


async def open_all(engine: AsyncEngine) -> None:
    """Every table of the four services, in one database."""
    await open_choreography(engine)
    await open_orders(engine, [Product(sku, sku, cents, 0) for sku, cents in PRICES.items()])
    await open_warehouse(engine, STOCK)
    await open_payments(engine, LIMITS)
    await open_shipping(engine, ["ES", "FR"])


@dataclass(frozen=True)
class Wiring:
    """Which mechanisms are there. `outbox`: "table", or when the event is published instead:
    "after" the commit or "within".
    """

    inbox: bool = True
    outbox: str = "table"
    trades: Mapping[str, Any] = field(default_factory=dict)

    def inbox_of(self, name: str, world: World) -> Any:
        return Inbox(name, world.clock) if self.inbox else NoInbox()

    def outbox_of(self, name: str, world: World, bus: Any) -> Any:
        if self.outbox == "table":
            return Outbox(name, order_catalog(), clock=world.clock, ids=world.new_id)
        return NoOutbox(
            name,
            order_catalog(),
            bus,
            clock=world.clock,
            ids=world.new_id,
            at_once=self.outbox == "within",
            observe=world.record,
        )


async def choreographed(
    world: World,
    orders: Sequence[Wanted] = (GOOD, UNPAID, FAR, TOO_MANY),
    wire: Wire = Wire(),
    relays: int = 1,
    patience: float = 30.0,
    until: float = 120.0,
    poisoned: Callable[[str, str], bool] = lambda service, wire: False,
    wiring: Wiring = Wiring(),
) -> dict[str, Any]:
    """Run the orders until nothing is left to do; returns what the tables say then.

    `poisoned(service, wire)`: the service's code has a mistake that this message meets.
    """
    engine = world.database()
    await open_all(engine)
    hostile = HostileBus(world, wire)

    async def consume(service: Service) -> None:
        bus = streams(world)
        mine = world.database(timeout=2.0)
        outbox = wiring.outbox_of(service.name, world, hostile)
        make = Subscriber if wiring.outbox == "table" else DualWriter
        inbox = wiring.inbox_of(service.name, world)
        subscriber = make(
            service,
            order_catalog(),
            mine,
            inbox=inbox,
            outbox=outbox,
            within=1.0,
            observe=world.record,
        )

        async def receive(wire: str) -> None:
            if poisoned(service.name, wire):
                raise ZeroDivisionError("a mistake in the service")
            await subscriber.receive(wire)

        works: list[Awaitable[None]] = [
            bus.work(
                service.name, f"{service.name}-1", hostile.through(service.name, receive), poll=0.2
            )
        ]
        if service.name == "orders":
            real = Outbox("orders", order_catalog(), clock=world.clock, ids=world.new_id)
            options: dict[str, Any] = {"clock": world.clock, "within": 1.0, "observe": world.record}
            worker = DeadlineWorker(mine, Deadlines("orders"), real, time_out, **options)
            works.append(worker.work(poll=1.0))
        await asyncio.gather(*works)

    async def relay(owner: str) -> None:
        mine = world.database(timeout=2.0)
        await asyncio.gather(
            *(
                Relay(
                    mine,
                    name,
                    hostile,
                    owner=owner,
                    clock=world.clock,
                    lease=3.0,
                    within=1.0,
                    observe=world.record,
                ).work(0.1)
                for name in SERVICES
            )
        )

    async def front() -> None:
        """The customers' side: place each order, again until the database says that it has it."""
        mine = world.database(timeout=2.0)
        outbox = wiring.outbox_of("orders", world, hostile)
        shop = ByEvents(mine, outbox, world.clock, patience, within=1.0)
        todo = list(orders)
        while todo:
            try:
                await shop.place(todo[0].order, todo[0].request)
                world.record("placed", order=todo.pop(0).order)
                if isinstance(outbox, NoOutbox):
                    await outbox.flush()
            except DatabaseUnavailable:
                await asyncio.sleep(0.2)

    for service in order_services(world.clock, **wiring.trades):
        world.node(service.name).boot(consume, service)
    for number in range(relays):
        world.node(f"relay{number or ''}").boot(relay, f"relay{number or ''}")
    world.node("front").boot(front)
    while world.now() < until and not await settled(world, engine, len(orders)):
        await asyncio.sleep(0.5)
    return await looked_up(engine) | {
        "dead": await streams(world).dead.read(),
        "seconds": world.now(),
    }


def streams(world: World) -> RedisStreams:
    return RedisStreams(
        world.redis(timeout=2.0), retry_after=2.0, early_for=20.0, wait=0.5, observe=world.record
    )


async def settled(world: World, engine: AsyncEngine, orders: int) -> bool:
    """Whether every order has ended, everything said has been published, and everybody has handled
    it.
    """
    async with engine.connect() as connection:
        ended = await connection.scalar(
            text("SELECT count(*) FROM orders WHERE status <> 'pending'")
        )
        waiting = await connection.scalar(
            text("SELECT count(*) FROM outbox WHERE published_at IS NULL")
        )
    if ended < orders or waiting:
        return False
    groups = (
        await world.redis(timeout=2.0).xinfo_groups("events")
        if await world.redis(timeout=2.0).exists("events")
        else []
    )
    return len(groups) == len(SERVICES) and all(
        group["pending"] == 0 and group["lag"] == 0 for group in groups
    )


async def looked_up(engine: AsyncEngine) -> dict[str, Any]:
    """What the tables say, by queries that know nothing of labkit."""
    async with engine.connect() as connection:

        async def pairs(query: str) -> dict[str, Any]:
            return {row[0]: row[1] for row in await connection.execute(text(query))}

        return {
            "orders": await pairs("SELECT id, status FROM orders ORDER BY 1"),
            "allocations": await pairs("SELECT reference, state FROM allocations ORDER BY 1"),
            "payments": await pairs("SELECT reference, state FROM payments ORDER BY 1"),
            "parcels": await pairs("SELECT reference, state FROM parcels ORDER BY 1"),
            "stock": await pairs("SELECT sku, stock FROM inventory ORDER BY 1"),
            "charged": await pairs("SELECT customer, charged_cents FROM accounts ORDER BY 1"),
            "refunded": await pairs("SELECT customer, refunded_cents FROM accounts ORDER BY 1"),
            "deadlines": await connection.scalar(text("SELECT count(*) FROM deadlines")),
        }


def wrong(found: dict[str, Any], orders: Sequence[Wanted]) -> list[str]:
    """What is not all or nothing, or not exactly once: computed from the orders alone."""
    bad = []
    stock = dict(STOCK)
    charged, refunded = dict.fromkeys(LIMITS, 0), dict.fromkeys(LIMITS, 0)
    for order in orders:
        state = found["orders"].get(order.order, "never placed")
        held, paid, sent = (
            found[part].get(order.order) for part in ("allocations", "payments", "parcels")
        )
        if state == "completed":
            whole = (held, paid, sent) == ("reserved", "charged", "booked")
        else:
            whole = (
                state != "pending" and held != "reserved" and paid != "charged" and sent != "booked"
            )
        if not whole:
            bad.append(f"{order.order} is {state} with stock {held}, payment {paid}, parcel {sent}")
        if held == "reserved":
            for sku, quantity in order.goods:
                stock[sku] -= quantity
        charged[order.customer] += order.cents * (paid in ("charged", "refunded"))
        refunded[order.customer] += order.cents * (paid == "refunded")
    for what, expected in (("stock", stock), ("charged", charged), ("refunded", refunded)):
        if found[what] != expected:
            bad.append(f"{what} is {found[what]}, and should be {expected}")
    if found["deadlines"]:
        bad.append(f"{found['deadlines']} deadlines left")
    return bad
