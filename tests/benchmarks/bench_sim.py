"""How fast the simulated world is: `python -m tests.benchmarks.bench_sim`.

Steps: the same program on plain asyncio and on labkit's loop, which picks one of the ready tasks at
random before each step. Runs: the lock race (three clients, redis-py's Lock on fakeredis with a
lease of 0.5 s, one holder that sleeps 0.9 s) on labkit, detangle and looptime; all three build the
same three clients anew in each run. "through the network" is labkit's own way to reach Redis, which
the others do not have. Rounds take turns; a ratio is the median over the rounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from statistics import median
from time import perf_counter
from typing import Any

import detangle
import looptime
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import LockNotOwnedError

from labkit.sim.loop_thread import in_loop_thread
from labkit.sim.running import execute
from labkit.world import World
from tests.benchmarks._report import report

ROUNDS = 9
TASKS, STEPS = 20, 1_000
TARGET_STEPS, TARGET_RUNS = 0.7, 1.2


async def spin() -> None:
    """Tasks that do nothing but give way."""

    async def one() -> None:
        for _ in range(STEPS):
            await asyncio.sleep(0)

    await asyncio.gather(*[one() for _ in range(TASKS)])


async def timers() -> None:
    """Tasks that wait for tiny random times."""
    rng = random.Random(1)

    async def one() -> None:
        for _ in range(STEPS // 10):
            await asyncio.sleep(rng.random() * 1e-9)

    await asyncio.gather(*[one() for _ in range(TASKS)])


async def queues() -> None:
    """Producers and consumers that hand each other items."""
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=4)

    async def produce() -> None:
        for number in range(STEPS // 2):
            await queue.put(number)

    async def consume() -> None:
        for _ in range(STEPS // 2):
            await queue.get()

    await asyncio.gather(
        *[produce() for _ in range(TASKS // 2)], *[consume() for _ in range(TASKS // 2)]
    )


async def contend(clients: list[Any]) -> None:
    """The lock race."""
    await asyncio.gather(
        *[_hold(client, pause=number == 0) for number, client in enumerate(clients)]
    )


async def _hold(client: Any, pause: bool) -> None:
    lock = client.lock("product:1", timeout=0.5, sleep=0.05)
    await lock.acquire()
    await asyncio.sleep(0.9 if pause else 0.01)
    with suppress(LockNotOwnedError):
        await lock.release()


async def race() -> None:
    server = FakeServer()
    await contend([FakeAsyncRedis(server=server) for _ in range(3)])


async def race_in_world(_: World) -> None:
    await race()


async def race_over_network(world: World) -> None:
    tasks = [
        world.node(name).start(lambda pause=name == "a": _hold(world.redis(), pause))
        for name in "abc"
    ]
    await world.join(*tasks)


def seconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def simulated(program: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
    async def scenario(_: World) -> None:
        await program()

    return lambda: execute(scenario, 1, max_steps=10**9)


def in_looptime() -> None:
    loop = looptime.new_event_loop(start=0)
    try:
        loop.run_until_complete(race())
    finally:
        loop.close()


def main() -> None:
    rows = []
    for program in (spin, timers, queues):
        ratios = []
        for _ in range(ROUNDS):
            plain = seconds(lambda program=program: asyncio.run(program()))
            ratios.append(plain / seconds(simulated(program)))
        rows.append(
            {
                "what": f"steps, {program.__name__}",
                "against": "plain asyncio",
                "ratio": round(median(ratios), 2),
            }
        )
    seeds = iter(range(10**9))
    ways: dict[str, Callable[[], object]] = {
        "labkit": lambda: execute(race_in_world, next(seeds)),
        "labkit through the network": lambda: execute(race_over_network, next(seeds)),
        "detangle": lambda: detangle.run(race, seed=next(seeds), patch_time=True),
        "looptime": in_looptime,
    }
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS * 4):
        for name, way in ways.items():
            times[name].append(sum(seconds(way) for _ in range(5)))
    for name in ("labkit", "labkit through the network"):
        for other in ("detangle", "looptime"):
            ratio = median(
                theirs / ours for ours, theirs in zip(times[name], times[other], strict=True)
            )
            rows.append({"what": f"lock races, {name}", "against": other, "ratio": round(ratio, 2)})
    note = (
        f"targets: steps of tasks at least {TARGET_STEPS} of plain asyncio's, lock races at least "
        f"{TARGET_RUNS} of detangle's"
    )
    report("sim", rows, packages=["fakeredis", "redis", "detangle", "looptime"], note=note)


if __name__ == "__main__":
    in_loop_thread(main, patience=600)
