"""What somebody asks at night, of a shop with a conductor and of one without: part of lesson 1.2b.

The first order is completed, the second is refused by shipping and undone, and the third waits: something is down (a fault).
`ask_conductor` asks the orchestrator's routes; `ask_events` asks every service for what it has said of the order, and the
broker for who is behind. Each answer comes with the places that had to be asked. Nothing here is slower than it must be: one
request, or one query, a place.

Leaves out: a service that hears everything and keeps it by order, which would be one place to ask, and a moment behind.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy import select

from labkit.consistency.transactions import reading
from labkit.course.four_stores import SERVICES
from labkit.course.two_ways import Shop
from labkit.sagas.outbox import outbox
from labkit.shop.purchases import purchases
from labkit.world import World

QUESTIONS = ("Where is order 3, and who is next?", "What was undone of order 2, and why?", "Which orders are open?")
ORDERS: tuple[dict[str, str], ...] = ({}, {"country": "AQ"}, {})

Answer = tuple[list[str], list[str]]
"""What was found, in short sentences, and the places that were asked."""


async def night(
    world: World, shop: Callable[[World, int], Awaitable[Shop]], ask: Callable[[World], Awaitable[list[Answer]]]
) -> list[Answer]:
    """Place the three orders, a second apart, and ask the `QUESTIONS`."""
    place, _ = await shop(world, len(ORDERS))
    for number, wish in enumerate(ORDERS, 1):
        order: Any = partial(place, f"order-{number}", **wish)
        world.node("orders").start(order, daemon=True)
        await asyncio.sleep(1.0)
    return await ask(world)


async def ask_conductor(world: World) -> list[Answer]:
    """The answers of the orchestrator."""
    async with world.http() as http:
        paths = ("/order-3", "/order-2", "?status=running")
        third, second, running = [(await http.get(f"http://orders/sagas{path}")).json() for path in paths]
    steps = [f"{step['name']} is {step['status']}" for step in third["steps"] if step["status"] != "pending"]
    undone = [step["name"] for step in second["compensations"] if step["status"] == "completed"]
    answers = (steps, [*undone, second["reason"]], [saga["saga_id"] for saga in running])
    return [(answer, ["orders"]) for answer in answers]


async def ask_events(world: World) -> list[Answer]:
    """The answers that can be put together from what every service has said, and what the broker has not got rid of."""
    third, second = await _said_about(world, "order-3"), await _said_about(world, "order-2")
    behind = [
        f"{group['name'].decode()} is {group['lag'] + group['pending']} events behind"
        for group in await world.redis().xinfo_groups("events")
        if group["lag"] + group["pending"]
    ]
    undone = [event["type"] for _, event in second if event["type"].endswith(("Released", "Refunded"))]
    reasons = [event["data"]["reason"] for _, event in second if "reason" in event["data"]]
    async with reading(world.database("orders db")) as connection:
        pending = select(purchases.c.reference).where(purchases.c.state == "pending").order_by(purchases.c.reference)
        open_orders = list((await connection.scalars(pending)).all())
    said = [f"{source} said {event['type']}" for source, event in third]
    return [([*said, *behind], [*SERVICES, "redis"]), ([*undone, *reasons], [*SERVICES]), (open_orders, ["orders"])]


async def _said_about(world: World, order: str) -> list[tuple[str, dict[str, Any]]]:
    """Who said what about the order, in the order of the speakers' clocks."""
    rows = []
    for name in SERVICES:
        async with reading(world.database(f"{name} db")) as connection:
            mine = select(outbox.c.added_at, outbox.c.source, outbox.c.wire).where(outbox.c.aggregate == order)
            rows.append((await connection.execute(mine)).all())
    return [(row.source, json.loads(row.wire)) for row in sorted(chain(*rows), key=lambda row: (row.added_at, row.source))]
