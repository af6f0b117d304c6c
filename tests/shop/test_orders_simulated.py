"""Two replicas of the order service in the simulated world: under every fault nothing is oversold
and no key sells twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from labkit.locks.manager import LockManager
from labkit.shop import AtOnce, Product, create_app, open_shop
from labkit.sim import run
from labkit.world import Crash, Fault, LoseReply, Partition, Pause, World
from tests.shop.shops import cart

STOCK, BUYERS, REPLICAS = 4, 8, 2


async def market(world: World, locked: bool) -> dict[str, Any]:
    """Each buyer wants one tent, and repeats its order with its key, at one replica and the other,
    until it gets an answer.
    """
    engine = world.database()
    await open_shop(engine, [Product("tent", "Tent", 18900, STOCK)])

    async def serve(name: str) -> None:
        locks = LockManager(
            world.redis(), ids=lambda: world.new_id("owner-"), rng=world.rng, lease=2.0, wait=3.0
        )
        one = AtOnce(world.database(), world.clock, locks if locked else None, within=1.0)
        world.serve(name, create_app(one, ids=world.new_id, claim_for=8.0))

    async def buy(number: int) -> int:
        client = world.http(timeout=6.0)
        body = cart(("tent", 1), customer=f"buyer{number}")
        for attempt in range(8):
            try:
                url = f"http://orders{(number + attempt) % REPLICAS}/orders"
                answer = await client.post(
                    url, json=body, headers={"Idempotency-Key": f"key{number}"}
                )
            except httpx.TransportError:
                await asyncio.sleep(1.0)
                continue
            if answer.status_code == 503 or answer.json().get("type") == "/problems/in-progress":
                await asyncio.sleep(2.0)
                continue
            return answer.status_code
        return 0

    for replica in range(REPLICAS):
        world.node(f"orders{replica}").boot(serve, f"orders{replica}")
    await asyncio.sleep(0.01)
    answers = await world.join(
        *(world.node(f"buyer{number}").start(buy, number) for number in range(BUYERS))
    )
    async with engine.connect() as connection:
        orders = (await connection.execute(text("SELECT customer FROM orders"))).scalars().all()
        stock = (await connection.execute(text("SELECT stock FROM inventory"))).scalar_one()
    return {"answers": answers, "orders": Counter(orders), "stock": stock}


FAULTS: dict[str, list[Fault]] = {
    "none": [],
    "a replica is stopped for longer than its lease": [Pause(node="orders0", at=0.05, for_=3.0)],
    "a replica crashes": [Crash(node="orders0", at=0.05, restart_after=1.0)],
    "an answer of the service is lost": [LoseReply(src="buyer0", dst="orders0", at=0.0)],
    "an answer of the database is lost": [LoseReply(src="orders1", dst="database", at=0.06)],
    "the database cannot be reached for a while": [Partition(one=("database",), at=0.05, for_=4.0)],
    "Redis cannot be reached for a while": [Partition(one=("redis",), at=0.05, for_=4.0)],
}


@pytest.mark.parametrize("locked", [True, False], ids=["lock", "database only"])
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_under_this_fault_nothing_is_oversold_and_every_buyer_is_told_the_truth(
    faults: Sequence[Fault], locked: bool
) -> None:
    for seed in range(3):
        result = run(market, seed=seed, faults=faults, args={"locked": locked}).result
        assert result["stock"] == STOCK - result["orders"].total() >= 0
        assert max(result["orders"].values(), default=0) <= 1, "a key sold twice"
        for number, answer in enumerate(result["answers"]):
            if answer:
                assert result["orders"][f"buyer{number}"] == (answer == 201), (
                    f"buyer{number} was told {answer}"
                )
        if not faults:
            assert Counter(result["answers"]) == {201: STOCK, 409: BUYERS - STOCK}


def test_without_redis_the_lock_sells_nothing_and_the_database_alone_sells_all() -> None:
    for seed in range(3):
        sold = {
            locked: run(
                market,
                seed=seed,
                faults=[Partition(one=("redis",), at=0.0)],
                args={"locked": locked},
            )
            .result["orders"]
            .total()
            for locked in (True, False)
        }
        assert sold == {True: 0, False: STOCK}
