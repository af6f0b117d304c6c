"""The same scenario on the simulated world and on real servers: what must hold on one holds on the
other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from labkit import real, sim
from labkit.world import CRASHED, Crash, Pause, Run, World
from tests.real.waiting import until

WORLDS = pytest.mark.parametrize("run", [sim.run, real.run], ids=["simulated", "real"])


async def lease(world: World, seconds: float) -> int:
    """Two nodes want one lock. The greatest number of nodes that believed at once that they held
    it.
    """
    client = world.redis(timeout=30.0)
    holders: set[str] = set()
    most = 0

    async def hold() -> None:
        nonlocal most
        await until(lambda: client.set("lock", world.here(), nx=True, px=int(seconds * 1000)))
        holders.add(world.here())
        most = max(most, len(holders))
        with world.holding("lock"):
            world.record("acquired")
            await asyncio.sleep(0)
        holders.discard(world.here())
        await client.delete("lock")

    first = world.node("a").start(hold, daemon=True)
    await until(lambda: bool(world.history.of("acquired")))
    await world.join(world.node("b").start(hold))
    if most == 1:
        await world.join(first)
    return most


async def order(world: World) -> list[Any]:
    """A service sells one unit of ten over HTTP, from a database."""
    engine = world.database()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE stock (n int)"))
        await connection.execute(text("INSERT INTO stock VALUES (10)"))
    app = FastAPI()

    @app.post("/orders")
    async def sell() -> dict[str, str]:
        world.record("selling")
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE stock SET n = n - 1"))
        return {"order": world.new_id("order-"), "on": world.here()}

    world.serve("orders", app)

    async def buy() -> dict[str, str]:
        async with world.http() as client:
            response = await client.post("http://orders/orders")
            answer: dict[str, str] = response.raise_for_status().json()
            return answer

    answers = await world.join(world.node("web").start(buy), return_exceptions=True)
    async with engine.connect() as connection:
        left = (await connection.execute(text("SELECT n FROM stock"))).scalar_one()
    return [*answers, left]


@WORLDS
def test_a_lease_that_ends_in_its_holders_pause_has_two_holders(run: Callable[..., Run]) -> None:
    held = run(
        lease, args={"seconds": 0.1}, faults=[Pause(node="a", after="acquired", for_=3600.0)]
    )
    assert held.result == 2
    of_a, of_b = sorted(
        (span for span in held.history.spans if span.kind == "hold"), key=lambda span: span.node
    )
    assert of_b.end is not None and of_b.start > of_a.start
    assert of_a.end is None or of_a.end > of_b.end


@WORLDS
def test_without_the_pause_it_never_has(run: Callable[..., Run]) -> None:
    assert run(lease, args={"seconds": 60.0}).result == 1


@WORLDS
def test_a_service_sells_one_unit_and_says_where(run: Callable[..., Run]) -> None:
    answer, left = run(order).result
    assert (answer["on"], left) == ("orders", 9)


def test_ids_are_the_same_in_both_worlds() -> None:
    assert sim.run(order, seed=3).result[0]["order"] == real.run(order, seed=3).result[0]["order"]


@WORLDS
def test_a_service_that_dies_before_it_sells_has_sold_nothing(run: Callable[..., Run]) -> None:
    error, left = run(order, faults=[Crash(node="orders", after="selling")]).result
    assert isinstance(error, Exception) and error is not CRASHED
    assert left == 10
