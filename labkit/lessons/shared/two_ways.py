"""The same orders two ways, by events and by an orchestrator: the experiment of lesson 1.2d.

Lesson 1.2c uses `by_events` alone.

Four services, `orders`, `warehouse`, `payments` and `shipping`, each on a node with a database of
its own. `by_events` wires labkit's choreography over Redis Streams, `by_orchestrator` the
saga over HTTP, with the orchestrator in `orders`. Participants, tables, customers and patience are
the same. Either opens the shop and gives `place(order)`, to be called on the node `orders`, and
`end()`: what it all came to.

Measured in the history: "placed" when an order was accepted, "settled" whenever something was done
for it, the last time being the one that counts. Not counted as done: what a service only notes, and
a message that changes nothing.

Leaves out: authentication, several processes of one service, customers who give up.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import Retry
from labkit.base.working import TRANSIENT
from labkit.lessons.shared.four_stores import SERVED, SERVICES, SKU, End, FourStores
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
from labkit.sagas import Orchestrator, SagaDefinition, saga_routes
from labkit.sagas.errors import ClaimedElsewhere
from labkit.shop.choreography import ByEvents, order_services, time_out
from labkit.shop.events import OrderPlaced, PaymentRefunded, StockReleased, order_catalog
from labkit.shop.orders import OrderItem, OrderRequest
from labkit.shop.participants import create_payments_app, create_shipping_app, create_warehouse_app
from labkit.shop.problems import install
from labkit.shop.saga import BySaga, order_saga
from labkit.world import Run, World

PATIENCE = 30.0
"""Seconds that an order may take."""
PATIENT = Retry(attempts=math.inf, most=1.0)

_NOTES = {
    ("payments", OrderPlaced),
    ("shipping", OrderPlaced),
    ("orders", StockReleased),
    ("orders", PaymentRefunded),
}
"""What a service hears and only notes down."""


Shop = tuple[Callable[..., Awaitable[None]], Callable[[], Awaitable[End]]]
"""`place(order, customer="ada", country="PT")` and `end()`."""


async def by_events(
    world: World,
    stock: int,
    *,
    relay_every: float = 0.5,
    at_once: bool = True,
    apart: bool = True,
    lease: float = 1.0,
    services: Callable[[World], Iterable[Service]] | None = None,
) -> Shop:
    """Open the shop without an orchestrator, with this many stoves.

    A relay looks every `relay_every` seconds for what there is to publish; `at_once`: also as soon
    as something was handled. `apart`: each service has a database of its own. `lease`: seconds that
    the claim of a dead relay still holds. `services`: other reactions than labkit's. The history
    has what the broker must deliver again ("put off") and what it sets aside ("dead")."""
    store = FourStores(world, apart)
    await store.open(stock)
    catalog = order_catalog()
    relays: dict[
        str, Relay
    ] = {}  # the one of each service: two of them would wait for each other's claim

    def boxes(name: str) -> tuple[AsyncEngine, Inbox, Outbox]:
        outbox = Outbox(name, catalog, clock=world.clock, ids=world.new_id)
        return store.of(name, timeout=1.0), Inbox(name, world.clock), outbox

    def troubled(kind: str, /, **facts: Any) -> None:
        if kind in ("put off", "dead"):
            world.record(kind, group=facts["group"], why=facts["why"])

    async def serve() -> None:
        name = world.here()
        engine, inbox, outbox = boxes(name)
        bus = RedisStreams(world.redis(), retry_after=0.5, observe=troubled)
        relay = Relay(
            engine,
            name,
            bus,
            owner=world.new_id("relay-"),
            clock=world.clock,
            lease=lease,
            within=1.0,
        )
        known = services(world) if services else order_services(world.clock)
        (service,) = [found for found in known if found.name == name]
        subscriber = Subscriber(service, catalog, engine, inbox=inbox, outbox=outbox, within=1.0)
        relays[name] = relay

        async def receive(wire: str) -> None:
            if await subscriber.receive(wire) == "done":
                envelope = catalog.decode(wire)
                if (name, type(envelope.event)) not in _NOTES:
                    world.record("settled", order=envelope.aggregate, on=envelope.type)
                if at_once:
                    with suppress(*TRANSIENT):  # the next round of the relay's work has it
                        await relay.relay()

        work: list[Awaitable[None]] = [
            bus.work(name, world.new_id("reader-"), receive, poll=0.1),
            relay.work(relay_every),
        ]
        if name == "orders":
            due = DeadlineWorker(
                engine,
                Deadlines(name),
                outbox,
                time_out,
                clock=world.clock,
                within=1.0,
            )
            work.append(due.work())
        await asyncio.gather(*work)

    async def order(reference: str, customer: str = "ada", country: str = SERVED[0]) -> None:
        engine, _, outbox = boxes("orders")
        events = ByEvents(engine, outbox, world.clock, PATIENCE, within=1.0)
        await events.place(reference, _one_stove(customer, country))
        world.record("placed", order=reference)
        if at_once:
            with suppress(*TRANSIENT):
                await relays["orders"].relay()

    for name in SERVICES:
        world.node(name).boot(serve)
    return order, lambda: store.end(stock)


async def by_orchestrator(
    world: World,
    stock: int,
    *,
    retry: Retry = PATIENT,
    apart: bool = True,
    lease: float = 1.0,
    define: Callable[[World, SagaDefinition], SagaDefinition] | None = None,
) -> Shop:
    """Open the shop with an orchestrator in `orders`; its operators' routes are served at
    `http://orders/sagas`.

    `retry`: how long it asks a participant that does not answer; as long as the order may take,
    unless told otherwise. `lease`: seconds that the claim of a dead orchestrator outlasts the call
    under way. `define` changes labkit's definition of the order's saga."""
    store = FourStores(world, apart)
    await store.open(stock)

    def orchestrator() -> Orchestrator:
        def observe(kind: str, /, **facts: Any) -> None:
            if kind == "saved" and facts["status"] in ("completed", "compensated"):
                world.record("settled", order=facts["saga"], on=facts["status"])

        definition = order_saga(
            world.http(timeout=1.0), clock=world.clock, retry=retry, timeout=1.0
        )
        if define is not None:
            definition = define(world, definition)
        tools: dict[str, Any] = {
            "clock": world.clock,
            "ids": world.new_id,
            "rng": world.rng,
            "observe": observe,
        }
        owner = world.new_id("orchestrator-")
        return Orchestrator(
            store.of("orders", timeout=1.0),
            [definition],
            owner=owner,
            lease=lease,
            within=1.0,
            **tools,
        )

    async def order(reference: str, customer: str = "ada", country: str = SERVED[0]) -> None:
        saga = orchestrator()
        await BySaga(saga, PATIENCE).place(reference, _one_stove(customer, country))
        world.record("placed", order=reference)
        with suppress(ClaimedElsewhere, *TRANSIENT):  # a worker has it, or will
            await saga.drive(reference)

    async def conduct() -> None:
        operators, saga = FastAPI(), orchestrator()
        install(operators)
        operators.include_router(saga_routes(saga))
        world.serve("orders", operators)
        await saga.work(poll=0.5)

    async def take_part() -> None:  # a new engine in every life, as a new process has
        name = world.here()
        world.serve(
            name, create[name](engine=store.of(name, timeout=1.0), clock=world.clock, within=1.0)
        )

    create = {
        "warehouse": create_warehouse_app,
        "payments": create_payments_app,
        "shipping": create_shipping_app,
    }
    world.node("orders").boot(conduct)
    for name in create:
        world.node(name).boot(take_part)
    return order, lambda: store.end(stock)


def _one_stove(customer: str, country: str) -> OrderRequest:
    item = OrderItem(sku=SKU, quantity=1)
    return OrderRequest(customer=customer, country=country, items=[item])


def settled(run: Run) -> dict[str, float]:
    """Seconds from the moment an order was accepted to the last thing done for it, by order."""
    placed = {event.data["order"]: event.at for event in run.history.of("placed")}
    last = {event.data["order"]: event.at for event in run.history.of("settled")}
    return {order: last[order] - at for order, at in placed.items() if order in last}


def last_parcel(run: Run) -> float:
    """Seconds from the acceptance of the last order to the last message of shipping on a parcel."""
    told = [
        message.sent
        for message in run.history.messages
        if message.src == "shipping" and message.dst == "orders"
    ]
    said = [event.at for event in run.history.of("settled") if event.node == "shipping"]
    return max(told + said) - run.history.of("placed")[-1].at


def crossings(run: Run) -> Counter[str]:
    """How many messages crossed the network, answers included: between "services", to the "broker",
    to "databases".
    """
    kinds: Counter[str] = Counter()
    for message in run.history.messages:
        ends = {message.src, message.dst}
        kinds[
            "broker" if "redis" in ends else "services" if ends <= set(SERVICES) else "databases"
        ] += 1
    return kinds
