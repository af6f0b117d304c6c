"""A fenced resource accepts no token older than one it has seen, in whatever order and however
concurrently they come.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert, select, update
from sqlalchemy.ext.asyncio import create_async_engine

from labkit.base import fenced_update
from labkit.locks import LockManager, RedisFencedStore, SqlFencedStore, StaleToken
from labkit.locks.fenced_stores import metadata
from labkit.sim import run, sweep
from labkit.world import Pause, World
from tests.support.depth import examples
from tests.support.servers import Server

Store = SqlFencedStore | RedisFencedStore


@asynccontextmanager
async def sql_store(url: str) -> AsyncIterator[SqlFencedStore]:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    try:
        yield SqlFencedStore(engine)
    finally:
        await engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql", "valkey", "fakeredis"])
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[Store], Awaitable[Any]]], None]:
    """Runs a scenario with an empty store of each kind."""
    kind: str = request.param
    if kind in ("valkey", "fakeredis"):
        server: Server = request.getfixturevalue(
            "real_server" if kind == "valkey" else "fake_server"
        )
        return lambda scenario: server.play(lambda redis: scenario(RedisFencedStore(redis)))
    url: str = request.getfixturevalue("sqlite_url" if kind == "sqlite" else "postgres_url")

    async def act(scenario: Callable[[Store], Awaitable[Any]]) -> None:
        async with sql_store(url) as store:
            await scenario(store)

    return lambda scenario: asyncio.run(act(scenario))


Play = Callable[[Callable[[Store], Awaitable[Any]]], None]


def test_a_newer_or_equal_token_writes_and_an_older_one_is_refused(play: Play) -> None:
    async def scenario(store: Store) -> None:
        assert await store.latest("k") is None
        await store.write("k", "first", token=5)
        await store.write("k", "again", token=5)
        await store.write("k", "newer", token=7)
        with pytest.raises(StaleToken) as caught:
            await store.write("k", "late", token=6)
        assert (caught.value.key, caught.value.seen, caught.value.given) == ("k", 7, 6)
        assert str(caught.value) == "'k' has seen token 7, so the older token 6 is refused"
        assert await store.latest("k") == ("newer", 7)
        await store.write("another key", "has its own memory", token=1)

    play(scenario)


def test_of_concurrent_first_writers_the_newest_token_stands(play: Play) -> None:
    async def scenario(store: Store) -> None:
        tokens = random.Random(1).sample(range(1, 13), 12)
        came = await asyncio.gather(
            *(store.write("k", str(token), token=token) for token in tokens), return_exceptions=True
        )
        assert {type(answer) for answer in came} <= {type(None), StaleToken}
        assert await store.latest("k") == ("12", 12)

    play(scenario)


@pytest.mark.parametrize("token", [0, -1, 2**53, 1.5, "7", None, True, float("nan")])
def test_what_is_no_token_is_refused(play: Play, token: Any) -> None:
    async def scenario(store: Store) -> None:
        with pytest.raises((ValueError, TypeError), match="token must be"):
            await store.write("k", "v", token=token)
        assert await store.latest("k") is None

    play(scenario)


@examples("fair")
@given(st.lists(st.integers(1, 2**53 - 1) | st.integers(1, 5), min_size=1, max_size=12))
def test_what_is_accepted_is_the_running_maximum(tokens: list[int]) -> None:
    async def scenario(store: Store) -> None:
        for token, newest in zip(tokens, accumulate(tokens, max), strict=True):
            if token == newest:
                await store.write("k", str(token), token=token)
            else:
                with pytest.raises(StaleToken) as caught:
                    await store.write("k", str(token), token=token)
                assert (caught.value.seen, caught.value.given) == (newest, token)
            assert await store.latest("k") == (str(newest), newest)

    async def both() -> None:
        redis = FakeAsyncRedis()
        await scenario(RedisFencedStore(redis))
        await redis.aclose()
        async with sql_store("sqlite+aiosqlite://") as store:
            await scenario(store)

    asyncio.run(both())


def test_an_update_of_one_s_own_is_fenced_by_the_same_guard(database: str) -> None:
    stock = Table(
        "stock",
        MetaData(),
        Column("sku", String(9), primary_key=True),
        Column("left", BigInteger),
        Column("fence", BigInteger),
    )

    async def act() -> None:
        engine = create_async_engine(database)
        async with engine.begin() as connection:
            await connection.run_sync(stock.metadata.create_all)
            await connection.execute(insert(stock).values(sku="tent", left=9, fence=0))
            sale = update(stock).where(stock.c.sku == "tent").values(left=stock.c.left - 1)
            changed = [
                (await connection.execute(fenced_update(sale, stock.c.fence, token))).rowcount
                for token in (3, 2, 3, 4, 1)
            ]
            assert changed == [1, 0, 1, 1, 0]
            assert (await connection.execute(select(stock.c.left, stock.c.fence))).one() == (6, 4)
        await engine.dispose()

    asyncio.run(act())


async def paused_writer(world: World, fence: bool) -> list[str]:
    """Two holders write under leases of one second; each looks at its lease before it writes. The
    writes, in order.
    """
    store = RedisFencedStore(world.redis("store"))

    async def writer(delay: float) -> None:
        await asyncio.sleep(delay)
        locks = LockManager(
            world.redis(), ids=lambda: world.new_id("o"), rng=world.rng, lease=1.0, wait=30.0
        )
        lease = await locks.acquire("k")
        world.record("holds", token=lease.token)
        lease.require(0.1)
        await asyncio.sleep(0.05)
        try:
            if fence:
                await RedisFencedStore(world.redis("store")).write(
                    "k", world.here(), token=lease.token
                )
            else:
                await world.redis("store").hset(
                    "fenced:k", mapping={"value": world.here(), "token": lease.token}
                )
            world.record("wrote", token=lease.token)
        except StaleToken:
            world.record("refused", token=lease.token)
        await lease.release()

    await world.join(world.node("a").start(writer, 0.0), world.node("b").start(writer, 0.2))
    assert await store.latest("k") is not None
    return [event.data["token"] for event in world.history.of("wrote")]


@pytest.mark.parametrize("pause", [0.5, 1.0, 1.5, 2.0, 5.0])
def test_after_a_pause_of_any_length_the_store_s_tokens_never_decrease(pause: float) -> None:
    faults = [Pause(node="a", for_=pause, after="holds")]
    fenced = sweep(
        paused_writer, seeds=range(30), faults=faults, args={"fence": True}, progress=False
    )
    assert not [one for one in fenced.runs if one.error]
    assert all(one.result == sorted(one.result) for one in fenced.runs)


def test_without_the_fence_a_pause_longer_than_the_lease_lets_an_old_write_win() -> None:
    faults = [Pause(node="a", for_=5.0, after="holds")]
    newer, older = run(paused_writer, faults=faults, args={"fence": False}).result
    assert newer > older
    assert run(paused_writer, faults=faults, args={"fence": True}).result == [newer]


def test_a_number_is_read_as_its_text_from_either_store(play: Play) -> None:
    async def scenario(store: Store) -> None:
        await store.write("k", 4, token=1)
        assert await store.read("k", token=1) == "4"

    play(scenario)


def test_a_client_that_decodes_answers_reads_the_same(fake_server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        store = RedisFencedStore(redis)
        await store.write("k", "wörd", token=1)
        assert await store.latest("k") == ("wörd", 1)

    fake_server.play(scenario, decode_responses=True)
    fake_server.play(scenario)


def test_a_read_shows_its_token_and_closes_the_door_behind_an_older_holder(play: Play) -> None:
    async def scenario(store: Store) -> None:
        await store.write("k", "1", token=5)
        assert await store.read("k", token=5) == "1"
        assert await store.read("k", token=7) == "1"
        with pytest.raises(StaleToken):
            await store.write("k", "0", token=5)
        with pytest.raises(StaleToken):
            await store.read("k", token=6)
        assert await store.latest("k") == ("1", 7)

    play(scenario)


def test_a_key_that_was_never_written_remembers_who_asked(play: Play) -> None:
    async def scenario(store: Store) -> None:
        assert await store.read("k", token=7) is None
        with pytest.raises(StaleToken):
            await store.write("k", "late", token=6)
        await store.write("k", "first", token=7)
        assert await store.read("k", token=7) == "first"

    play(scenario)
