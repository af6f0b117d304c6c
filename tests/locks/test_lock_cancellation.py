"""Cancelled at every single step of the event loop, a lock leaves nothing behind: not held, nobody
in line.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis

from labkit.locks import Lease, Lock, LockManager
from labkit.locks.server import settle
from labkit.sim import run
from labkit.world import World
from tests.support.servers import Server

Step = Callable[[], Awaitable[Any]]


def manager(redis: Redis) -> LockManager:
    numbers = count(1)
    return LockManager(
        redis, ids=lambda: f"owner-{next(numbers)}", rng=random.Random(1), wait=30.0, within=20.0
    )


async def cancelled_after(steps: int, work: Step, *, again_after: int | None = None) -> bool:
    """Cancel `work` after so many steps of the loop, and once more later. False when it was over
    before.
    """
    task = asyncio.ensure_future(work())
    for _ in range(steps):
        await asyncio.sleep(0)
    if task.done():
        await task
        return False
    task.cancel()
    for _ in range(again_after or 0):
        await asyncio.sleep(0)
    if again_after is not None:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return True


async def nothing_left(redis: Redis) -> None:
    assert set(await redis.keys("*")) <= {b"labkit:fence"}


async def at_every_step(redis: Redis, work: Callable[[], Awaitable[Step]], **options: Any) -> int:
    """Prepare and cancel `work` after 0, 1, 2, … steps until it is over sooner; the number of steps
    it took.
    """
    for steps in count():
        step = await work()
        cancelled = await cancelled_after(steps, step, **options)
        if not cancelled:
            return steps
        await nothing_left(redis)
    raise AssertionError


@pytest.mark.parametrize("again_after", [None, 0, 1, 3, 7])
@pytest.mark.parametrize("keys", [("k",), ("b", "a")])
def test_acquiring_a_free_lock(
    fake_server: Server, again_after: int | None, keys: tuple[str, ...]
) -> None:
    async def scenario(redis: Redis) -> None:
        async def work() -> Step:
            locks = manager(redis)

            async def acquire() -> None:
                await (await locks.acquire(*keys)).release()

            return acquire

        assert await at_every_step(redis, work, again_after=again_after) > 4

    fake_server.play(scenario)


@pytest.mark.parametrize("again_after", [None, 0, 2, 5])
def test_waiting_for_a_taken_lock_that_is_handed_over(
    fake_server: Server, again_after: int | None
) -> None:
    async def scenario(redis: Redis) -> None:
        for after in (0, 5, 10, 20):
            for steps in range(1, 120, 3):
                locks = manager(redis)
                held = await locks.acquire("k")

                async def wait(locks: LockManager = locks) -> None:
                    await (await locks.acquire("k")).release()

                async def let_go(held: Lease = held, after: int = after) -> None:
                    for _ in range(after):
                        await asyncio.sleep(0)
                    assert await held.release()

                releasing = asyncio.create_task(let_go())
                await cancelled_after(steps, wait, again_after=again_after)
                await releasing
                await _free_soon(redis)

    fake_server.play(scenario)


async def _free_soon(redis: Redis) -> None:
    """Nothing is left, or only a note to a waiter who is gone, which expires."""
    left = {name for name in await redis.keys("*") if not name.startswith(b"labkit:wake:")} - {
        b"labkit:fence"
    }
    assert not left, left
    for name in await redis.keys("labkit:wake:*"):
        assert await redis.pttl(name) > 0
        await redis.delete(name)


@pytest.mark.parametrize("again_after", [None, 0, 1, 3, 7])
def test_releasing(fake_server: Server, again_after: int | None) -> None:
    async def scenario(redis: Redis) -> None:
        async def work() -> Step:
            lease = await manager(redis).acquire("a", "b")

            async def release() -> None:
                try:
                    await lease.release()
                finally:
                    assert lease.state in (
                        "released",
                        "unknown",
                    )  # unknown: cancelled, and not told which of the two did it

            started = release()

            async def started_already() -> (
                None
            ):  # a task that is cancelled before its first step runs nothing at all
                await started

            return started_already

        lease = await manager(redis).acquire("k")
        await lease.release()
        for steps in range(1, 40):
            step = await work()
            if not await cancelled_after(steps, step, again_after=again_after):
                break
            await nothing_left(redis)
        assert steps > 2

    fake_server.play(scenario)


@pytest.mark.parametrize("again_after", [None, 0, 1, 3])
def test_holding_over_a_block(fake_server: Server, again_after: int | None) -> None:
    async def scenario(redis: Redis) -> None:
        async def work() -> Step:
            locks = manager(redis)

            async def hold() -> None:
                async with locks.hold("k"):
                    for _ in range(5):
                        await asyncio.sleep(0)

            return hold

        assert await at_every_step(redis, work, again_after=again_after) > 9

    fake_server.play(scenario)


def test_a_block_whose_lease_is_just_being_renewed() -> None:
    async def scenario(world: World, at: float) -> None:
        async def hold() -> None:
            locks = LockManager(
                world.redis(), ids=lambda: world.new_id("o"), rng=world.rng, lease=3.0
            )
            async with locks.hold("k"):
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await asyncio.sleep(at)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(await world.redis().keys("*")) == {b"labkit:fence"}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for step in range(40):
        for seed in range(3):
            run(
                scenario, seed=seed, args={"at": 1.0 + step / 4000}
            )  # a round trip takes about two milliseconds


def test_the_lock_that_stands_in_for_redis_py_s(fake_server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        async def work() -> Step:
            lock = Lock(redis, "k", timeout=60)

            async def hold() -> None:
                async with lock:
                    await asyncio.sleep(0)

            return hold

        assert await at_every_step(redis, work) > 5
        lock = Lock(redis, "k", timeout=60)
        await lock.acquire()
        await cancelled_after(3, lock.release)
        with pytest.raises(exceptions.LockError, match="already unlocked"):
            await lock.release()

    fake_server.play(scenario)


def test_settle_returns_raises_and_is_bounded() -> None:
    async def scenario() -> None:
        async def value() -> int:
            await asyncio.sleep(0)
            return 7

        async def error() -> None:
            raise ZeroDivisionError

        assert await settle(value(), 1) == 7
        with pytest.raises(ZeroDivisionError):
            await settle(error(), 1)
        with pytest.raises(TimeoutError):
            await settle(asyncio.sleep(60), 0.01)

    asyncio.run(scenario())


def test_settle_finishes_the_work_before_it_is_cancelled_however_often() -> None:
    async def scenario() -> None:
        done = asyncio.Event()

        async def work() -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            done.set()

        task = asyncio.create_task(settle(work(), 60))
        for _ in range(10):
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()

    asyncio.run(scenario())
