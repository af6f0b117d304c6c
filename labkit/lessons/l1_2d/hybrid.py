"""The guide's hybrid, and what it is compared with: part of lesson 1.2d.

An orchestrator carries out the order. When it is completed, the customer gets points, which are
another team's business: a service `points` with a database of its own. `by_event` opens the
hybrid: the order is completed and `OrderCompleted` goes into the outbox of `orders`, in one
transaction, and `points` reacts to it. `by_step` makes the points a step of the saga.

In the history: "credited" for each order that got its points, and the "balance" in the end.

Leaves out: points that must be taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate, reading
from labkit.lessons.shared.two_ways import PATIENT, Shop, by_orchestrator
from labkit.messaging import (
    Catalog,
    Envelope,
    Inbox,
    Outbox,
    RedisStreams,
    Relay,
    Service,
    Subscriber,
    create_inbox,
    create_outbox,
)
from labkit.sagas import Context, SagaDefinition, Step
from labkit.world import World

POINTS = 10
"""What one completed order is worth."""


@dataclass(frozen=True)
class OrderCompleted:
    """The order is completed; other teams may care."""

    order: str


def catalog() -> Catalog:
    """What one context tells the others."""
    return Catalog(OrderCompleted)


Define = Callable[[World, SagaDefinition], SagaDefinition]


async def by_event(world: World, stock: int, define: Define) -> Shop:
    """Open the hybrid; `define` has the saga add `OrderCompleted` to the outbox of `orders`."""
    place, end = await _open(world, stock, define)
    world.node("orders").boot(_relay, world)
    world.node("points").boot(_hear, world)
    return place, end


async def by_step(world: World, stock: int) -> Shop:
    """Open the shop whose saga has the points as a step of its own."""
    place, end = await _open(world, stock, _with_points)
    world.node("points").boot(_serve, world)
    return place, end


async def _open(world: World, stock: int, define: Define) -> Shop:
    store = _store(world)
    await create_inbox(store)
    async with begin_immediate(store) as connection:
        await connection.execute(text("CREATE TABLE balance (points INTEGER NOT NULL)"))
        await connection.execute(text("INSERT INTO balance VALUES (0)"))
    await create_outbox(world.database("orders db"))
    place, end = await by_orchestrator(world, stock, define=define)

    async def look() -> Any:
        async with reading(store) as connection:
            points = (await connection.execute(text("SELECT points FROM balance"))).scalar_one()
        world.record("balance", points=points)
        return await end()

    return place, look


def _store(world: World) -> AsyncEngine:
    return world.database("points db", timeout=1.0)


async def _credit(connection: AsyncConnection) -> None:
    more = text("UPDATE balance SET points = points + :points")
    await connection.execute(more, {"points": POINTS})


# -- by an event


async def _relay(world: World) -> None:
    bus, clock = RedisStreams(world.redis()), world.clock
    engine = world.database("orders db", timeout=1.0)
    owner = world.new_id("relay-")
    relay = Relay(engine, "orders", bus, owner=owner, clock=clock, lease=1.0, within=1.0)
    await relay.work(0.1)


async def _hear(world: World) -> None:
    service = Service("points")

    @service.on(OrderCompleted)
    async def credit(
        connection: AsyncConnection, event: OrderCompleted, envelope: Envelope
    ) -> Iterable[Any]:
        await _credit(connection)
        return ()

    known, store = catalog(), _store(world)
    boxes: dict[str, Any] = {
        "inbox": Inbox("points", world.clock),
        "outbox": Outbox("points", known, clock=world.clock, ids=world.new_id),
    }
    subscriber = Subscriber(service, known, store, within=1.0, **boxes)

    async def receive(wire: str) -> None:
        if await subscriber.receive(wire) == "done":
            world.record("credited", order=known.decode(wire).aggregate)

    bus = RedisStreams(world.redis(), retry_after=0.5)
    await bus.work("points", world.new_id("reader-"), receive, poll=0.1)


# -- by a step


def _with_points(world: World, definition: SagaDefinition) -> SagaDefinition:
    http = world.http(timeout=1.0)

    async def give_points(context: Context) -> Any:
        answer = await http.post("http://points/credit", json={"key": context.key})
        answer.raise_for_status()
        return {}

    *before, complete = definition.steps
    step = Step("give_points", give_points, kind="retriable", timeout=1.0, retry=PATIENT)
    return replace(definition, steps=(*before, step, complete))


async def _serve(world: World) -> None:
    app, inbox = FastAPI(), Inbox("points", world.clock)
    store = _store(world)

    @app.post("/credit")
    async def credit(body: dict[str, str]) -> dict[str, str]:
        async with begin_immediate(store, within=1.0) as connection:
            new = await inbox.first(connection, body["key"])
            if new:
                await _credit(connection)
        if new:
            world.record("credited", order=body["key"].partition(":")[0])
        return {}

    world.serve("points", app)
    await asyncio.Event().wait()
