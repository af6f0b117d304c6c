"""An exercise, "write a lock", and what readers hand in: a stub, a right answer, wrong ones, and
ones that misbehave.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

from redis.asyncio import Redis

from labkit.check import Invariant, Verdict
from labkit.course import judge
from labkit.sim import Finding, falsify
from labkit.world import Run, World


async def shop(world: World, lock_type: Any) -> None:
    """Two orders for one unit, each reading and writing the stock under the reader's lock."""
    await world.redis().set("stock", 1)

    async def order(name: str) -> None:
        redis = world.redis()
        lock = lock_type(redis, name)
        while not await lock.acquire():
            await asyncio.sleep(0.1)
        with world.holding("stock"):
            if await redis.get("stock") == b"1":
                await redis.set("stock", 0)
                world.record("sold", order=name)
        await lock.release()

    await world.join(*(world.node(name).start(order, name) for name in ("a", "b")))


def sold_twice(made: Run) -> str | None:
    buyers = [event.data["order"] for event in made.history.of("sold")]
    return f"the one unit was sold to {' and '.join(buyers)}" if len(buyers) > 1 else None


ONE_SALE = Invariant("a unit is sold once", sold_twice)


def write_a_lock(answer: Any, budget: int) -> Finding:
    async def two_orders(world: World) -> None:
        await shop(world, answer)

    return falsify(two_orders, ONE_SALE, runs=budget, max_steps=2_000)


def count_to_three(answer: Any, budget: int) -> Verdict:
    """A judge in plain code: the answer is a generator function that must yield 1, 2, 3."""
    numbers = list(answer())
    return Verdict(
        "holds" if numbers == [1, 2, 3] else "broken", "it counts to three", f"it yields {numbers}"
    )


def register() -> None:
    judge(
        "99.1-1", title="Write a lock", hints=("SET has an option.", "SET key value NX."), budget=40
    )(write_a_lock)
    judge("99.1-2", title="Count to three", hints=("one", "two"))(count_to_three)


class Stub:
    """The lock of the lesson, to be written."""

    def __init__(self, redis: Redis, owner: str) -> None:
        self.redis, self.owner = redis, owner

    async def acquire(self) -> bool:
        """True when the lock is ours."""
        raise NotImplementedError

    async def release(self) -> None:
        raise NotImplementedError("your code here")


class HalfDone(Stub):
    async def acquire(self) -> bool:
        return bool(await self.redis.set("lock", self.owner, nx=True))


class Right(HalfDone):
    async def release(self) -> None:
        await self.redis.delete("lock")


class NotExclusive(Right):
    async def acquire(self) -> bool:
        print("trying")
        return bool(await self.redis.set("lock", self.owner))


class CheckThenSet(Right):
    async def acquire(self) -> bool:
        return await self.redis.get("lock") is None and bool(
            await self.redis.set("lock", self.owner)
        )


class Raises(Right):
    async def release(self) -> None:
        holder: Any = await self.redis.get("nobody")
        holder.decode()


class RightAndTalks(Right):
    async def release(self) -> None:
        print("letting go")
        await super().release()


class RaisesAndTalks(Raises):
    async def release(self) -> None:
        print("letting go")
        await super().release()


PYTHON_LOCK = asyncio.Lock()


class SharesAPythonLock(Right):
    async def acquire(self) -> bool:
        async with PYTHON_LOCK:
            return await super().acquire()


class RaisesAnAddress(Right):
    async def release(self) -> None:
        raise ValueError(f"cannot release {object()!r}")


class NeverReleases(Right):
    async def release(self) -> None:
        pass


class Leaves(Right):
    async def release(self) -> None:
        sys.exit("enough")


class CallsAnUnwrittenHelper(Right):
    async def release(self) -> None:
        helper()


def helper() -> None:
    raise NotImplementedError


def three() -> Iterator[int]:
    yield from (1, 2, 3)


def two() -> Iterator[int]:
    yield from (1, 2)


def raises_and_talks() -> Iterator[int]:
    print("counting")
    raise ValueError("three")


def open_generator() -> Iterator[int]:
    raise NotImplementedError
    yield 1


def endless() -> Iterator[int]:
    number = 0
    while True:
        number = number % 3 + 1
        if number < 0:
            yield number


def no_iterator() -> int:
    return 3
