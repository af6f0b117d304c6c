"""Holding a lock over a block: renewed, cancelled when lost, bounded, and never in the way of what
the block did.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from labkit.locks import Lease, LeaseLost, LockManager, LockTimeout
from labkit.sim import run
from labkit.world import LoseReply, Partition, Pause, Slow, World
from tests.support.servers import Server, eventually


def locks_of(world: World, **options: Any) -> LockManager:
    return LockManager(
        world.redis(),
        ids=lambda: world.new_id("owner-"),
        rng=world.rng,
        **{"lease": 3.0, **options},
    )


def played(scenario: Callable[[World, LockManager], Awaitable[Any]], **options: Any) -> Any:
    """The result of `scenario(world, locks)` on virtual time, on a node named "a"."""

    async def on_a_node(world: World) -> Any:
        return (await world.join(world.node("a").start(lambda: scenario(world, locks_of(world)))))[
            0
        ]  # type: ignore[arg-type,return-value]

    return run(on_a_node, **options).result


def test_a_long_block_keeps_its_lock(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        locks = LockManager(redis, ids=iter("abc").__next__, rng=random.Random(1))
        async with locks.hold("k", lease=4.0) as lease:
            first = lease.deadline

            async def renewed() -> bool:
                return lease.lost or lease.deadline > first

            await eventually(renewed)
            assert await lease.owned()
        assert lease.state == "released"

    server.play(scenario)


def test_it_is_renewed_at_a_third_of_the_lease() -> None:
    async def scenario(world: World, locks: LockManager) -> list[float]:
        async with locks.hold("k") as lease:
            left = []
            for _ in range(100):
                left.append(lease.remaining())
                await asyncio.sleep(0.1)
        assert lease.state == "released"
        return left

    left = played(scenario)
    assert min(left) > 1.8  # two thirds of three seconds, less a round trip and a step
    assert max(left[50:]) > 2.8


def test_no_timer_and_no_task_are_left_when_the_block_is_over() -> None:
    async def scenario(world: World, locks: LockManager) -> None:
        before = asyncio.all_tasks()
        async with locks.hold("k"):
            await asyncio.sleep(10)
        assert asyncio.all_tasks() == before

    played(scenario)


def test_the_block_of_a_lost_lease_is_cancelled_and_the_owner_sees_lease_lost() -> None:
    async def scenario(world: World, locks: LockManager) -> float:
        began = world.now()
        with pytest.raises(LeaseLost, match="ended before it was extended") as caught:
            async with locks.hold("k") as lease:
                await world.redis().set("k", "another")
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    world.record("cancelled")
                    assert lease.lost
                    raise
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert await world.redis().get("k") == b"another"
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()
        await asyncio.sleep(0)  # the cancellation is used up
        return world.now() - began

    assert played(scenario) < 1.2  # noticed at the first renewal


def test_a_server_out_of_reach_is_a_lost_lease_when_the_lease_ends_and_not_before() -> None:
    async def scenario(world: World, locks: LockManager) -> float:
        with pytest.raises(LeaseLost, match="could not be renewed in time"):
            async with locks.hold("k"):
                began = world.now()
                world.record("holds")
                await asyncio.sleep(60)
        return world.now() - began

    assert 2.5 < played(scenario, faults=[Partition(one=("a",), after="holds")]) < 3.2


def test_the_clean_up_of_a_cancelled_block_is_not_cancelled_again() -> None:
    async def scenario(world: World, locks: LockManager) -> str:
        with pytest.raises(LeaseLost):
            async with locks.hold("k"):
                world.record("holds")
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    await asyncio.sleep(10)
                    world.record("cleaned up")
                    raise
        return world.history.of("cleaned up")[0].node

    assert played(scenario, faults=[Partition(one=("a",), after="holds")]) == "a"


@pytest.mark.parametrize("factor", [1.0, 50.0, 200.0])
def test_what_remains_is_never_more_than_the_server_grants(factor: float) -> None:
    async def scenario(world: World) -> None:
        server = world.redis()  # the experimenter's: it sees the server at once

        async def holder() -> None:
            lease = await locks_of(world).acquire("k")
            world.record("looks", there=lease.remaining())
            await lease.extend(7.0, replace_ttl=True)
            world.record("looks", there=lease.remaining())

        async def watch() -> None:
            seen = 0
            while seen < 2:
                await asyncio.sleep(0.0005)
                for event in world.history.of("looks")[seen:]:
                    assert event.data["there"] <= (await server.pttl("k")) / 1000 + 0.002
                    seen += 1

        await world.join(world.node("a").start(holder), asyncio.create_task(watch()))

    run(scenario, seed=None, faults=[Slow(factor=factor, at=0.0)])


def test_a_short_partition_is_ridden_out() -> None:
    async def scenario(world: World, locks: LockManager) -> str:
        async with locks.hold("k") as lease:
            world.record("holds")
            await asyncio.sleep(20)
        return lease.state

    faults = [
        Partition(one=("a",), after="holds", for_=1.9),
        LoseReply(src="a", at=8.0),
        LoseReply(src="a", at=12.0),
    ]
    assert played(scenario, faults=faults) == "released"


def test_a_block_that_hangs_does_not_hold_the_lock_for_ever() -> None:
    async def scenario(world: World, locks: LockManager) -> float:
        began = world.now()
        with pytest.raises(LeaseLost, match="held for the 10 s it may be held"):
            async with locks.hold("k", max_hold=10.0):
                await asyncio.Event().wait()
        held = world.now() - began
        async with locks.hold("k"):
            return held

    assert 9.9 < played(scenario) < 10.1


def test_a_cancellation_from_outside_stays_one_and_the_lock_is_released() -> None:
    async def scenario(world: World, locks: LockManager) -> str:
        leases: list[Lease] = []

        async def body() -> None:
            async with locks.hold("k") as lease:
                leases.append(lease)
                await asyncio.sleep(60)

        task = asyncio.create_task(body())
        await asyncio.sleep(5)
        task.cancel("from outside")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await locks.holder("k") is None
        return leases[0].state

    assert played(scenario) == "released"


def test_a_time_out_around_the_hold_is_a_time_out() -> None:
    async def scenario(world: World, locks: LockManager) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), locks.hold("k"):
                await asyncio.sleep(60)
        assert await locks.holder("k") is None

    played(scenario)


def test_lost_and_cancelled_from_outside_at_once_is_cancelled() -> None:
    async def scenario(world: World, locks: LockManager) -> None:
        async def body() -> None:
            async with locks.hold("k"):
                await world.redis().delete("k")
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    await asyncio.sleep(
                        10
                    )  # slow to clean up: the outer cancellation comes meanwhile
                    raise

        task = asyncio.create_task(body())
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled() and task.cancelling() == 1

    played(scenario)


def test_a_block_inside_a_task_group_or_a_time_out_is_told_as_well() -> None:
    async def scenario(world: World, locks: LockManager) -> None:
        with pytest.raises(LeaseLost):
            async with locks.hold("k"):
                await world.redis().delete("k")
                async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(60))

    played(scenario)


@pytest.mark.parametrize("lost", [False, True])
def test_what_the_block_raises_is_what_comes_out(lost: bool) -> None:
    async def scenario(world: World, locks: LockManager) -> str:
        with pytest.raises(ZeroDivisionError) as caught:
            async with locks.hold("k") as lease:
                if lost:
                    await world.redis().delete("k")
                raise ZeroDivisionError
        assert caught.value.__context__ is None
        return lease.state

    assert played(scenario) == ("lost" if lost else "released")


def test_an_error_raised_while_the_block_is_cancelled_for_loss_is_not_masked() -> None:
    async def scenario(world: World, locks: LockManager) -> bool:
        with pytest.raises(ZeroDivisionError):
            async with locks.hold("k") as lease:
                await world.redis().delete("k")
                try:
                    await asyncio.sleep(60)
                finally:
                    raise ZeroDivisionError
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()
        return lease.lost

    assert played(scenario)


def test_the_result_of_a_block_that_outran_its_lease_stands_and_the_loss_is_told() -> None:
    async def scenario(world: World, locks: LockManager) -> tuple[str, str]:
        async def sell() -> str:
            async with locks.hold("k") as lease:
                leases.append(lease)
                await world.redis().delete("k")
                return "sold"

        leases: list[Lease] = []
        return await sell(), leases[0].state

    assert played(scenario) == ("sold", "lost")


def test_a_block_that_swallows_its_cancellation_keeps_its_result() -> None:
    async def scenario(world: World, locks: LockManager) -> bool:
        async with locks.hold("k") as lease:
            await world.redis().delete("k")
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()
        return lease.lost

    assert played(scenario)


def test_a_release_without_an_answer_changes_nothing_for_the_block() -> None:
    async def scenario(world: World, locks: LockManager) -> str:
        async with locks.hold("k") as lease:
            world.record("holds")
        await asyncio.sleep(5)
        assert await locks.holder("k") is None
        return lease.state

    assert played(scenario, faults=[Partition(one=("a",), after="holds", for_=2.0)]) == "unknown"
    assert played(scenario, faults=[LoseReply(src="a", after="holds")]) == "unknown"


def test_after_a_pause_longer_than_the_lease_the_block_is_cancelled_at_its_next_wait() -> None:
    async def scenario(world: World, locks: LockManager) -> bool:
        with pytest.raises(LeaseLost):
            async with locks.hold("k") as lease:
                world.record("holds")
                for _ in range(60):
                    await asyncio.sleep(1)
        return lease.lost and world.now() < 12

    assert played(scenario, faults=[Pause(node="a", for_=10.0, after="holds")])


@pytest.mark.parametrize("at", [0.5, 1.0, 1.0005, 1.001, 1.002])
def test_a_block_may_let_go_by_itself_and_goes_on_undisturbed(at: float) -> None:
    async def scenario(world: World, locks: LockManager) -> str:
        async with locks.hold("k") as lease:
            await asyncio.sleep(at)  # the renewal begins after a second
            assert await lease.release()
            await asyncio.sleep(10)
            assert await locks.try_acquire("k")
        return lease.state

    for seed in range(10):
        assert played(scenario, seed=seed) == "released"


def test_a_hold_is_for_one_block() -> None:
    async def scenario(world: World, locks: LockManager) -> None:
        hold = locks.hold("k")
        async with hold:
            pass
        with pytest.raises(RuntimeError, match="for one block"):
            async with hold:
                pass

    played(scenario)


def test_a_holder_that_asks_again_waits_for_itself_and_still_holds_when_it_gives_up() -> None:
    async def scenario(world: World, locks: LockManager) -> str:
        async with locks.hold("k") as lease:
            with pytest.raises(LockTimeout):
                async with locks.hold("k", wait=7.0):
                    pytest.fail("it is held")
            assert await lease.owned()
        return lease.state

    assert played(scenario) == "released"


def test_an_event_loop_that_closes_during_the_block_ends_it_and_frees_the_lock(
    server: Server,
) -> None:
    states: list[Lease] = []

    async def scenario(redis: Redis) -> None:
        locks = LockManager(redis, ids=iter("abc").__next__, rng=random.Random(1))

        async def body() -> None:
            async with locks.hold("k", lease=60) as lease:
                states.append(lease)
                await asyncio.sleep(60)

        body_task = asyncio.create_task(body())

        async def holds() -> bool:
            return bool(states)

        await eventually(holds)
        assert not body_task.done()  # asyncio.run will cancel it

    server.play(scenario)
    assert states[0].state in ("released", "unknown")


def test_a_callback_may_hold_a_lock_while_its_task_is_being_cancelled() -> None:
    """`cancelling()` is 1 on entry: a loss must not be taken for the cancellation that is under way
    already.
    """

    async def scenario(world: World, locks: LockManager) -> list[str]:
        seen: list[str] = []

        async def worker() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                try:
                    async with locks.hold("k"):
                        await world.redis().delete("k")
                        await asyncio.sleep(60)
                except LeaseLost:
                    seen.append("lost")

        task = asyncio.create_task(worker())
        await asyncio.sleep(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return seen

    assert played(scenario) == ["lost"]
