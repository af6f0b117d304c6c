"""Two sites under a cut: the experiment behind the partition matrix of lessons 1.1a and 1.1b.

East and west each have an order service and customers who order one unit a second. The lock server "redis" and the database
"database" stand in the east; what cuts the west off from them is a fault. `make(world)` builds the service of a site, so that
every way of guarding the stock runs through the same thirty seconds.

Leaves out: customers who give up, who come back, or who are sent to the other site.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from labkit.shop import Product, open_shop
from labkit.world import ASGIApp, Crash, Fault, Partition, Run, World

SITES = ("east", "west")
SECONDS = 30
CUT_FROM, CUT_TO = 10.0, 20.0
STOCK = 100
_LENGTH = CUT_TO - CUT_FROM
CUTS: Mapping[str, tuple[Fault, ...]] = MappingProxyType(
    {
        "nothing": (),
        "west from Redis": (Partition(("west",), ("redis",), at=CUT_FROM, for_=_LENGTH),),
        "west from both": (Partition(("west",), ("redis", "database"), at=CUT_FROM, for_=_LENGTH),),
        "Redis is down": (Crash("redis", at=CUT_FROM, restart_after=_LENGTH),),
    }
)
"""What is cut, from second 10 to second 20."""


async def two_sites(world: World, make: Callable[[World], ASGIApp]) -> int:
    """Run both sites for 30 seconds; every answer is an event "answered". Returns what is left of the stock of 100."""
    world.node("redis")  # it stands there, and may be cut off, whether the service asks it or not
    await open_shop(world.database(), [Product("stove", "Gas stove", 4500, STOCK)])

    async def service(site: str) -> None:
        world.serve(site, make(world))

    async def customers(site: str) -> None:
        order = {"items": [{"sku": "stove", "quantity": 1}], "customer": "ada"}
        async with world.http(timeout=10.0) as http:
            for second in range(SECONDS):
                await asyncio.sleep(max(0.0, second - world.now()))
                asked = world.now()
                answer = await http.post(f"http://{site}/orders", json=order)
                world.record("answered", site=site, asked=asked, status=answer.status_code, took=world.now() - asked)

    await world.join(*[world.node(site).start(service, site) for site in SITES])
    await world.join(*[world.node(f"{site} customers").start(customers, site) for site in SITES])
    async with world.http() as http:
        left = (await http.get("http://east/products/stove")).json()["stock"]
    return int(left)


def during_the_cut(run: Run, site: str) -> tuple[int, int]:
    """How many orders the site sold, and how many it was asked for, from second 10 to second 20."""
    answers = [event.data for event in run.history.of("answered") if event.data["site"] == site]
    asked = [answer for answer in answers if CUT_FROM <= answer["asked"] < CUT_TO]
    return sum(answer["status"] == 201 for answer in asked), len(asked)


def oversold(run: Run) -> int:
    """Orders confirmed to customers beyond what the stock gave up."""
    confirmed = sum(1 for event in run.history.of("answered") if event.data["status"] == 201)
    return max(0, confirmed - (STOCK - int(run.result)))


def p99(run: Run, site: str) -> int:
    """The time within which 99 of 100 answers of the whole run came, in milliseconds, to two digits (nearest rank)."""
    took = sorted(event.data["took"] for event in run.history.of("answered") if event.data["site"] == site)
    return int(float(f"{1000 * took[math.ceil(0.99 * len(took)) - 1]:.2g}"))
