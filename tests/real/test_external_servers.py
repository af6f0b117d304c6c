"""Servers named by URL are used, are left as they were found, and are never paused or killed."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
import redis
from sqlalchemy import text

from labkit import real
from labkit.real import ServerUnavailable
from labkit.world import Crash, FaultError, Pause, World


async def write_key(world: World) -> str:
    client = world.redis()
    await client.set("n", 1)
    return str(client.connection_pool.connection_kwargs["path"])


async def write_row(world: World) -> list[str]:
    async with world.database().begin() as connection:
        await connection.execute(text("CREATE TABLE orders (n int)"))
        return [
            str(row.schemaname)
            for row in await connection.execute(
                text("SELECT * FROM pg_tables WHERE tablename = 'orders'")
            )
        ]


def tables(url: str) -> list[tuple[str, str]]:
    async def ask() -> list[tuple[str, str]]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            rows = await connection.fetch(
                "SELECT schemaname, tablename FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
            return [(row["schemaname"], row["tablename"]) for row in rows]
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_run_uses_the_redis_named_by_url_and_empties_its_database_number_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with real.valkey() as url:
        monkeypatch.setenv("REDIS_URL", f"{url}?db=9")
        others = redis.Redis.from_url(url)
        others.set("mine", "kept")
        assert real.run(write_key).result == url.removeprefix("unix://")
        assert (others.get("mine"), redis.Redis.from_url(f"{url}?db=9").dbsize()) == (b"kept", 0)
        others.close()


def test_a_redis_database_that_holds_something_is_refused_and_not_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with real.valkey() as url:
        monkeypatch.setenv("REDIS_URL", url)
        client = redis.Redis.from_url(url)
        client.set("mine", "kept")
        with pytest.raises(ServerUnavailable, match=r"database number 0 .* is not empty"):
            real.run(write_key)
        assert client.keys() == [b"mine"]
        client.close()


def test_two_runs_at_once_do_not_share_a_redis_database(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        world.redis()
        with pytest.raises(ServerUnavailable, match="is not empty"):
            await asyncio.to_thread(real.run, write_key)

    with real.valkey() as url:
        monkeypatch.setenv("REDIS_URL", url)
        real.run(scenario)


def test_a_run_works_in_a_schema_of_its_own_and_drops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with real.postgres() as url:
        asyncio.run(_make_table(url))
        monkeypatch.setenv("DATABASE_URL", url.replace("+asyncpg", ""))
        for _ in range(2):
            schemas = real.run(write_row).result
            assert sorted(schema.split("_")[0] for schema in schemas) == ["labkit", "public"]
        assert tables(url) == [("public", "orders")]


async def _make_table(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE orders (mine int)")
    await connection.close()


@pytest.mark.parametrize(
    "fault", [Pause(node="redis", at=0.0, for_=1.0), Crash(node="redis", after="never")]
)
def test_a_server_of_the_readers_own_is_not_paused_or_killed(
    monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    with real.valkey() as url:
        monkeypatch.setenv("REDIS_URL", url)
        with pytest.raises(FaultError, match="REDIS_URL names a server of your own"):
            real.run(write_key, faults=[fault])
        assert redis.Redis.from_url(url).dbsize() == 0


@pytest.mark.parametrize(
    ("variable", "url", "scenario", "says"),
    [
        (
            "REDIS_URL",
            "redis://user:secret@127.0.0.1:1/0",
            write_key,
            "REDIS_URL: no use of the server at 127.0.0.1",
        ),
        (
            "DATABASE_URL",
            "postgresql://user:secret@127.0.0.1:1/x",
            write_row,
            "DATABASE_URL: no use of the server at 127.0.0.1",
        ),
        (
            "DATABASE_URL",
            "mysql://user:secret@127.0.0.1/x",
            write_row,
            "must begin with postgresql://, not with mysql://",
        ),
        ("DATABASE_URL", "secret", write_row, "must be like postgresql://"),
    ],
)
def test_a_url_that_leads_nowhere_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str, scenario: Any, says: str
) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ServerUnavailable, match=says) as caught:
        real.run(scenario)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
