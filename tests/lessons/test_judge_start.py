"""The judge of 00-1: a kind word for the stub, the right answer passes, the wrong ones fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from labkit.course import check


async def right(redis: Redis) -> None:
    await redis.incr("counter")


async def by_watching(redis: Redis) -> None:
    async def add(pipe: Redis) -> None:
        value = int(await pipe.get("counter") or 0)  # type: ignore[misc]
        pipe.multi()  # type: ignore[attr-defined]
        pipe.set("counter", value + 1)

    await redis.transaction(add, "counter")  # type: ignore[arg-type]


async def read_then_write(redis: Redis) -> None:
    await redis.set("counter", int(await redis.get("counter") or 0) + 1)


async def in_a_transaction_that_does_not_watch(redis: Redis) -> None:
    value = int(await redis.get("counter") or 0)
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.set("counter", value + 1).execute()


async def after_a_wait(redis: Redis) -> None:
    await asyncio.sleep(0.01)
    await read_then_write(redis)


async def not_at_all(redis: Redis) -> None:
    await redis.get("counter")


async def stub(redis: Redis) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("answer", [right, by_watching])
def test_what_loses_nothing_passes(answer: Callable[[Redis], Awaitable[None]]) -> None:
    result = check("00-1", answer)
    assert result.passed, result.text
    assert "Held on 200 schedules" in result.text


@pytest.mark.parametrize(
    "answer", [read_then_write, in_a_transaction_that_does_not_watch, after_a_wait, not_at_all]
)
def test_what_loses_an_increment_is_caught_with_few_clients_and_no_fault(
    answer: Callable[[Redis], Awaitable[None]],
) -> None:
    result = check("00-1", answer)
    assert result.status == "failed" and result.run is not None
    assert (
        result.run.args["clients"] <= 2 and result.run.faults == () and result.run.deviations == ()
    )


def test_one_client_is_called_one() -> None:
    assert "What broke: 1 client counted, the counter says 0." in check("00-1", not_at_all).text


def test_a_stub_is_not_an_answer() -> None:
    assert check("00-1", stub).status == "not attempted"
