"""What somebody asks at night, of a shop with an orchestrator and of one without: for lesson 1.2d.

The first order is completed, the second is refused by shipping and undone, and the third waits:
something is down (a fault). Either way the services' own routes are asked, and one that is down
does not answer. `ask_orchestrator` asks the orchestrator's in `orders`. `ask_events` asks `orders`
first, which keeps the reason and what it has heard, and where that is not enough every service for
what it has said of the order, and the broker for who is behind: up to five places. Each answer
comes with the places that were asked.

Leaves out: a service that hears everything and keeps it by order, which would be one place to ask,
and a moment behind."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from labkit.base.transactions import reading
from labkit.lessons.shared.four_stores import SERVICES
from labkit.lessons.shared.two_ways import Shop
from labkit.lessons.shared.two_ways import by_events as open_by_events
from labkit.messaging.outbox import outbox
from labkit.shop.orders import find, notes_of, orders
from labkit.world import World

QUESTIONS = (
    "Where is order 3, and who is next?",
    "What was undone of order 2, and why?",
    "Which orders are open?",
)
ORDERS: tuple[dict[str, str], ...] = ({}, {"country": "AQ"}, {})

Answer = tuple[list[str], list[str]]
"""What was found, in short sentences, and the places that were asked."""


async def night(
    world: World,
    shop: Callable[[World, int], Awaitable[Shop]],
    ask: Callable[[World], Awaitable[list[Answer]]],
) -> list[Answer]:
    """Place the three orders, about a second apart, and ask the `QUESTIONS`.

    Not at full seconds: a relay's regular round would publish the same event at the same moment.
    """
    place, _ = await shop(world, len(ORDERS))
    for number, wish in enumerate(ORDERS, 1):
        order: Any = partial(place, f"order-{number}", **wish)
        world.node("orders").start(order, daemon=True)
        await asyncio.sleep(0.97)
    return await ask(world)


def report(who: str, answer: Answer) -> str:
    """One answer in a line or two of at most 80 columns."""
    found, places = answer
    asked = "1 place" if len(places) == 1 else f"{len(places)} places"
    text = f"{who}, {asked} asked: {', '.join(found)}"
    return textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="      ")


async def ask_orchestrator(world: World) -> list[Answer]:
    """The answers of the orchestrator."""
    paths = ("/order-3", "/order-2", "?status=running")
    third, second, running = [await _get(world, "orders", f"sagas{path}") for path in paths]
    if third is None:
        return [(["orders does not answer"], ["orders"]) for _ in paths]
    steps = [
        f"{step['name']} is {step['status']}"
        for step in third["steps"]
        if step["status"] != "pending"
    ]
    undone = [step["name"] for step in second["compensations"] if step["status"] == "completed"]
    why = [_undone(undone, [second["reason"]])]
    answers = (steps, why, [saga["saga_id"] for saga in running])
    return [(answer, ["orders"]) for answer in answers]


async def by_events(world: World, stock: int) -> Shop:
    """`two_ways.by_events`, and every service tells what it knows of an order."""
    opened = await open_by_events(world, stock)
    for name in SERVICES:
        world.node(name).boot(_tell, world)
    return opened


async def ask_events(world: World) -> list[Answer]:
    """The answers that can be put together from what the services say of an order, and the broker
    of who is behind.
    """
    said, places = await _said_about(world, "order-3"), [*SERVICES, "redis"]
    late = [text for group in await world.redis().xinfo_groups("events") if (text := behind(group))]
    words = [
        f"{source} said {event['type']}" if event else f"{source} does not answer"
        for source, event in said
    ]
    first = (words + late, places)
    mine = await _get(world, "orders", "order-2")
    if mine is None:
        said = await _said_about(world, "order-2")
        known = [event for _, event in said if event]
        undone = [
            event["type"] for event in known if event["type"].endswith(("Released", "Refunded"))
        ]
        reasons = [event["data"]["reason"] for event in known if "reason" in event["data"]]
        why = ([_undone(undone, reasons)], [*SERVICES])
        return [first, why, (["orders does not answer"], ["orders"])]
    open_orders = await _get(world, "orders", "open")
    why = ([_undone(mine["noted"], [mine["reason"]])], ["orders"])
    return [first, why, (open_orders, ["orders"])]


def _undone(what: list[str], reasons: list[str]) -> str:
    return f"undone: {', '.join(what)}; because: {', '.join(reasons)}"


def behind(group: dict[str, Any]) -> str | None:
    """What a consumer group has still to read; its lag is None when the server has lost count, as
    after an XDEL.
    """
    name, lag, pending = group["name"].decode(), group["lag"], group["pending"]
    if lag is None:
        return f"{name} has {pending} events in hand, and nobody knows how many to read"
    late = lag + pending
    events = "1 event" if late == 1 else f"{late} events"
    return f"{name} has {events} to read" if late else None


async def _get(world: World, service: str, path: str) -> Any:
    """What the service answers, or None: it is down."""
    async with world.http(timeout=1.0) as http:
        try:
            return (await http.get(f"http://{service}/{path}")).json()
        except httpx.TransportError:
            return None


async def _said_about(world: World, order: str) -> list[tuple[str, dict[str, Any] | None]]:
    """Who said what about the order, in the order of the speakers' clocks; last who does not
    answer, with None.
    """
    rows: list[tuple[float, str, dict[str, Any] | None]] = []
    for name in SERVICES:
        told = await _get(world, name, order)
        rows += (
            [(float("inf"), name, None)]
            if told is None
            else [(at, name, json.loads(wire)) for at, wire in told["said"]]
        )
    return [(source, event) for _, source, event in sorted(rows, key=lambda row: row[:2])]


async def _tell(world: World) -> None:
    """The routes of the service on this node; `orders` knows a little more than the others."""
    name, app = world.here(), FastAPI()
    engine = world.database(f"{name} db", timeout=1.0)

    @app.get("/open")
    async def waiting() -> list[str]:
        pending = select(orders.c.id).where(orders.c.status == "pending").order_by(orders.c.id)
        async with reading(engine) as connection:
            return list((await connection.scalars(pending)).all())

    @app.get("/{order}")
    async def of(order: str) -> dict[str, Any]:
        published = (
            select(outbox.c.added_at, outbox.c.wire)
            .where(outbox.c.aggregate == order, outbox.c.source == name)
            .order_by(outbox.c.position)
        )
        async with reading(engine) as connection:
            said = [tuple(row) for row in (await connection.execute(published)).all()]
            if name != "orders":
                return {"said": said}
            found = await find(connection, order)
            reason = found.reason if found is not None else None
            return {"said": said, "noted": await notes_of(connection, order), "reason": reason}

    world.serve(name, app)
