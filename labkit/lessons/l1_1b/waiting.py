"""Two experiments of lesson 1.1b on the lock itself: how long its lease should be, and who gets it.

`lease_costs` asks what a lease costs that is too short or too long; `eight_workers` counts how
often each of eight workers gets one lock.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from redis.exceptions import LockError

from labkit.locks import LockManager
from labkit.sim import Latency, run, sweep
from labkit.world import Crash, Pause, Run, World

SECONDS = 0.5
PAUSE, PATIENCE = 1.0, 5.0
"""Means, in seconds, of how long a process stands still and how long a customer waits."""


async def _one_lock(world: World, lease: float) -> None:
    """Service a takes the lock, works for 0.1 s; b asks for it 0.1 s after a."""

    async def order(after: float) -> None:
        await asyncio.sleep(after)
        lock = world.redis().lock("stove", timeout=lease, blocking_timeout=60.0)
        await lock.acquire()
        world.record("works")
        await asyncio.sleep(0.1)
        world.record("done")
        try:
            await lock.release()
        except LockError:
            world.record("lease was lost")

    tasks = [world.node("a").start(order, 0.0), world.node("b").start(order, 0.1)]
    await world.join(*tasks, return_exceptions=True)


def _overlap(done: Run) -> bool:
    """Whether a and b worked at the same time."""
    works = {event.node: event.at for event in done.history.of("works")}
    ends = {event.node: event.at for event in done.history.of("done")}
    return works["b"] < ends["a"]


def lease_costs(lease: float, runs: int = 40) -> tuple[float, float]:
    """What a lease of so many seconds costs, in per cent of the runs.

    First: two hold the lock at once, after a pause of the holder that lasts a second on average.
    Second: the next customer has left, after a crash of the holder; a customer waits for five
    seconds on average. Both times are drawn from exponential distributions.
    """
    args = {"lease": lease}

    def pause(seed: int) -> list[Pause]:
        return [Pause("a", after="works", for_=Random(seed).expovariate(1 / PAUSE))]

    paused = sweep(_one_lock, seeds=range(runs), args=args, faults=pause, progress=False)
    crashed = run(_one_lock, seed=0, args=args, faults=[Crash("a", after="works")])
    waited = crashed.history.of("works")[-1].at - 0.1
    left = sum(Random(seed).expovariate(1 / PATIENCE) < waited for seed in range(runs))
    return 100 * sum(map(_overlap, paused.runs)) / runs, 100 * left / runs


async def _workers(world: World, poll: float | None, rest: float) -> list[int]:
    locks = LockManager(world.redis(), ids=lambda: world.new_id("owner-"), rng=world.rng, wait=30.0)

    async def worker() -> None:
        while world.now() < SECONDS:
            lock = (
                locks.hold("key")
                if poll is None
                else world.redis().lock("key", timeout=10.0, sleep=poll)
            )
            async with lock:
                await asyncio.sleep(0.002)
            world.record("done")
            await asyncio.sleep(rest)

    names = [f"worker {number}" for number in range(8)]
    await world.join(*[world.node(name).start(worker) for name in names])
    turns = Counter(event.node for event in world.history.of("done"))
    return [turns[name] for name in names]


def eight_workers(poll: float | None, rest: float, seed: int) -> list[int]:
    """How often each of eight workers had one lock in `SECONDS`; a turn takes two milliseconds.

    `poll`: seconds between two questions of redis-py's lock; None: labkit's, which waits in line.
    `rest`: seconds for which a worker rests after its turn.
    """
    options: dict[str, Any] = {"latency": Latency(0.0001), "max_steps": 1_000_000}
    done = run(_workers, seed=seed, args={"poll": poll, "rest": rest}, **options)
    turns: list[int] = done.result
    return turns


def jain(turns: Sequence[int]) -> float:
    """Jain's index of fairness: 1 when all shares are equal, 1/n when one takes all."""
    return float(sum(turns)) ** 2 / (len(turns) * sum(count**2 for count in turns))
