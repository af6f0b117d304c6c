"""No answer means unknown: the lock tells its caller so, and what it may have left behind ends by
itself.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis

from labkit.locks import Lock, LockManager, LockTimeout, LockUnknown
from labkit.sim import run, sweep
from labkit.world import LoseReply, Partition, World
from tests.support.servers import Server, eventually


def locks_of(world: World, **options: Any) -> LockManager:
    return LockManager(
        world.redis(),
        ids=lambda: world.new_id("o"),
        rng=world.rng,
        **{"lease": 5.0, "within": 1.0, **options},
    )


async def asked_once(world: World) -> str:
    """Acquire on node "a" with no patience, and say what came of it; then see for how long the lock
    stays taken.
    """

    async def acquire() -> str:
        try:
            lease = await locks_of(world).acquire("k", wait=0.0)
            await lease.release()
        except LockUnknown as unknown:
            assert unknown.outcome == "unknown"
            return "unknown"
        return "had"

    [came] = await world.join(world.node("a").start(acquire))
    await asyncio.sleep(5.0 if came == "unknown" else 0.0)
    assert await locks_of(world).try_acquire("k"), "an orphan outlived its lease"
    return str(came)


def test_an_acquire_whose_answer_is_lost_is_unknown_and_undone_at_once() -> None:
    async def scenario(world: World) -> bool:
        async def acquire() -> None:
            world.record("asks")
            with pytest.raises(LockUnknown):
                await locks_of(world).acquire("k")

        await (
            await locks_of(world).acquire("k")
        ).release()  # the server knows the script, so one question is enough
        await world.join(world.node("a").start(acquire))
        return await locks_of(world).try_acquire("k") is not None

    assert run(scenario, faults=[LoseReply(src="a", after="asks")]).result


def test_an_acquire_cut_off_from_the_server_leaves_no_lock_longer_than_its_lease() -> None:
    for step in range(20):
        found = sweep(
            asked_once,
            seeds=range(5),
            faults=[Partition(one=("a",), at=step / 4000, for_=4.0)],
            progress=False,
        )
        assert not found.broken, found.broken[0].error
        assert set(found.results()) <= {"unknown", "had"}


def test_a_waiter_cut_off_from_the_server_learns_that_it_does_not_know() -> None:
    async def scenario(world: World) -> str:
        async def waiter() -> str:
            try:
                await locks_of(world, wait=60.0).acquire("k")
            except LockUnknown:
                return f"unknown {world.now() < 6.0}"
            return "had"

        held = await locks_of(world, lease=60.0).acquire("k")
        waiting = world.node("a").start(waiter)
        await asyncio.sleep(3.0)
        await held.release()
        came = (await world.join(waiting))[0]
        await asyncio.sleep(5.0)
        assert await locks_of(world).try_acquire("k")
        return str(came)

    found = sweep(
        scenario, seeds=range(10), faults=[Partition(one=("a",), at=2.5, for_=10.0)], progress=False
    )
    assert set(found.results()) == {"unknown True"}


def test_extending_releasing_and_asking_without_an_answer_is_unknown() -> None:
    async def scenario(world: World) -> None:
        async def holder() -> None:
            locks = locks_of(world)
            lease = await locks.acquire("k")
            world.record("cut off")
            for action in (
                lambda: lease.extend(5),
                lease.owned,
                lambda: locks.holder("k"),
                lease.release,
            ):
                with pytest.raises(LockUnknown):
                    await action()
            assert lease.state == "unknown" and lease.remaining() == 0
            assert await lease.release() is False

        await world.join(world.node("a").start(holder))

    run(scenario, faults=[Partition(one=("a",), after="cut off")])


def test_a_lost_answer_does_not_make_a_release_look_like_a_lost_lease() -> None:
    """The transport sends once: a repeated release would find the lock gone and report it lost."""

    async def scenario(world: World) -> str:
        async def holder() -> str:
            async with locks_of(world).hold("k") as lease:
                world.record("about to release")
            return lease.state

        return str((await world.join(world.node("a").start(holder)))[0])

    assert run(scenario, faults=[LoseReply(src="a", after="about to release")]).result == "unknown"


def test_every_call_is_bounded_even_when_the_client_has_no_time_out_of_its_own(
    real_server: Server,
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async def scenario(_: Redis) -> None:
        listening = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        redis = Redis(port=port, socket_timeout=None, socket_connect_timeout=None)
        try:
            with pytest.raises(LockUnknown):
                await LockManager(redis, ids=lambda: "a", rng=random.Random(1), within=0.1).acquire(
                    "k"
                )
        finally:
            await redis.aclose()
            listening.close()

    real_server.play(scenario)


def test_a_server_that_is_not_there_is_unknown_too() -> None:
    async def scenario() -> None:
        redis = Redis(unix_socket_path="/nowhere/socket")
        locks = LockManager(redis, ids=lambda: "a", rng=random.Random(1), within=0.1)
        with pytest.raises(LockUnknown, match="no answer from the lock server"):
            await locks.acquire("k")
        with pytest.raises(LockUnknown):
            await locks.holder("k")
        await redis.aclose()

    asyncio.run(scenario())


def test_a_key_that_holds_something_else_is_the_server_s_error(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        await redis.rpush("k", "a list")
        locks = LockManager(redis, ids=lambda: "a", rng=random.Random(1))
        with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"):
            await locks.acquire("k")
        assert await redis.lrange("k", 0, -1) == [b"a list"]

    server.play(scenario)


def test_a_waiter_with_the_holder_s_token_that_gives_up_does_not_free_the_holder_s_lock(
    server: Server,
) -> None:
    async def scenario(redis: Redis) -> None:
        holder, waiter = Lock(redis, "k", timeout=60), Lock(redis, "k", timeout=60)
        await holder.acquire(token="shared")
        assert not await waiter.acquire(token="shared", blocking_timeout=0.05)
        assert await holder.owned()
        task = asyncio.create_task(waiter.acquire(token="another"))

        async def queued() -> bool:
            return bool(await redis.llen("labkit:queue:k"))

        await eventually(queued)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await holder.owned() and not await redis.llen("labkit:queue:k")

    server.play(scenario)


def test_errors_are_redis_py_s_kinds_and_say_whether_it_happened() -> None:
    for kind, outcome in ((LockTimeout, "failed"), (LockUnknown, "unknown")):
        assert issubclass(kind, exceptions.LockError) and kind("x").outcome == outcome
