"""Idempotency-Key on POST /orders: an order is sold once, however often its client has to ask."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from labkit.locks.errors import LockTimeout
from tests.shop.shops import ONE_TENT, FakeLease, FakeLocks, Shop, cart, in_shop
from tests.shop.test_orders import assert_problem
from tests.support.engines import lost_commit


def test_a_repeated_key_replays_the_first_answer_and_sells_once(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        first = await shop.order(key="k")
        shop.time += 3600.0
        again = await shop.order(key="k")
        assert (first.status_code, "idempotent-replayed" in first.headers) == (201, False)
        assert (again.status_code, again.content) == (201, first.content)
        assert (again.headers["location"], again.headers["idempotent-replayed"]) == (
            first.headers["location"],
            "true",
        )
        assert (await shop.order(key="another")).json()["id"] != first.json()["id"]
        assert await shop.stock() == 8

    in_shop(database, scenario)


def test_the_same_key_with_another_cart_is_refused(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        await shop.order(key="k")
        assert_problem(await shop.order(cart(("tent", 2)), key="k"), 422, "idempotency-key-reused")
        assert_problem(
            await shop.order({**ONE_TENT, "customer": "bob"}, key="k"),
            422,
            "idempotency-key-reused",
        )
        assert await shop.stock() == 9

    in_shop(database, scenario)


def test_a_refusal_is_replayed_too_even_when_there_is_stock_again(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        for body, status in ((cart(("mug", 1)), 409), (cart(("yacht", 1)), 404)):
            first = await shop.order(body, key=f"k{status}")
            async with shop.engine.begin() as connection:
                await connection.exec_driver_sql(
                    "UPDATE inventory SET stock = stock + 1 WHERE sku = 'mug'"
                )
            again = await shop.order(body, key=f"k{status}")
            assert (first.status_code, again.status_code, again.content) == (
                status,
                status,
                first.content,
            )
            assert again.headers["content-type"] == "application/problem+json"
            async with shop.engine.begin() as connection:
                await connection.exec_driver_sql(
                    "UPDATE inventory SET stock = stock - 1 WHERE sku = 'mug'"
                )

    in_shop(database, scenario)


def test_an_invalid_order_does_not_use_its_key_up(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        assert (await shop.order(cart(("tent", 0)), key="k")).status_code == 422
        assert (await shop.order(key="k")).status_code == 201

    in_shop(database, scenario)


@pytest.mark.parametrize(
    "executed", [True, False], ids=["the database did it", "the database did not"]
)
def test_an_order_whose_answer_was_lost_is_sold_once_when_it_is_repeated(
    database: str, executed: bool
) -> None:
    async def scenario(shop: Shop) -> None:
        with lost_commit(
            shop.engine, nth=2, executed=executed
        ):  # the first commit is the claim of the key
            lost = await shop.order(key="k")
        assert_problem(lost, 503, "unavailable", outcome="unknown")
        assert await shop.stock() == (9 if executed else 10)
        retry = await shop.order(key="k")
        assert (retry.status_code, retry.headers.get("idempotent-replayed")) == (
            201,
            "true" if executed else None,
        )
        assert await shop.stock() == 9

    in_shop(database, scenario)


def test_a_claim_whose_answer_was_lost_has_sold_nothing(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        with lost_commit(shop.engine, nth=1):
            assert_problem(await shop.order(key="k"), 503, "unavailable", outcome="failed")
        assert await shop.stock() == 10

    in_shop(database, scenario)


def test_a_refusal_that_could_not_be_stored_has_sold_nothing_and_is_refused_again(
    database: str,
) -> None:
    async def scenario(shop: Shop) -> None:
        for executed in (True, False):
            with lost_commit(shop.engine, nth=2, executed=executed):
                assert_problem(
                    await shop.order(cart(("mug", 1)), key=f"k{executed}"),
                    503,
                    "unavailable",
                    outcome="failed",
                )
            assert_problem(
                await shop.order(cart(("mug", 1)), key=f"k{executed}"),
                409,
                "insufficient-stock",
                available=0,
            )

    in_shop(database, scenario)


def test_a_repeat_while_the_first_is_in_progress_is_told_to_come_back(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        first = asyncio.create_task(shop.order(key="k"))
        await locks.asked.wait()
        early = await shop.order(key="k")
        assert_problem(early, 409, "in-progress")
        assert int(early.headers["retry-after"]) >= 1
        assert locks.gate is not None
        locks.gate.set()
        assert (await first).status_code == 201
        late = await shop.order(key="k")
        assert (late.status_code, late.headers["idempotent-replayed"]) == (201, "true")
        assert await shop.stock() == 9

    locks = FakeLocks(gate=asyncio.Event())
    in_shop(database, scenario, locks=locks)


def test_a_first_request_that_was_slower_than_its_claim_sells_nothing_any_more(
    database: str,
) -> None:
    async def scenario(shop: Shop) -> None:
        slow = asyncio.create_task(shop.order(key="k"))
        await locks.asked.wait()
        shop.time += 60.0
        locks.asked.clear()
        heir = asyncio.create_task(shop.order(key="k"))
        await locks.asked.wait()
        assert locks.gate is not None
        locks.gate.set()
        answers = [await slow, await heir]
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 1}
        assert_problem(answers[0], 409, "in-progress")
        assert await shop.stock() == 9

    locks = FakeLocks(gate=asyncio.Event())
    in_shop(database, scenario, locks=locks)


def test_a_key_can_be_used_again_when_nothing_was_sold_for_want_of_a_lock(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        locks.error = LockTimeout("busy")
        assert_problem(await shop.order(key="k"), 503, "unavailable", outcome="failed")
        locks.error = None
        assert (await shop.order(key="k")).status_code == 201
        assert await shop.stock() == 9

    locks = FakeLocks(granted=FakeLease())
    in_shop(database, scenario, locks=locks)


def test_thirty_repeats_at_once_sell_once(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        answers = await asyncio.gather(*(shop.order(key="k") for _ in range(30)))
        assert set(Counter(answer.status_code for answer in answers)) <= {201, 409}
        bodies = {answer.content for answer in answers if answer.status_code == 201}
        assert len(bodies) == 1
        assert await shop.stock() == 9

    in_shop(database, scenario, within=60.0)
