"""The experiment behind the partition matrix: what each way of guarding the stock does at the side that is cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI

from labkit.consistency import LockManager
from labkit.course.two_sites import CUTS, SECONDS, SITES, STOCK, during_the_cut, oversold, p99, two_sites
from labkit.shop import create_app
from labkit.sim import run
from labkit.world import World


def database_alone(world: World) -> FastAPI:
    return create_app(engine=world.database(timeout=2.0), clock=world.clock, ids=world.new_id)


def lock_first(world: World) -> FastAPI:
    locks = LockManager(world.redis(), ids=lambda: world.new_id("owner-"), rng=world.rng, lease=2.0, wait=2.0)
    return create_app(engine=world.database(timeout=2.0), clock=world.clock, ids=world.new_id, locks=locks)


def generous(world: World) -> FastAPI:
    """Says yes to everybody and never looks at the stock."""
    app = FastAPI()

    @app.post("/orders", status_code=201)
    async def order() -> dict[str, str]:
        return {}

    @app.get("/products/stove")
    async def product() -> dict[str, int]:
        return {"stock": STOCK}

    return app


@pytest.mark.parametrize(
    ("make", "cut", "east_sells", "west_sells"),
    [
        (database_alone, "nothing", True, True),
        (database_alone, "west from Redis", True, True),
        (database_alone, "west from both", True, False),
        (database_alone, "Redis is down", True, True),
        (lock_first, "nothing", True, True),
        (lock_first, "west from Redis", True, False),
        (lock_first, "west from both", True, False),
        (lock_first, "Redis is down", False, False),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_who_can_sell_during_the_cut(
    make: Callable[[World], FastAPI], cut: str, east_sells: bool, west_sells: bool, seed: int
) -> None:
    made = run(two_sites, seed=seed, args={"make": make}, faults=CUTS[cut])
    for site, sells in zip(SITES, (east_sells, west_sells), strict=True):
        sold, asked = during_the_cut(made, site)
        assert sold == (asked if sells else 0) and asked >= 5
    assert oversold(made) == 0
    after = [event.data["status"] for event in made.history.of("answered") if event.data["asked"] > 25]
    assert set(after) == {201}, "when the cut has healed, everybody sells again"


def test_a_service_that_never_looks_oversells_and_the_count_says_so() -> None:
    made = run(two_sites, seed=1, args={"make": generous})
    assert oversold(made) == len(SITES) * SECONDS


def test_p99_is_the_slowest_of_thirty_answers_in_milliseconds() -> None:
    made = run(two_sites, seed=1, args={"make": generous})
    slowest = max(event.data["took"] for event in made.history.of("answered") if event.data["site"] == "east")
    assert p99(made, "east") == pytest.approx(1000 * slowest, rel=0.1)
