"""The choreographed order: its event table, what becomes of poison, and the same thing on real
servers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit import real, sim
from labkit.messaging import EventGraph, Inbox, MemoryBus, Outbox, Relay, Service, Subscriber
from labkit.shop import choreography
from labkit.shop.catalogue import Product
from labkit.shop.choreography import ByEvents, open_choreography, order_services
from labkit.shop.events import (
    ORDER_EVENTS,
    OrderPlaced,
    PaymentRefunded,
    StockReserved,
    order_catalog,
)
from labkit.shop.orders import notes_of, open_orders, status_of
from labkit.shop.payments import open_payments
from labkit.shop.shipping import open_shipping
from labkit.shop.warehouse import open_warehouse
from labkit.world import Crash, Fault, World
from tests.shop.choreographed import (
    ENDS,
    FAR,
    GOOD,
    LIMITS,
    PRICES,
    SERVICES,
    STOCK,
    TOO_MANY,
    UNPAID,
    Wanted,
    Wire,
    choreographed,
    looked_up,
    open_all,
    wrong,
)
from tests.support.engines import engine_on

ALL = (GOOD, UNPAID, FAR, TOO_MANY)


def clock() -> float:
    return 1000.0


def graph() -> EventGraph:
    return EventGraph.of(order_services(clock))


# -- the event table


def test_every_event_has_a_consumer_and_a_producer_and_every_order_reaches_an_end() -> None:
    assert graph().problems() == []
    assert graph().cycles() == []
    assert graph().endings == {"completed", "cancelled"}
    assert graph().said == graph().heard == {kind.__name__ for kind in ORDER_EVENTS}


def test_the_table_in_the_docstring_is_what_the_services_do() -> None:
    text = (choreography.__doc__ or "").split("Guarantees")[0]
    for event in (kind.__name__ for kind in ORDER_EVENTS):
        assert f"`{event}`" in text
    for edge in graph().edges:
        assert not edge.heard or edge.service in text


def without(name: str, event: type) -> list[Service]:
    services = list(order_services(clock))
    (service,) = (service for service in services if service.name == name)
    del service.reactions[event]
    return services


@pytest.mark.parametrize(
    ("name", "event", "problem"),
    [
        ("orders", PaymentRefunded, "nobody hears PaymentRefunded, said by payments"),
        ("payments", StockReserved, "nobody hears StockReserved, said by warehouse"),
        ("payments", StockReserved, "no end is sure after OrderPlaced"),
        ("warehouse", OrderPlaced, "nobody says StockReserved, which payments waits for"),
    ],
)
def test_a_reaction_that_is_missing_is_seen(name: str, event: type, problem: str) -> None:
    assert problem in EventGraph.of(without(name, event)).problems()


# -- in one process, on both databases


def play(url: str, scenario: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with engine_on(url) as engine:
            await open_all(engine)
            return await scenario(engine)

    return asyncio.run(act())


class Street:
    """The four services on one engine and a bus in memory."""

    def __init__(self, engine: AsyncEngine) -> None:
        numbers = iter(range(1, 10_000))
        self.engine = engine
        self.bus = MemoryBus()
        catalog = order_catalog()
        self.outboxes = {
            name: Outbox(name, catalog, clock=clock, ids=lambda prefix: f"{prefix}{next(numbers)}")
            for name in SERVICES
        }
        for service in order_services(clock):
            inbox, outbox = Inbox(service.name, clock), self.outboxes[service.name]
            self.bus.subscribe(
                service.name,
                Subscriber(service, catalog, engine, inbox=inbox, outbox=outbox).receive,
            )
        self.relays = [Relay(engine, name, self.bus, owner="one", clock=clock) for name in SERVICES]

    async def place(self, order: Wanted) -> str:
        shop = ByEvents(self.engine, self.outboxes["orders"], clock, 60.0)
        return (await shop.place(order.order, order.request)).status

    async def settle(self) -> None:
        while sum([await relay.relay() for relay in self.relays]) or await self.bus.drain():
            pass


def test_four_orders_end_as_they_must_and_leave_what_they_should(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        street = Street(engine)
        for order in ALL:
            assert await street.place(order) == "pending"
        await street.settle()
        async with engine.connect() as connection:
            return await looked_up(engine), await notes_of(connection, FAR.order), street.bus

    found, notes, bus = play(database, scenario)
    assert found["orders"] == ENDS
    assert wrong(found, ALL) == []
    assert notes == ["PaymentRefunded", "StockReleased"]
    assert (bus.pending, bus.dead) == ([], [])


def test_an_order_placed_again_is_the_same_order_even_after_it_has_ended(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        street = Street(engine)
        first = [await street.place(GOOD), await street.place(GOOD)]
        await street.settle()
        again = await street.place(GOOD)
        await street.settle()
        return first, again, wrong(await looked_up(engine), [GOOD])

    assert play(database, scenario) == (["pending", "pending"], "completed", [])


def test_the_causes_of_an_order_s_events_are_one_chain_from_the_first(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        street = Street(engine)
        await street.place(FAR)
        await street.settle()
        async with engine.connect() as connection:
            (placed,) = await street.outboxes["orders"].said(connection, "event-1")
            return placed, {
                e.type: e
                for outbox in street.outboxes.values()
                for e in await outbox.said(connection, placed.id)
            }

    placed, said = play(sqlite_url, scenario)
    assert {name: said[name].causation for name in said} == {
        "OrderPlaced": None,
        "StockReserved": placed.id,
        "PaymentCharged": said["StockReserved"].id,
        "ShippingRefused": said["PaymentCharged"].id,
        "StockReleased": said["ShippingRefused"].id,
        "PaymentRefunded": said["ShippingRefused"].id,
    }
    assert {envelope.aggregate for envelope in said.values()} == {FAR.order}


def test_each_service_may_have_a_database_of_its_own() -> None:
    """Nobody reads another's tables: what is not there cannot be read."""

    async def scenario(world: World) -> Any:
        engines = {name: world.database(f"{name} database") for name in SERVICES}
        for engine in engines.values():
            await open_choreography(engine)
        await open_orders(engines["orders"], [Product(sku, sku, PRICES[sku], 0) for sku in PRICES])
        await open_warehouse(engines["warehouse"], STOCK)
        await open_payments(engines["payments"], LIMITS)
        await open_shipping(engines["shipping"], ["ES"])
        bus, catalog = MemoryBus(), order_catalog()
        outboxes = {
            name: Outbox(name, catalog, clock=world.clock, ids=world.new_id) for name in SERVICES
        }
        for service in order_services(world.clock):
            inbox, outbox = Inbox(service.name, world.clock), outboxes[service.name]
            subscriber = Subscriber(
                service, catalog, engines[service.name], inbox=inbox, outbox=outbox
            )
            bus.subscribe(service.name, subscriber.receive)
        relays = [
            Relay(engines[name], name, bus, owner="one", clock=world.clock) for name in SERVICES
        ]
        shop = ByEvents(engines["orders"], outboxes["orders"], world.clock, 60.0)
        for order in ALL:
            await shop.place(order.order, order.request)
        while sum([await relay.relay() for relay in relays]) or await bus.drain():
            pass
        async with engines["orders"].connect() as connection:
            return (
                {order.order: await status_of(connection, order.order) for order in ALL},
                bus.pending,
                bus.dead,
            )

    assert sim.run(scenario, seed=None).result == (ENDS, [], [])


# -- poison, and the deadline behind it


def kind_is(service: str, kind: str) -> Callable[[str, str], bool]:
    return lambda name, wire: name == service and json.loads(wire)["type"] == kind


POISON = [
    ("warehouse", "OrderPlaced"),
    ("payments", "OrderPlaced"),
    ("payments", "StockReserved"),
    ("shipping", "OrderPlaced"),
    ("shipping", "PaymentCharged"),
    ("orders", "ParcelBooked"),
]


@pytest.mark.parametrize(("service", "kind"), POISON)
def test_an_order_whose_event_is_dead_ends_cancelled_with_everything_undone(
    service: str, kind: str
) -> None:
    args = {"orders": [GOOD], "patience": 15.0, "until": 90.0, "poisoned": kind_is(service, kind)}
    found = sim.run(choreographed, seed=None, args=args).result
    assert found["orders"] == {GOOD.order: "cancelled"}
    assert wrong(found, [GOOD]) == []
    died = {
        (letter.group, json.loads(letter.wire)["type"], letter.reason.split(":")[0])
        for letter in found["dead"]
    }
    assert (service, kind, "ZeroDivisionError") in died
    waited = {
        ("payments", "StockReserved", "Early"),
        ("shipping", "PaymentCharged", "Early"),
    }  # what it would have built on
    assert died <= {(service, kind, "ZeroDivisionError")} | waited


def test_other_orders_go_on_while_one_is_poison() -> None:
    def poisoned(name: str, wire: str) -> bool:
        return name == "payments" and json.loads(wire)["data"]["order"] == FAR.order

    found = sim.run(
        choreographed,
        seed=None,
        args={"orders": ALL, "patience": 15.0, "until": 90.0, "poisoned": poisoned},
    ).result
    assert found["orders"] == ENDS and wrong(found, ALL) == []
    assert {letter.group for letter in found["dead"]} == {"payments"}


# -- real servers

HARD: list[Fault] = [
    Crash("payments", after="handled", nth=6, restart_after=0.2),
    Crash("relay", after="published", nth=3, restart_after=0.2),
]


def test_on_real_servers_with_crashes_and_duplicates_every_effect_is_there_once() -> None:
    wire = Wire(twice=(0, 3), unacknowledged=(5, 9))
    args = {"orders": ALL, "patience": 1e6, "until": 30.0, "wire": wire}
    made = real.run(choreographed, args=args, faults=HARD)
    assert made.result["orders"] == ENDS
    assert wrong(made.result, ALL) == [] and made.result["dead"] == []
    assert "duplicate" in {event.data["how"] for event in made.history.of("handled")}
