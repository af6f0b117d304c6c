"""Idempotency keys: one effect per key, and the first answer again, whatever was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import ClaimLost, DatabaseUnavailable, KeyInProgress, KeyReused
from labkit.base.idempotency import Answer, IdempotencyKeys, metadata
from labkit.base.transactions import begin_immediate
from labkit.inventory.stock import Inventory, create_inventory, guarded
from tests.support.engines import engine_on, lost_commit

SOLD = Answer(201, '{"id":"order-1"}')


class Bench:
    """One database, one clock to turn, and requests that sell a tent under a key."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.time = 1000.0
        self.keys = IdempotencyKeys(engine, lambda: self.time, claim_for=60.0)

    async def finish(self, key: str, owner: str) -> None:
        async with begin_immediate(self.engine) as connection:
            await guarded(connection, "tent", 1)
            await self.keys.complete(connection, key, owner, SOLD)

    async def sold(self) -> int:
        return 10 - await Inventory(self.engine).stock("tent")


def on(url: str, scenario: Callable[[Bench], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with engine_on(url) as engine:
            await create_inventory(engine, {"tent": 10})
            async with begin_immediate(engine) as connection:
                await connection.run_sync(metadata.create_all)
            return await scenario(Bench(engine))

    return asyncio.run(run())


def test_the_first_request_claims_the_key_and_later_ones_get_its_answer(database: str) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.keys.claim("k", "tent", "first") is None
        await bench.finish("k", "first")
        assert [await bench.keys.claim("k", "tent", f"retry {n}") for n in range(2)] == [SOLD, SOLD]
        assert await bench.keys.claim("another", "tent", "second") is None

    on(database, scenario)


def test_the_same_key_for_another_payload_is_refused(database: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.keys.claim("k", "tent", "first")
        for _ in ("in progress", "completed"):
            with pytest.raises(KeyReused):
                await bench.keys.claim("k", "mat", "second")
            await bench.finish("k", "first") if not await bench.sold() else None

    on(database, scenario)


def test_of_many_requests_at_once_exactly_one_claims_the_key(database: str) -> None:
    async def scenario(bench: Bench) -> None:
        claims = (bench.keys.claim("k", "tent", f"request {n}") for n in range(12))
        ends = await asyncio.gather(*claims, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, KeyInProgress)] == [None]
        assert {end.retry_after for end in ends if isinstance(end, KeyInProgress)} == {60.0}

    on(database, scenario)


def test_answer_and_effect_are_committed_together_or_not_at_all(database: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.keys.claim("k", "tent", "first")
        with lost_commit(bench.engine, executed=False), pytest.raises(DatabaseUnavailable):
            await bench.finish("k", "first")
        assert await bench.sold() == 0
        with pytest.raises(KeyInProgress):
            await bench.keys.claim("k", "tent", "retry")
        with lost_commit(bench.engine, executed=True), pytest.raises(DatabaseUnavailable):
            await bench.finish("k", "first")
        assert (await bench.sold(), await bench.keys.claim("k", "tent", "retry")) == (1, SOLD)

    on(database, scenario)


def test_a_key_given_back_is_a_fresh_one_and_a_completed_one_cannot_be_given_back(
    database: str,
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.keys.claim("k", "tent", "first")
        await bench.keys.release("k", "somebody else")
        with pytest.raises(KeyInProgress):
            await bench.keys.claim("k", "tent", "second")
        await bench.keys.release("k", "first")
        assert await bench.keys.claim("k", "mat", "second") is None
        await bench.finish("k", "second")
        await bench.keys.release("k", "second")
        assert await bench.keys.claim("k", "mat", "third") == SOLD

    on(database, scenario)


def test_the_claim_of_a_dead_owner_is_taken_over_by_exactly_one_when_it_has_run_out(
    database: str,
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.keys.claim("k", "tent", "dead")
        bench.time += 59.0
        with pytest.raises(KeyInProgress) as early:
            await bench.keys.claim("k", "tent", "heir")
        assert early.value.retry_after == 1.0
        bench.time += 1.0
        heirs = (bench.keys.claim("k", "tent", f"heir {n}") for n in range(8))
        ends = await asyncio.gather(*heirs, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, KeyInProgress)] == [None]

    on(database, scenario)


@pytest.mark.parametrize("slow_one_ends", ["before", "after"])
def test_an_owner_that_was_slow_and_not_dead_sells_nothing_any_more(
    database: str, slow_one_ends: str
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.keys.claim("k", "tent", "slow")
        bench.time += 61.0
        assert await bench.keys.claim("k", "tent", "heir") is None
        if slow_one_ends == "after":
            await bench.finish("k", "heir")
        with pytest.raises(ClaimLost):
            await bench.finish("k", "slow")
        if slow_one_ends == "before":
            await bench.finish("k", "heir")
        assert await bench.sold() == 1

    on(database, scenario)
