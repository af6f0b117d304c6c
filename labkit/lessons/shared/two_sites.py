"""Two sites under a cut: the experiment behind the partition matrix of lessons 1.1b and 1.1d.

East and west each have an order service and customers who order one unit a second. The lock server
"redis" and the database "database" stand in the east; what cuts the west off from them is a fault.
`make(world)` builds the service of a site, so that every way of guarding the stock runs through the
same thirty seconds. A service that promises first and decides later writes an event "cancelled"
with the `hold` it takes back, and needs some time afterwards to settle.

Leaves out: customers who give up, who come back, or who are sent to the other site.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI

from labkit.shop import Product, open_shop
from labkit.shop.problems import install
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


EVERY: Mapping[str, float] = MappingProxyType({"east": 1.0, "west": 1.0})
"""How many seconds there are from one customer of a site to the next."""


def cut_off(seconds: float) -> tuple[Fault, ...]:
    """The west is cut off from everything in the east for so many seconds, from second 10 on."""
    return (
        (Partition(("west",), ("east", "redis", "database"), at=CUT_FROM, for_=seconds),)
        if seconds
        else ()
    )


async def two_sites(
    world: World,
    make: Callable[[World], ASGIApp | Awaitable[ASGIApp]],
    *,
    stock: int = STOCK,
    every: Mapping[str, float] = EVERY,
    settle: float = 0.0,
) -> int:
    """Run both sites for 30 seconds, and wait `settle` more; every answer is an event "answered".
    Returns what is left.

    `stock` is there at first; at each site a customer comes `every` so many seconds. `make` may be
    a coroutine function."""
    world.node("redis")  # it stands there, and may be cut off, whether the service asks it or not
    await open_shop(world.database(), [Product("stove", "Gas stove", 4500, stock)])

    async def service(site: str) -> None:
        made = make(world)
        world.serve(site, await made if inspect.isawaitable(made) else made)

    async def customer(site: str, comes: float) -> None:
        stove = {"sku": "stove", "quantity": 1}
        order = {"customer": "ada", "country": "PT", "items": [stove]}
        await asyncio.sleep(comes - world.now())
        async with world.http(timeout=10.0) as http:
            answer = await http.post(f"http://{site}/orders", json=order)
        facts = {"order": answer.json().get("id")} if answer.status_code == 201 else {}
        waited = world.now() - comes
        world.record(
            "answered", site=site, asked=comes, status=answer.status_code, took=waited, **facts
        )

    async def customers(site: str) -> None:
        first = math.ceil(world.now())
        times = [number * every[site] for number in range(round(SECONDS / every[site]))]
        node = world.node(f"{site} customers")
        await world.join(*[node.start(customer, site, first + time) for time in times])

    await world.join(*[world.node(site).start(service, site) for site in SITES])
    await world.join(*[world.node(f"{site} customers").start(customers, site) for site in SITES])
    await asyncio.sleep(settle)
    async with world.http() as http:
        left = (await http.get("http://east/products/stove")).json()["stock"]
    return int(left)


def site_app(
    sell: Callable[[], Awaitable[str]],
    left: Callable[[], Awaitable[int]],
    state: Callable[[], Awaitable[Any]] | None = None,
) -> FastAPI:
    """A service that sells one stove a request by `sell()`, which returns the order's id, refuses
    or is unavailable.

    `left()` is what this site thinks is left; `state()` what it tells the other site at GET /state.
    """
    app = FastAPI()
    install(app)

    @app.post("/orders", status_code=201)
    async def order() -> dict[str, str]:
        return {"id": await sell()}

    @app.get("/products/stove")
    async def product() -> dict[str, int]:
        return {"stock": await left()}

    if state is not None:
        app.get("/state")(state)
    return app


def during_the_cut(run: Run, site: str) -> tuple[int, int]:
    """How many orders the site sold, and how many it was asked for, from second 10 to second 20."""
    answers = [event.data for event in run.history.of("answered") if event.data["site"] == site]
    asked = [answer for answer in answers if CUT_FROM <= answer["asked"] < CUT_TO]
    return sum(answer["status"] == 201 for answer in asked), len(asked)


def oversold(run: Run) -> int:
    """Orders confirmed to customers beyond what the stock gave up."""
    confirmed = sum(1 for event in run.history.of("answered") if event.data["status"] == 201)
    stock: int = run.args.get("stock", STOCK)
    return max(0, confirmed - (stock - int(run.result)))


def taken_back(run: Run) -> list[tuple[str, float]]:
    """For every order that was promised and then cancelled: its site, and how many seconds its
    customer believed in it.
    """
    promised = {
        event.data["order"]: (event.data["site"], event.at)
        for event in run.history.of("answered")
        if event.data["status"] == 201
    }
    cancelled = [(event.data["hold"], event.at) for event in run.history.of("cancelled")]
    return [
        (promised[hold][0], at - promised[hold][1]) for hold, at in cancelled if hold in promised
    ]


def slowest(run: Run, site: str) -> int:
    """How long the slowest answer to a customer of this site took, in milliseconds, to two digits.
    A customer's time counts from the moment at which it was planned to come.
    """
    answers = run.history.of("answered")
    took = [event.data["took"] for event in answers if event.data["site"] == site]
    return int(float(f"{1000 * max(took):.2g}"))
