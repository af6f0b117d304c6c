"""The lock under searches for the schedule and the faults that break it; and proof that the
searches can find something.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from labkit.check import Invariant
from labkit.locks import LockError, LockManager, RedisFencedStore, StaleToken
from labkit.sim import crashes, falsify, lost_replies, partitions, pauses, sweep
from labkit.world import CRASHED, LoseReply, Partition, Pause, Run, World
from tests.support.depth import UNTIL_FOUND, runs

NODES = ("a", "b", "c")


async def workers(
    world: World, renew: bool = True, hold: float = 0.7, keys: tuple[str, ...] = ("k",)
) -> list[object]:
    """Three nodes, each three turns of `hold` seconds under a lease of one second, each turn one
    write to a fenced store.
    """

    async def worker(start: float) -> int:
        locks = LockManager(
            world.redis(),
            ids=lambda: world.new_id("o"),
            rng=world.rng,
            lease=1.0,
            wait=60.0,
            within=0.5,
        )
        store = RedisFencedStore(world.redis("store"))
        await asyncio.sleep(start)
        turns = 0
        while turns < 3:
            with suppress(LockError, StaleToken, RedisConnectionError, RedisTimeoutError):
                async with locks.hold(*keys, max_hold=None if renew else 1.0) as lease:
                    with world.holding("lock"):
                        await asyncio.sleep(hold)
                    await store.write("k", world.here(), token=lease.token)
                    world.record("wrote", token=lease.token)
                    turns += 1
            await asyncio.sleep(0.01)
        return turns

    came = await world.join(
        *(world.node(name).start(worker, number / 100) for number, name in enumerate(NODES))
    )
    await asyncio.sleep(5.0)
    left = {name for name in await world.redis().keys("*")} - {b"labkit:fence"}
    return [*came, sorted(left)]


def _two_holders(run: Run) -> str | None:
    holds = [span for span in run.history.spans if span.kind == "hold"]
    for one in holds:
        for other in holds:
            if (
                one.node < other.node
                and one.start < (other.end or 1e9)
                and other.start < (one.end or 1e9)
            ):
                return f"{one.node} and {other.node} hold it at once"
    return None


def _decreasing(run: Run) -> bool:
    tokens = [event.data["token"] for event in run.history.of("wrote")]
    return tokens == sorted(tokens)


def _over(run: Run) -> str | None:
    *came, left = run.result
    if left:
        return f"left behind: {left}"
    return None if set(came) <= {3, CRASHED} else f"turns: {came}"


ONE_HOLDER = Invariant("at most one node believes that it holds the lock", _two_holders)
TOKENS_GROW = Invariant("the store's tokens never decrease", _decreasing)
ALL_SERVED = Invariant("every node that lives has its turns, and nothing is left behind", _over)
WITHIN = 6.0
NO_PAUSE = [
    crashes(*NODES, within=WITHIN),
    lost_replies(*NODES, within=WITHIN),
    partitions(*NODES, within=WITHIN, up_to=3.0),
]


@pytest.mark.search
def test_no_crash_lost_answer_or_partition_gives_two_holders() -> None:
    assert falsify(workers, ONE_HOLDER, faults=NO_PAUSE, at_most=3, runs=runs("cheap"))


@pytest.mark.search
def test_whatever_happens_the_living_are_served_and_nothing_is_left() -> None:
    every = [*NO_PAUSE, pauses(*NODES, within=WITHIN, up_to=4.0)]
    assert falsify(workers, ALL_SERVED, faults=every, at_most=3, runs=runs("cheap"))


@pytest.mark.search
def test_nor_with_blocks_longer_than_the_lease_or_with_two_keys() -> None:
    faults = [*NO_PAUSE, pauses(*NODES, within=WITHIN, up_to=4.0)]
    assert falsify(
        workers, ALL_SERVED, faults=faults, at_most=2, runs=runs("cheap"), args={"hold": 2.5}
    )
    assert falsify(
        workers, ALL_SERVED, faults=faults, at_most=2, runs=runs("cheap"), args={"keys": ("b", "a")}
    )


@pytest.mark.search
def test_no_fault_at_all_makes_the_store_accept_an_older_token() -> None:
    every = [*NO_PAUSE, pauses(*NODES, within=WITHIN, up_to=4.0)]
    assert falsify(workers, TOKENS_GROW, faults=every, at_most=3, runs=runs("cheap"))


def test_a_pause_gives_two_holders_and_the_search_shrinks_it_to_that() -> None:
    found = falsify(
        workers,
        ONE_HOLDER,
        faults=[*NO_PAUSE, pauses(*NODES, within=WITHIN, up_to=4.0)],
        runs=UNTIL_FOUND,
    )
    assert found.run is not None
    assert [type(fault) for fault in found.run.faults] == [Pause]


def test_the_two_holders_a_pause_makes_are_one_writer() -> None:
    faults = [
        Pause(node="a", at=0.3, for_=3.0),
        LoseReply(src="b", at=1.5),
        Partition(one=("c",), at=4.0, for_=1.0),
    ]
    found = sweep(workers, seeds=range(30), faults=faults, invariant=TOKENS_GROW, progress=False)
    assert not found.broken
    assert any(_two_holders(one) for one in found.runs)
