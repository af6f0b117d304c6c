"""Redis Streams over the simulated network: they answer as a real server does, and wait and age in
virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from labkit import real, sim
from labkit.world import Crash, Run, World


async def a_blocked_reader(world: World) -> list[Any]:
    """One message is there when the reader asks, one comes while it waits, and none comes the third
    time.
    """
    redis, got = world.redis(timeout=5.0), []
    await redis.xgroup_create("s", "g", id="0", mkstream=True)
    await redis.xadd("s", {"n": "0"})

    async def read() -> None:
        client = world.redis(timeout=5.0)
        for count in (10, None, 10):
            answer = await client.xreadgroup("g", "reader", {"s": ">"}, count=count, block=300)
            entries = [fields for _, some in answer for _, fields in some]
            got.append(entries)

    reader = world.node("reader").start(read)
    while len(got) < 1:
        await asyncio.sleep(0.01)
    await redis.set("another key", "which wakes nobody")
    await asyncio.sleep(0.05)
    await redis.xadd("s", {"n": "1"})
    await world.join(reader)
    return got


@pytest.mark.parametrize("run", [sim.run, real.run], ids=["simulated", "Valkey"])
def test_a_blocked_read_gives_what_is_there_what_comes_and_nothing_when_nothing_does(
    run: Callable[..., Run],
) -> None:
    assert run(a_blocked_reader).result == [[{b"n": b"0"}], [{b"n": b"1"}], []]


def test_a_blocked_read_waits_in_virtual_time_and_loses_nothing_with_or_without_a_count() -> None:
    async def scenario(world: World) -> list[Any]:
        redis, times = world.redis(timeout=5.0), []
        await redis.xgroup_create("s", "g", id="0", mkstream=True)

        async def write() -> None:
            await asyncio.sleep(1.0)
            await world.redis().xadd("s", {"n": "1"})

        async def read(count: int | None, block: int) -> tuple[int, float]:
            answer = await world.redis(timeout=5.0).xreadgroup(
                "g", "reader", {"s": ">"}, count=count, block=block
            )
            return len(answer), round(world.now(), 1)

        writer = world.node("writer").start(write)
        for count, block in ((1, 500), (None, 2000), (None, 500), (1, 1)):
            times += await world.join(world.node("reader").start(read, count, block))
        await world.join(writer)
        return times

    assert sim.run(scenario, seed=None).result == [(0, 0.5), (1, 1.0), (0, 1.5), (0, 1.5)]


def test_a_reader_that_dies_while_it_waits_takes_nothing_with_it() -> None:
    async def scenario(world: World) -> Any:
        redis = world.redis(timeout=5.0)
        await redis.xgroup_create("s", "g", id="0", mkstream=True)

        async def read() -> None:
            await world.redis(timeout=30.0).xreadgroup(
                "g", "dead", {"s": ">"}, count=1, block=20_000
            )

        world.node("a").start(read, daemon=True)
        await asyncio.sleep(2.0)
        await redis.xadd("s", {"n": "1"})
        await asyncio.sleep(1.0)
        return await redis.xpending("s", "g"), len(
            await redis.xreadgroup("g", "b", {"s": ">"}, count=1)
        )

    summary, read = sim.run(scenario, faults=[Crash("a", at=1.0)]).result
    assert summary["pending"] == 0 and read == 1


def test_an_entry_is_pending_for_as_long_as_the_virtual_clock_says() -> None:
    async def scenario(world: World) -> list[Any]:
        redis = world.redis()
        await redis.xgroup_create("s", "g", id="0", mkstream=True)
        entry = await redis.xadd("s", {"n": "1"})
        await redis.xreadgroup("g", "a", {"s": ">"})
        await asyncio.sleep(59.0)
        early = (await redis.xautoclaim("s", "g", "b", 60_000))[1]
        await asyncio.sleep(1.0)
        (row,) = await redis.xpending_range("s", "g", "-", "+", 10, idle=59_999)
        taken = (await redis.xautoclaim("s", "g", "b", 60_000))[1]
        (again,) = await redis.xpending_range("s", "g", "-", "+", 10)
        at = (await redis.time())[0] - int(entry.split(b"-")[0]) // 1000
        return [
            early,
            row["time_since_delivered"],
            taken,
            again["time_since_delivered"],
            again["times_delivered"],
            at,
        ]

    assert sim.run(scenario, seed=None).result == [
        [],
        60_000,
        [(b"1767225600000-0", {b"n": b"1"})],
        0,
        2,
        60,
    ]
