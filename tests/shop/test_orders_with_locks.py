"""The CP mode: no lease, no sale; and a lease that ended, or is not the newest, sells nothing
either.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import count

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from labkit.locks.errors import LeaseLost, LockError, LockTimeout, LockUnknown
from labkit.locks.manager import LockManager
from tests.shop.shops import FakeLease, FakeLocks, Shop, cart, in_shop
from tests.shop.test_orders import assert_problem


def manager(redis: Redis) -> LockManager:
    numbers = count(1)
    # Long enough for a machine on which eight other processes work.
    patient = {"lease": 60.0, "wait": 120.0}
    return LockManager(redis, ids=lambda: f"owner-{next(numbers)}", rng=random.Random(1), **patient)


def test_it_holds_every_sku_of_the_cart_and_fences_each_with_the_token(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        assert (await shop.order(cart(("tent", 1), ("mat", 1), ("tent", 1)))).status_code == 201
        assert locks.keys == ["stock:mat", "stock:tent"]
        async with shop.engine.connect() as connection:
            rows = await connection.exec_driver_sql("SELECT sku, fence FROM inventory ORDER BY sku")
            assert [tuple(row) for row in rows] == [("mat", 42), ("mug", 0), ("tent", 42)]

    locks = FakeLocks(granted=FakeLease(token=42))
    in_shop(database, scenario, locks=locks)


@pytest.mark.parametrize(
    "error",
    [LockUnknown("x"), LockTimeout("x"), LeaseLost("x"), LockError("x")],
    ids=lambda error: type(error).__name__,
)
def test_without_a_lease_nothing_is_sold(database: str, error: LockError) -> None:
    async def scenario(shop: Shop) -> None:
        answer = await shop.order()
        assert_problem(answer, 503, "unavailable", outcome="failed")
        assert int(answer.headers["retry-after"]) >= 1
        assert await shop.stock() == 10

    in_shop(database, scenario, locks=FakeLocks(error=error))


@pytest.mark.parametrize("left", [[0.0], [10.0, 0.0]], ids=["before it began", "before its commit"])
def test_a_lease_that_has_ended_sells_nothing(database: str, left: list[float]) -> None:
    async def scenario(shop: Shop) -> None:
        body = assert_problem(await shop.order(), 503, "unavailable", outcome="failed")
        assert body["detail"].startswith(
            "The lease ended before the sale was committed. Nothing was sold."
        )
        assert await shop.stock() == 10

    in_shop(database, scenario, locks=FakeLocks(granted=FakeLease(left=left)))


def test_an_older_lease_sells_nothing_once_a_newer_one_has_sold(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        assert (await shop.order()).status_code == 201
        locks.granted = FakeLease(token=6)
        assert_problem(await shop.order(), 503, "unavailable", outcome="failed")
        assert await shop.stock() == 9

    locks = FakeLocks(granted=FakeLease(token=7))
    in_shop(database, scenario, locks=locks)


def test_no_statement_is_given_longer_than_the_lease_has_left(postgres_url: str) -> None:
    async def scenario(shop: Shop) -> None:
        async with shop.engine.connect() as blocker:
            await blocker.exec_driver_sql("UPDATE inventory SET stock = stock WHERE sku = 'tent'")
            assert_problem(await shop.order(), 503, "unavailable", outcome="failed")
        assert await shop.stock() == 10

    in_shop(postgres_url, scenario, locks=FakeLocks(granted=FakeLease(left=[0.3])), within=600.0)


def test_fifty_orders_at_once_under_real_leases_sell_exactly_ten(
    database: str, valkey_url: str
) -> None:
    redis: Redis = Redis.from_url(valkey_url)

    async def scenario(shop: Shop) -> None:
        await redis.flushall()
        answers = await asyncio.gather(*(shop.order() for _ in range(50)))
        assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}
        assert await shop.books() == {"tent": (10, 0, 10), "mat": (5, 5, 0), "mug": (0, 0, 0)}
        await redis.aclose()

    in_shop(database, scenario, locks=manager(redis), within=60.0)


def test_carts_in_opposite_order_under_real_leases_do_not_deadlock(
    database: str, valkey_url: str
) -> None:
    redis: Redis = Redis.from_url(valkey_url)

    async def scenario(shop: Shop) -> None:
        await redis.flushall()
        carts = [cart(("tent", 1), ("mat", 1)), cart(("mat", 1), ("tent", 1))] * 4
        answers = await asyncio.gather(*(shop.order(body) for body in carts))
        assert Counter(answer.status_code for answer in answers) == {201: 5, 409: 3}
        await redis.aclose()

    in_shop(database, scenario, locks=manager(redis), within=60.0)


def test_when_redis_is_down_nothing_is_sold_and_the_database_alone_still_sells(
    database: str,
) -> None:
    nowhere: Redis = Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))

    async def scenario(shop: Shop) -> None:
        for key in (None, "k"):
            assert_problem(await shop.order(key=key), 503, "unavailable", outcome="failed")
        assert await shop.stock() == 10
        alone = Shop(shop.engine, None)
        assert (await alone.order(key="k")).status_code == 201
        assert await shop.stock() == 9
        await nowhere.aclose()

    in_shop(database, scenario, locks=manager(nowhere))


def test_tokens_from_a_simulated_redis_fence_the_rows_in_order(sqlite_url: str) -> None:
    redis = FakeAsyncRedis()

    async def scenario(shop: Shop) -> None:
        fences = []
        for _ in range(3):
            await shop.order()
            async with shop.engine.connect() as connection:
                fences.append(
                    (
                        await connection.exec_driver_sql(
                            "SELECT fence FROM inventory WHERE sku = 'tent'"
                        )
                    ).scalar_one()
                )
        assert fences == sorted(set(fences)) and fences[0] > 0
        await redis.aclose()

    in_shop(sqlite_url, scenario, locks=manager(redis))
