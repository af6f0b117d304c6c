"""Leases: taken, refused, extended, lost, released, and what is refused as input."""

from __future__ import annotations

import asyncio
import math
import random
from itertools import count, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.lock import Lock as RedisPyLock

from labkit.locks import Holder, LeaseLost, LockError, LockManager, LockTimeout
from labkit.locks._validation import lock_keys
from tests.support.depth import examples
from tests.support.servers import Server


def manager(redis: Redis, **options: Any) -> LockManager:
    numbers = count(1)
    return LockManager(
        redis,
        ids=lambda: f"owner-{next(numbers)}",
        rng=random.Random(1),
        **{"wait": 0.05, "within": 20.0, **options},
    )


async def names(redis: Redis) -> set[bytes]:
    """Every key on the server but the counter, which stays."""
    return set(await redis.keys("*")) - {b"labkit:fence"}


def test_a_lease_says_what_it_holds_and_leaves_nothing_behind(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        lease = await manager(redis).acquire("k", lease=10)
        assert (lease.keys, lease.owner, lease.state, lease.lost) == (
            ("k",),
            "owner-1",
            "held",
            False,
        )
        assert 5 < lease.remaining() <= 10
        assert await lease.owned()
        assert await lease.release() is True
        assert (lease.state, lease.remaining()) == ("released", 0.0)
        assert not await names(redis)

    server.play(scenario)


def test_the_holder_of_a_key_is_told(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        locks = manager(redis)
        assert await locks.holder("k") is None
        lease = await locks.acquire("k", lease=10)
        holder = await locks.holder("k")
        assert holder is not None
        assert (holder.owner, holder.token) == ("owner-1", lease.token)
        assert 5 < holder.remaining <= 10
        await RedisPyLock(redis, "theirs").acquire(token="them")
        assert await locks.holder("theirs") == Holder("them", math.inf, None)

    server.play(scenario)


def test_tokens_only_grow_over_all_keys_and_all_managers(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        one, other = manager(redis), manager(redis)
        tokens = []
        for locks, keys in ((one, "a"), (other, "a"), (other, "b"), (one, "ab"), (other, "b")):
            async with locks.hold(*keys) as lease:
                tokens.append(lease.token)
        assert tokens == sorted(set(tokens))

    server.play(scenario)


def test_tokens_grow_also_when_the_server_has_lost_its_data(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        before = (await manager(redis).acquire("k")).token
        await redis.flushall()
        await asyncio.sleep(0.001)
        assert (await manager(redis).acquire("k")).token > before

    server.play(scenario)


def test_tokens_grow_also_when_the_clock_is_behind_the_last_one(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        await redis.set("labkit:fence", 2**52)
        assert (await manager(redis).acquire("k")).token == 2**52 + 1
        assert (await manager(redis).acquire("l")).token == 2**52 + 2
        holder = await manager(redis).holder("k")
        assert holder is not None and holder.token == 2**52 + 1

    server.play(scenario)


def test_a_taken_key_is_refused_without_minting_a_token(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        locks = manager(redis)
        lease = await locks.acquire("k")
        assert await locks.try_acquire("k") is None
        with pytest.raises(LockTimeout, match=r"could not be acquired within 0\.05 s") as caught:
            await locks.acquire("k")
        assert caught.value.outcome == "failed"
        assert int(await redis.get("labkit:fence")) == lease.token
        assert await names(redis) == {b"k"}  # nobody waits any more

    server.play(scenario)


def test_several_keys_are_had_all_or_none(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        locks = manager(redis)
        b = await locks.acquire("b")
        assert await locks.try_acquire("a", "b", "c") is None
        with pytest.raises(LockTimeout):
            await locks.acquire("c", "b", "a")
        assert await names(redis) == {b"b"}
        await b.release()
        lease = await locks.acquire("c", "a", "b", "a")
        assert lease.keys == ("a", "b", "c")
        assert await names(redis) == {b"a", b"b", b"c"}
        assert await lease.extend(20) and await lease.owned()
        assert min([await redis.pttl(key) for key in "abc"]) > 15_000
        assert await lease.release()
        assert not await names(redis)

    server.play(scenario)


def test_a_lease_on_several_keys_is_lost_when_one_of_them_is(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        lease = await manager(redis).acquire("a", "b", lease=10)
        await redis.set("b", "another")
        assert not await lease.owned()
        before = await redis.pttl("a")
        with pytest.raises(LeaseLost):
            await lease.extend(60)
        assert await redis.pttl("a") <= before  # all or none
        assert lease.lost

        lease = await manager(redis).acquire("c", "d")
        await redis.delete("d")
        assert await lease.release() is False
        assert lease.lost and not await redis.exists("c")

    server.play(scenario)


def test_carts_that_name_their_keys_in_every_order_do_not_deadlock(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        inside: set[str] = set()
        locks = manager(redis, wait=60.0)  # one for all: each would give the same ids

        async def cart(keys: tuple[str, ...]) -> None:
            async with locks.hold(*keys[:2]) as lease:
                assert not inside & set(lease.keys)
                inside.update(lease.keys)
                await asyncio.sleep(0.001)
                inside.difference_update(lease.keys)

        await asyncio.gather(*(cart(keys) for keys in permutations("abc") for _ in range(3)))
        assert not {name for name in await names(redis) if b"labkit" not in name}

    server.play(scenario)


def test_an_extension_adds_or_replaces_and_a_lost_one_says_so(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        lease = await manager(redis).acquire("k", lease=10)
        assert await lease.extend(20)
        assert 28 < lease.remaining() <= 30
        assert await lease.extend(5, replace_ttl=True)
        assert 3 < lease.remaining() <= 5
        assert await lease.reacquire()
        assert 8 < lease.remaining() <= 10
        await redis.delete("k")
        with pytest.raises(LeaseLost, match="ended before it was extended"):
            await lease.extend(1)
        assert lease.lost and lease.remaining() == 0
        for action in (lambda: lease.extend(1), lease.reacquire):
            with pytest.raises(LeaseLost):
                await action()

    server.play(scenario)


def test_a_release_reports_a_lost_lease_and_frees_nobody_else_s_lock(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        lease = await manager(redis).acquire("k")
        await redis.set("k", "another fence=9")
        assert await lease.release() is False
        assert lease.lost
        assert await redis.get("k") == b"another fence=9"

    server.play(scenario)


def test_a_second_release_repeats_what_is_known_and_touches_nothing(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        locks = manager(redis)
        lease = await locks.acquire("k")
        assert await lease.release() and await lease.release()
        again = await locks.acquire("k")
        assert await lease.release()
        assert await again.owned()
        with pytest.raises(LockError, match="it is released"):
            await lease.extend(5)
        both = await asyncio.gather(again.release(), again.release())
        assert both == [True, True] and again.state == "released"

    server.play(scenario)


def test_what_remains_can_be_required_before_a_step_that_takes_long(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        lease = await manager(redis).acquire("k", lease=10)
        lease.require()
        lease.require(5)
        with pytest.raises(LeaseLost, match="remain, not 10"):
            lease.require(10)
        await lease.release()
        with pytest.raises(LeaseLost):
            lease.require()

    server.play(scenario)


def test_a_server_that_forgot_the_scripts_is_sent_them_again(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        locks = manager(redis)
        for _ in range(2):
            await redis.script_flush()
            lease = await locks.acquire("k")
            await redis.script_flush()
            assert await lease.extend(5)
            await redis.script_flush()
            assert await lease.release()
            assert await locks.holder("k") is None

    server.play(scenario)


def test_a_manager_serves_one_event_loop_after_another(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        async with manager(redis).hold("k"):
            pass
        await redis.aclose()

    for _ in range(2):
        server.play(scenario)


@pytest.mark.parametrize(
    ("keys", "error", "says"),
    [
        ((), ValueError, "between 1 and 100 names"),
        (("",), ValueError, "1 to 1024 bytes, got 0"),
        (("x" * 10_000,), ValueError, "1 to 1024 bytes, got 10000: b'xxxxxxxxxxxxxxxxxxxx'…"),
        (("é" * 600,), ValueError, "got 1200"),
        (("\ud800",), ValueError, "UTF-8"),
        (("labkit:fence",), ValueError, "must not begin with 'labkit:'"),
        ((b"k",), TypeError, "key must be a str, got b'k'"),
        ((None,), TypeError, "key must be a str, got None"),
        (("a", 7), TypeError, "key must be a str, got 7"),
        (tuple(map(str, range(101))), ValueError, "got 101"),
    ],
)
def test_a_key_that_cannot_be_is_refused_before_anything_is_asked(
    fake_server: Server, keys: Any, error: Any, says: str
) -> None:
    async def scenario(redis: Redis) -> None:
        locks = manager(redis)
        for action in (locks.acquire, locks.try_acquire):
            with pytest.raises(error, match=says.replace("(", r"\(")):
                await action(*keys)
        with pytest.raises(error):
            async with locks.hold(*keys):
                pass
        assert not await redis.keys("*")

    fake_server.play(scenario)


@pytest.mark.parametrize(
    "key", ["k" * 1024, "a b", "a\r\nDEL k", "{tag}", "ключ", "\x00", "a:queue", "owner fence=7"]
)
def test_any_other_text_is_a_key(server: Server, key: str) -> None:
    async def scenario(redis: Redis) -> None:
        locks = manager(redis)
        async with locks.hold(key) as lease:
            assert await locks.holder(key) == Holder(
                "owner-1", pytest.approx(10, abs=5), lease.token
            )
            assert await locks.try_acquire(key) is None
        assert lease.state == "released" and not await names(redis)

    server.play(scenario)


@pytest.mark.parametrize("bad", [-1, -0.5, math.nan, -math.inf])
@pytest.mark.parametrize("field", ["lease", "wait", "max_hold", "within"])
def test_seconds_that_make_no_sense_are_refused(field: str, bad: float) -> None:
    with pytest.raises(ValueError, match=field):
        manager(Redis(), **{field: bad})
    if field != "within":
        with pytest.raises(ValueError, match=field):
            asyncio.run(_enter(manager(Redis()), **{field: bad}))


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("lease", 0),
        ("lease", 1e9),
        ("lease", math.inf),
        ("lease", "10"),
        ("lease", True),
        ("wait", None),
        ("max_hold", 1),
    ],
)
def test_so_are_leases_of_nothing_or_for_ever(field: str, bad: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=field):
        manager(Redis(), **{field: bad})


async def _enter(locks: LockManager, **options: Any) -> None:
    async with locks.hold("k", **options):
        pytest.fail("it must be refused")


@examples("cheap")
@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=20
    )
)
def test_keys_come_sorted_and_without_doubles(keys: list[str]) -> None:
    allowed = tuple(key for key in keys if not key.startswith("labkit:")) or ("k",)
    got = lock_keys(allowed)
    assert set(got) == set(allowed) and len(set(got)) == len(got) and list(got) == sorted(got)
