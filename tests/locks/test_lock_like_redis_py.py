"""`Lock` can stand in for redis-py's own: every test here is run against both, on Valkey and on
fakeredis.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.lock import Lock as RedisPyLock

from labkit.locks.lock import Lock
from tests.support.servers import Server


@pytest.fixture(params=[RedisPyLock, Lock], ids=["redis-py", "labkit"])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_lock_is_taken_once_and_free_after_its_release(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        lock, other = make(redis, "k"), make(redis, "k")
        assert await lock.acquire(blocking=False) is True
        assert await lock.locked() and await other.locked()
        assert await lock.owned() and not await other.owned()
        assert await other.acquire(blocking=False) is False
        assert await lock.release() is None
        assert not await lock.locked() and not await lock.owned()
        assert await redis.get("k") is None
        assert await other.acquire(blocking=False) is True

    server.play(scenario)


def test_the_value_of_the_key_is_the_lock_s_token(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        lock = make(redis, "k")
        await lock.acquire()
        assert await redis.get("k") == lock.local.token

    server.play(scenario)


@pytest.mark.parametrize("token", ["mine", b"mine", b"\xff\x00"])
def test_a_token_can_be_given_and_then_another_object_that_knows_it_may_release(
    server: Server, make: Any, token: Any
) -> None:
    async def scenario(redis: Redis) -> None:
        lock, other = make(redis, "k", timeout=10), make(redis, "k", timeout=10)
        assert await lock.acquire(token=token)
        assert (
            await redis.get("k")
            == lock.local.token
            == (token.encode() if isinstance(token, str) else token)
        )
        assert not await other.acquire(blocking=False, token=token)
        other.local.token = lock.local.token
        assert await other.owned()
        await other.release()
        assert not await lock.locked()

    server.play(scenario)


def test_clients_that_decode_answers_work_too(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        lock = make(redis, "k", timeout=10)
        async with lock:
            assert await lock.owned()
            assert await lock.extend(5)
        assert not await lock.locked()

    server.play(scenario, decode_responses=True)


@pytest.mark.parametrize("name", ["k", b"k", memoryview(b"k"), "ключ", b"\xff", "a b\r\nc"])
def test_names_may_be_text_or_bytes(server: Server, make: Any, name: Any) -> None:
    async def scenario(redis: Redis) -> None:
        async with make(redis, name, timeout=10) as lock:
            assert await redis.exists(name) and await lock.owned()
        assert not await redis.exists(name)

    server.play(scenario)


def test_the_time_out_is_the_key_s_time_to_live(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        lock = make(redis, "k", timeout=10.5)
        await lock.acquire()
        assert 8_000 < await redis.pttl("k") <= 10_500
        assert await lock.extend(20)
        assert 28_000 < await redis.pttl("k") <= 30_500
        assert await lock.extend(5, replace_ttl=True)
        assert 3_000 < await redis.pttl("k") <= 5_000
        assert await lock.reacquire()
        assert 8_000 < await redis.pttl("k") <= 10_500

    server.play(scenario)


def test_without_a_time_out_it_is_held_until_released_and_cannot_be_extended(
    server: Server, make: Any
) -> None:
    async def scenario(redis: Redis) -> None:
        lock = make(redis, "k")
        await lock.acquire()
        assert await redis.ttl("k") == -1
        with pytest.raises(exceptions.LockError, match="no timeout"):
            lock.extend(1)
        with pytest.raises(exceptions.LockError, match="no timeout"):
            lock.reacquire()
        await lock.release()
        assert not await lock.locked()

    server.play(scenario)


def test_what_was_not_acquired_cannot_be_released_extended_or_reacquired(
    server: Server, make: Any
) -> None:
    async def scenario(redis: Redis) -> None:
        lock = make(redis, "k", timeout=10)
        with pytest.raises(exceptions.LockError):
            await lock.release()
        for action in (lambda: lock.extend(1), lock.reacquire):
            with pytest.raises(exceptions.LockError):
                action()
        await lock.acquire()
        await lock.release()
        with pytest.raises(exceptions.LockError):
            await lock.release()

    server.play(scenario)


def test_a_lock_that_another_has_by_now_is_neither_released_nor_extended(
    server: Server, make: Any
) -> None:
    async def scenario(redis: Redis) -> None:
        lock = make(redis, "k", timeout=10)
        await lock.acquire()
        await redis.set("k", "another", px=60_000)
        for action in (lambda: lock.extend(1), lock.reacquire, lock.release):
            with pytest.raises(exceptions.LockNotOwnedError):
                await action()
        assert await redis.get("k") == b"another" and await redis.pttl("k") > 30_000
        with pytest.raises(
            exceptions.LockError, match="already unlocked"
        ):  # the token is gone after the failed release
            await lock.release()

    server.play(scenario)


def test_a_taken_lock_is_waited_for_as_long_as_allowed(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        loop = asyncio.get_running_loop()
        first = make(redis, "k")
        await first.acquire()
        began = loop.time()
        assert not await make(redis, "k", sleep=0.02, blocking_timeout=0.1).acquire()
        assert not await make(redis, "k", sleep=0.02).acquire(blocking_timeout=0.1)
        assert (
            loop.time() - began >= 0.15
        )  # a lower bound only: redis-py may give up one `sleep` early
        with pytest.raises(exceptions.LockError, match="within the time"):
            async with make(redis, "k", sleep=0.02, blocking_timeout=0.1):
                pytest.fail("the lock is taken")
        with pytest.raises(exceptions.LockError):
            async with make(redis, "k", blocking=False):
                pytest.fail("the lock is taken")
        assert await first.owned()

    server.play(scenario)


def test_a_waiter_has_the_lock_after_its_release(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        first, second = make(redis, "k", timeout=60), make(redis, "k", timeout=60, sleep=0.02)
        await first.acquire()
        waiting = asyncio.create_task(second.acquire(blocking=True, blocking_timeout=30))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await first.release()
        assert await waiting is True
        assert await second.owned()

    server.play(scenario)


def test_acquire_s_arguments_win_over_the_constructor_s(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        await make(redis, "k").acquire()
        assert not await make(redis, "k", blocking=True).acquire(blocking=False)
        assert not await make(redis, "k", blocking=False, sleep=0.02).acquire(
            blocking=True, blocking_timeout=0.1
        )

    server.play(scenario)


def test_it_is_not_re_entrant(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        lock = make(redis, "k", timeout=60)
        await lock.acquire()
        assert not await lock.acquire(blocking=False)
        assert await lock.owned()
        await lock.release()

    server.play(scenario)


def test_leaving_the_block_releases_after_an_exception_too(server: Server, make: Any) -> None:
    async def scenario(redis: Redis) -> None:
        with pytest.raises(ZeroDivisionError):
            async with make(redis, "k"):
                raise ZeroDivisionError
        assert await redis.get("k") is None

    server.play(scenario)


def test_a_lock_lost_during_the_block_raises_at_its_end_unless_told_not_to(
    server: Server, make: Any
) -> None:
    async def scenario(redis: Redis) -> None:
        with pytest.raises(exceptions.LockNotOwnedError):
            async with make(redis, "k", timeout=10):
                await redis.delete("k")
        async with make(redis, "k", timeout=10, raise_on_release_error=False):
            await redis.delete("k")
        with pytest.raises(exceptions.LockError):
            async with make(redis, "k", timeout=10) as lock:
                await lock.release()
        async with make(redis, "k", timeout=10, raise_on_release_error=False) as lock:
            await lock.release()

    server.play(scenario)


def test_a_server_that_is_not_there_raises_what_the_connection_raises(make: Any) -> None:
    async def scenario() -> None:
        redis = Redis(unix_socket_path="/nowhere/socket", retry=None)
        try:
            for action in ("acquire", "locked", "owned"):
                with pytest.raises(exceptions.ConnectionError):
                    await getattr(make(redis, "k"), action)()
        finally:
            await redis.aclose()

    asyncio.run(scenario())


def test_both_kinds_exclude_each_other_on_one_key(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        theirs, ours = (
            RedisPyLock(redis, "k", timeout=60, sleep=0.02),
            Lock(redis, "k", timeout=60, sleep=0.02),
        )
        for one, other in ((theirs, ours), (ours, theirs)):
            await one.acquire()
            assert not await other.acquire(blocking=False)
            waiting = asyncio.create_task(other.acquire(blocking_timeout=30))
            await asyncio.sleep(0.05)
            await one.release()
            assert await waiting
            await other.release()

    server.play(scenario)


def test_ours_mints_a_fencing_token_with_each_acquisition(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        seen = []
        for _ in range(3):
            async with Lock(redis, "k", timeout=10) as lock:
                seen.append(lock.fence)
        assert seen == sorted(set(seen))

    server.play(scenario)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"blocking_timeout": -1}, "blocking_timeout"),
        ({"blocking_timeout": float("nan")}, "blocking_timeout"),
        ({"sleep": -1}, "sleep"),
        ({"name": ""}, "key"),
        ({"name": "labkit:fence"}, "key"),
        ({"name": "x" * 10_000}, "key"),
    ],
)
def test_ours_refuses_what_makes_no_sense(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Lock(Redis(), **{"name": "k", **arguments})


@pytest.mark.parametrize(
    "arguments", [{"name": 7}, {"name": None}, {"timeout": "10"}, {"timeout": True}]
)
def test_ours_refuses_the_wrong_type(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Lock(Redis(), **{"name": "k", **arguments})


def test_ours_names_the_field_of_an_extension_by_nothing(fake_server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        async with Lock(redis, "k", timeout=10) as lock:
            for seconds in (0, -5, float("nan")):
                with pytest.raises(ValueError, match="additional_time"):
                    lock.extend(seconds)
            assert await redis.pttl("k") > 0

    fake_server.play(scenario)
