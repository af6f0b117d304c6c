"""Redlock does what its description says, and shows the limits that were published."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from redis.asyncio import Redis

from labkit.locks.redlock import RedlockExperiment
from labkit.sim import run, sweep
from labkit.world import Crash, Partition, Pause, World

SERVERS = ("redis-1", "redis-2", "redis-3", "redis-4", "redis-5")


def redlock_of(world: World, **options: Any) -> RedlockExperiment:
    servers = [world.redis(name) for name in SERVERS]
    return RedlockExperiment(
        servers, ids=lambda: world.new_id("o"), rng=world.rng, **{"lease": 3.0, **options}
    )


async def one_after_another(world: World) -> list[str]:
    """Two nodes want one lock and keep it for half a second each. What each did, in order."""
    did: list[str] = []

    async def client() -> None:
        majority = await redlock_of(world).acquire("k", wait=20.0)
        if majority is None:
            return
        did.append(f"{world.here()} has it")
        await asyncio.sleep(0.5)
        did.append(f"{world.here()} leaves")
        await majority.release()

    await world.join(*(world.node(name).start(client) for name in ("a", "b")))
    return did


def exclusive(did: list[str]) -> bool:
    return (
        len(did) == 4
        and did[0][0] == did[1][0]
        and did[2][0] == did[3][0]
        and "has" in did[0]
        and "has" in did[2]
    )


def test_one_holder_at_a_time() -> None:
    assert all(
        exclusive(one.result)
        for one in sweep(one_after_another, seeds=range(30), progress=False).runs
    )


def test_two_servers_of_five_may_be_down() -> None:
    faults = [Crash(node="redis-1", at=0.0), Partition(one=("redis-4",), at=0.0)]
    found = sweep(one_after_another, seeds=range(10), faults=faults, progress=False)
    assert all(exclusive(one.result) for one in found.runs)


def test_with_three_of_five_down_nobody_has_it_and_nothing_is_left() -> None:
    async def scenario(world: World) -> tuple[object, int]:
        had = await world.join(
            world.node("a").start(lambda: redlock_of(world).acquire("k", wait=1.0))
        )
        left = sum([await world.redis(name).exists("k") for name in ("redis-4", "redis-5")])
        return had[0], left

    faults = [Crash(node=name, at=0.0) for name in SERVERS[:3]]
    assert run(scenario, faults=faults).result == (None, 0)


def test_a_majority_that_took_longer_than_the_lease_does_not_count() -> None:
    async def scenario(world: World) -> object:
        async def client() -> object:
            return await redlock_of(world, lease=0.02, within=0.02).acquire("k")

        return (await world.join(world.node("a").start(client)))[0]

    assert run(scenario, faults=[Pause(node="a", at=0.0005, for_=1.0)]).result is None


def test_the_time_that_remains_allows_for_drift_and_release_says_whether_it_stood() -> None:
    async def scenario(world: World) -> None:
        majority = await redlock_of(world, lease=10.0).acquire("k")
        assert majority is not None
        assert 9.8 < majority.remaining() <= 10.0 - 0.1 - 0.002
        for name in SERVERS[:2]:
            await world.redis(name).delete("k")
        assert await majority.release() is True
        majority = await redlock_of(world).acquire("k")
        assert majority is not None
        for name in SERVERS[:3]:
            await world.redis(name).delete("k")
        assert await majority.release() is False

    run(scenario)


def test_limit_a_pause_longer_than_the_lease_gives_two_holders_and_no_token_to_tell_them() -> None:
    broken = sweep(
        one_after_another,
        seeds=range(20),
        faults=[Pause(node="a", at=0.1, for_=10.0)],
        progress=False,
    )
    assert any(not exclusive(one.result) for one in broken.runs)


def test_limit_servers_that_restart_empty_within_the_lease_give_two_holders() -> None:
    faults = [Crash(node=name, at=0.25, restart_after=0.01) for name in SERVERS[:3]]
    found = sweep(one_after_another, seeds=range(20), faults=faults, progress=False)
    assert any(not exclusive(one.result) for one in found.runs)


def test_a_cancelled_attempt_lets_go_everywhere() -> None:
    async def scenario(world: World, at: float) -> int:
        task = world.node("a").start(lambda: redlock_of(world).acquire("k", wait=60.0))
        await asyncio.sleep(at)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)  # what was under way arrives
            return sum([await world.redis(name).exists("k") for name in SERVERS])
        return 0

    assert [run(scenario, seed=None, args={"at": step / 4000}).result for step in range(12)] == [
        0
    ] * 12


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"servers": []}, "servers"),
        ({"lease": -1.0}, "lease"),
        ({"within": 0.0}, "within"),
        ({"within": 99.0}, "within"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RedlockExperiment(
            **{"servers": [Redis()], "ids": lambda: "a", "rng": random.Random(1), **options}
        )
