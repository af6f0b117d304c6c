"""A real PostgreSQL under the same scenarios: row locks, crashes of clients and of the server,
time-outs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit import real
from labkit.world import CRASHED, Crash, Pause, World
from tests.real.waiting import until


async def stock(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT n FROM stock"))).scalar_one())


async def ten_units(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE stock (id int PRIMARY KEY, n int)"))
        await connection.execute(text("INSERT INTO stock VALUES (1, 10)"))


async def somebody_waits_for_a_lock(engine: AsyncEngine) -> None:
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    while True:
        async with engine.connect() as connection:
            if (await connection.execute(waiting)).scalar_one():
                return
        await asyncio.sleep(0.01)


async def take_one(world: World, engine: AsyncEngine, may_go_on: asyncio.Event) -> None:
    async with engine.begin() as connection:
        found = (
            await connection.execute(text("SELECT n FROM stock WHERE id = 1 FOR UPDATE"))
        ).scalar_one()
        world.record("locked", n=found)
        await may_go_on.wait()
        await connection.execute(text("UPDATE stock SET n = :n WHERE id = 1"), {"n": found - 1})
    world.record("committed")


async def two_takers(world: World) -> list[Any]:
    engine = world.database(timeout=60.0)
    await ten_units(engine)
    go = asyncio.Event()
    first = world.node("a").start(take_one, world, engine, go)
    await until(lambda: bool(world.history.of("locked")))
    second = world.node("b").start(take_one, world, engine, go)
    if not first.done() and not any(span.kind == "crash" for span in world.history.spans):
        await somebody_waits_for_a_lock(engine)
    go.set()
    return [*(await world.join(first, second)), await stock(engine)]


def test_select_for_update_really_waits() -> None:
    run = real.run(two_takers)
    assert run.result == [None, None, 8]
    order = [
        (event.node, event.kind, event.data.get("n"))
        for event in run.history.of("locked", "committed")
    ]
    assert [entry for entry in order if entry[1] == "locked"] == [
        ("a", "locked", 10),
        ("b", "locked", 9),
    ]


def test_a_dead_clients_transaction_is_rolled_back_and_its_lock_freed() -> None:
    run = real.run(two_takers, faults=[Crash(node="a", after="locked")])
    assert run.result == [CRASHED, None, 9]


@pytest.mark.parametrize("fault", [Crash, Pause], ids=["died", "paused"])
def test_a_commit_that_a_node_was_about_to_send_when_it_stopped_is_not_sent(fault: Any) -> None:
    async def scenario(world: World) -> list[int]:
        engine = world.database()
        await ten_units(engine)

        async def take() -> None:
            async with engine.begin() as connection:
                await connection.execute(text("UPDATE stock SET n = 9"))
                world.record("about to commit")

        world.node("a").start(take, daemon=True)
        await until(lambda: bool(world.history.of("about to commit")))
        return [await stock(engine) for _ in range(20)]

    length = {"for_": 3600.0} if fault is Pause else {}
    assert set(
        real.run(scenario, faults=[fault(node="a", after="about to commit", **length)]).result
    ) == {10}


def test_a_pause_stops_every_process_of_the_server() -> None:
    async def scenario(world: World) -> None:
        engine = world.database(timeout=60.0)

        async def ask() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                world.record("going")
                await connection.execute(text("SELECT 1"))
                world.record("answered")

        await world.join(world.node("a").start(ask))

    run = real.run(scenario, faults=[Pause(node="database", after="going", for_=0.3)])
    (pause,) = run.history.spans
    assert pause.end is not None and run.history.of("answered")[0].at >= pause.end


def test_a_killed_server_comes_back_with_what_was_committed_and_nothing_else() -> None:
    async def scenario(world: World) -> list[Any]:
        engine = world.database()
        await ten_units(engine)

        async def take() -> None:
            with world.operation("take"):
                async with engine.begin() as connection:
                    await connection.execute(text("UPDATE stock SET n = 9"))
                    world.record("written")
                    await connection.execute(text("SELECT 1"))

        (error,) = await world.join(world.node("a").start(take), return_exceptions=True)
        while True:
            try:
                return [isinstance(error, DBAPIError), await stock(engine)]
            except Exception:  # no connection, or the server is still recovering
                await asyncio.sleep(0.02)

    run = real.run(scenario, faults=[Crash(node="database", after="written", restart_after=0.1)])
    assert run.result == [True, 10]
    assert [operation.outcome for operation in run.history.operations] == ["unknown"]


def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_did_not_happen() -> None:
    async def scenario(world: World) -> int:
        engine, hasty = world.database(), world.database(timeout=0.2)
        await ten_units(engine)
        with pytest.raises(DBAPIError, match="statement timeout"), world.operation("take"):
            async with hasty.begin() as connection:
                await connection.execute(text("UPDATE stock SET n = 9"))
                await connection.execute(text("SELECT pg_sleep(60)"))
        return await stock(engine)

    run = real.run(scenario)
    assert run.result == 10
    assert [operation.outcome for operation in run.history.operations] == ["failed"]


def test_a_server_that_does_not_answer_in_time_leaves_the_outcome_unknown() -> None:
    async def scenario(world: World) -> None:
        engine = world.database(
            timeout=2.0
        )  # it must be long enough to connect, on a busy machine too

        async def ask() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                world.record("going")
                with pytest.raises((TimeoutError, DBAPIError)), world.operation("ask"):
                    await connection.execute(text("SELECT 2"))
                world.record("gave up")

        world.node("a").start(ask, daemon=True)
        await until(lambda: bool(world.history.of("gave up")))

    run = real.run(scenario, faults=[Pause(node="database", after="going", for_=3600.0)])
    assert [operation.outcome for operation in run.history.operations] == ["unknown"]


def test_every_run_has_an_empty_database() -> None:
    async def scenario(world: World) -> int:
        engine = world.database()
        await ten_units(engine)
        return await stock(engine)

    assert [real.run(scenario).result for _ in range(2)] == [10, 10]
