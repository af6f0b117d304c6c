"""SQLite under concurrent writers behaves as SQLite does, reproducibly."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, inspect, select, text
from sqlalchemy.exc import OperationalError

from labkit.sim import run, sweep
from labkit.sim.sql import Dialect
from labkit.world import LoseReply, Partition, World


async def table(world: World, stock: int = 1) -> None:
    async with world.database().begin() as connection:
        await connection.execute(text("CREATE TABLE product (stock INTEGER)"))
        await connection.execute(text("INSERT INTO product VALUES (:n)"), {"n": stock})


async def left(world: World) -> int:
    async with world.database().connect() as connection:
        return int((await connection.execute(text("SELECT stock FROM product"))).scalar_one())


async def sell(
    world: World, guarded: bool = False, begin: str = "", buyers: int = 3
) -> tuple[int, int]:
    """Buyers of one unit: how many were sold, and what is left."""
    await table(world)

    async def buyer() -> int:
        engine = world.database().execution_options(sqlite_begin=begin)
        try:
            async with engine.begin() as connection:
                if guarded:
                    statement = "UPDATE product SET stock = stock - 1 WHERE stock >= 1"
                    return (await connection.execute(text(statement))).rowcount
                stock = (await connection.execute(text("SELECT stock FROM product"))).scalar_one()
                if stock < 1:
                    return 0
                await asyncio.sleep(0.01)
                await connection.execute(text("UPDATE product SET stock = :n"), {"n": stock - 1})
                return 1
        except OperationalError as error:
            world.record("refused", why=str(error.orig))
            return 0

    sold = await world.join(*[world.node(f"c{number}").start(buyer) for number in range(buyers)])
    return sum(sold), await left(world)


def test_a_guarded_update_sells_exactly_what_there_is() -> None:
    assert set(sweep(sell, seeds=range(40), args={"guarded": True}).results()) == {(1, 0)}


def test_a_transaction_that_read_before_another_wrote_is_refused_as_a_stale_snapshot() -> None:
    for seed in range(10):
        made = run(sell, seed=seed)
        assert made.result == (1, 0)
        assert {event.data["why"] for event in made.history.of("refused")} == {"database is locked"}


def test_begin_immediate_makes_writers_take_turns_and_refuses_nobody() -> None:
    for seed in range(10):
        made = run(sell, seed=seed, args={"begin": "IMMEDIATE"})
        assert made.result == (1, 0)
        assert not made.history.of("refused")


def test_read_then_write_in_two_transactions_sells_one_unit_many_times() -> None:
    async def scenario(world: World) -> tuple[int, int]:
        await table(world)

        async def buyer() -> int:
            async with world.database().connect() as connection:
                stock = (await connection.execute(text("SELECT stock FROM product"))).scalar_one()
            if stock < 1:
                return 0
            async with world.database().begin() as connection:
                await connection.execute(text("UPDATE product SET stock = :n"), {"n": stock - 1})
            return 1

        sold = await world.join(*[world.node(f"c{number}").start(buyer) for number in range(3)])
        return sum(sold), await left(world)

    assert run(scenario, seed=None).result == (3, 0)


def test_a_writer_waits_for_the_busy_timeout_and_then_fails() -> None:
    async def scenario(world: World) -> tuple[str, bool]:
        await table(world)

        async def hold() -> None:
            async with world.database().begin() as connection:
                await connection.execute(text("UPDATE product SET stock = 5"))
                await asyncio.sleep(60)

        async def want() -> tuple[str, bool]:
            await asyncio.sleep(1)
            began = world.now()
            try:
                async with world.database(timeout=5.0).begin() as connection:
                    await connection.execute(text("UPDATE product SET stock = 7"))
            except OperationalError as error:
                return str(error.orig), 4 < world.now() - began < 5.5
            return "written", False

        return (await world.join(world.node("b").start(want), world.node("a").start(hold)))[0]

    assert run(scenario).result == ("database is locked", True)


def test_the_real_sqlite_says_the_same(tmp_path: Path) -> None:
    """The oracle: two plain sqlite3 connections on one WAL file."""
    one, two = (
        sqlite3.connect(tmp_path / "x.sqlite", timeout=0.05, isolation_level=None) for _ in range(2)
    )
    one.execute("PRAGMA journal_mode=WAL")
    one.execute("CREATE TABLE product (stock INTEGER)")
    one.execute("INSERT INTO product VALUES (1)")
    for connection in (one, two):
        connection.execute("BEGIN")
        connection.execute("SELECT stock FROM product").fetchone()
    one.execute("UPDATE product SET stock = 0")
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        two.execute("UPDATE product SET stock = 0")
    one.execute("COMMIT")
    with pytest.raises(sqlite3.OperationalError, match="database is locked") as stale:
        two.execute("UPDATE product SET stock = 0")
    assert stale.value.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT
    one.close(), two.close()


def test_a_commit_whose_answer_is_lost_was_committed_once_and_its_caller_cannot_know() -> None:
    async def scenario(world: World) -> tuple[str, int]:
        await table(world, stock=10)

        async def buyer() -> None:
            with world.operation("sell"):
                async with world.database(timeout=2.0).begin() as connection:
                    await connection.execute(text("UPDATE product SET stock = stock - 1"))

        await world.join(world.node("a").start(buyer), return_exceptions=True)
        await asyncio.sleep(5)
        return world.history.operations[0].outcome, await left(world)

    assert run(scenario, faults=[LoseReply(src="a", label="COMMIT", at=0.0)]).result == (
        "unknown",
        9,
    )
    assert run(scenario).result == ("ok", 9)


def test_a_connection_that_a_partition_broke_is_replaced() -> None:
    async def scenario(world: World) -> list[str]:
        await table(world)
        seen = []

        async def reader() -> None:
            engine = world.database(timeout=1.0)
            for _ in range(3):
                try:
                    async with engine.connect() as connection:
                        seen.append(
                            str(
                                (
                                    await connection.execute(text("SELECT stock FROM product"))
                                ).scalar_one()
                            )
                        )
                except OperationalError as error:
                    seen.append("unknown" if error.connection_invalidated else "error")
                await asyncio.sleep(1)

        await world.join(world.node("a").start(reader))
        return seen

    assert run(scenario, faults=[Partition(("a",), at=0.5, for_=1.0)]).result == [
        "1",
        "unknown",
        "1",
    ]


async def boxes(world: World, box: Table) -> list[str]:
    """Create the table, write a row, read it; the names of the columns."""
    engine = world.database()
    async with engine.begin() as connection:
        await connection.run_sync(box.metadata.create_all)
        await connection.execute(insert(box).values(width=3))
    async with engine.connect() as connection:
        assert (await connection.execute(select(box.c.width))).scalar_one() == 3
        return await connection.run_sync(
            lambda now: [column["name"] for column in inspect(now).get_columns("box")]
        )


def test_what_was_compiled_in_one_run_serves_the_next() -> None:
    box = Table("box", MetaData(), Column("width", Integer))
    assert run(boxes, args={"box": box}).result == ["width"]
    compiled = len(Dialect.compiled)
    assert run(boxes, seed=1, args={"box": box}).result == ["width"]
    assert len(Dialect.compiled) == compiled > 0


def test_a_table_that_got_another_column_is_created_with_it() -> None:
    box = Table("box", MetaData(), Column("width", Integer))
    assert run(boxes, args={"box": box}).result == ["width"]
    box.append_column(Column("height", Integer))
    assert run(boxes, args={"box": box}).result == ["width", "height"]
