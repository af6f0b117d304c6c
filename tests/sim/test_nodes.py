"""Pauses, crashes and restarts strike without the code's co-operation."""

from __future__ import annotations

import asyncio
import gc

import pytest
from sqlalchemy import text

from labkit.sim import run
from labkit.world import CRASHED, Crash, Pause, World


def test_a_crash_in_the_middle_of_a_with_runs_no_finally_block() -> None:
    ran: list[str] = []

    async def scenario(world: World) -> list[object]:
        async def work() -> None:
            try:
                async with asyncio.timeout(5):
                    await asyncio.sleep(1)
            except BaseException:
                ran.append("except")
                raise
            finally:
                ran.append("finally")

        return await world.join(world.node("a").start(work))

    assert run(scenario, faults=[Crash("a", at=0.5)]).result == [CRASHED]
    gc.collect()
    assert ran == []
    assert run(scenario).result == [None]
    assert ran == ["finally"]


def test_a_crash_takes_the_tasks_that_the_node_has_started_with_it() -> None:
    async def scenario(world: World) -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(1)
                ticks += 1

        async def work() -> None:
            keep = asyncio.create_task(tick())
            await keep

        await world.join(world.node("a").start(work))
        await asyncio.sleep(10)
        return ticks

    assert run(scenario, faults=[Crash("a", at=3.5)]).result == 3


def test_a_restarted_node_sees_what_was_committed_and_nothing_else() -> None:
    async def scenario(world: World) -> list[int]:
        memory: list[int] = []
        engine = world.database()
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE t (n INTEGER)"))

        async def service() -> None:
            mine = world.database()
            async with mine.begin() as connection:
                memory.append(len((await connection.execute(text("SELECT n FROM t"))).all()))
                await connection.execute(text("INSERT INTO t VALUES (1)"))
            async with mine.begin() as connection:
                await connection.execute(text("INSERT INTO t VALUES (2)"))
                await asyncio.sleep(100)

        world.node("a").boot(service)
        await asyncio.sleep(5)
        async with engine.connect() as connection:
            memory.append((await connection.execute(text("SELECT count(*) FROM t"))).scalar_one())
        return memory

    # first life: sees 0 rows, commits 1, dies with the second open; second life sees that one row,
    # and adds one more
    assert run(scenario, faults=[Crash("a", at=1.0, restart_after=1.0)]).result == [0, 1, 2]


def test_the_database_itself_may_crash_and_keeps_what_was_committed() -> None:
    async def scenario(world: World) -> tuple[str, int]:
        engine = world.database()
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE t (n INTEGER)"))
            await connection.execute(text("INSERT INTO t VALUES (1)"))

        async def client() -> str:
            mine = world.database()
            try:
                async with mine.begin() as connection:
                    await connection.execute(text("INSERT INTO t VALUES (2)"))
                    await asyncio.sleep(2)
            except Exception as error:
                return type(error).__name__
            return "committed"

        (outcome,) = await world.join(world.node("a").start(client))
        await asyncio.sleep(2)
        async with world.database().connect() as connection:
            return outcome, (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one()

    assert run(scenario, faults=[Crash("database", at=1.0, restart_after=0.5)]).result == (
        "OperationalError",
        1,
    )


@pytest.mark.parametrize("victim", ["a", "redis"])
def test_a_pause_delays_and_nothing_is_lost(victim: str) -> None:
    async def scenario(world: World) -> tuple[bytes, float]:
        async def work() -> float:
            redis = world.redis(timeout=10.0)
            for number in range(10):
                await redis.rpush("list", number)
                await asyncio.sleep(0.1)
            return world.now()

        (ended,) = await world.join(world.node("a").start(work))
        return await world.redis().llen("list"), ended

    length, ended = run(scenario, seed=None).result
    assert (
        run(scenario, seed=None, faults=[Pause(victim, at=0.35, for_=5.0)]).result[0]
        == length
        == 10
    )
    assert (
        run(scenario, seed=None, faults=[Pause(victim, at=0.35, for_=5.0)]).result[1] - ended > 4.8
    )


def test_two_pauses_overlap_and_one_that_ends_early_does_not_wake_the_node() -> None:
    async def scenario(world: World) -> float:
        async def work() -> float:
            await asyncio.sleep(1)
            return world.now()

        return (await world.join(world.node("a").start(work)))[0]

    assert (
        run(scenario, faults=[Pause("a", at=0.5, for_=5.0), Pause("a", at=1.0, for_=1.0)]).result
        == 5.5
    )


def test_a_paused_node_is_shown_in_the_history_even_if_the_run_ends_first() -> None:
    async def scenario(world: World) -> None:
        world.node("a")
        await asyncio.sleep(1)

    (span,) = run(scenario, faults=[Pause("a", at=0.5, for_=5.0)]).history.spans
    assert (span.node, span.kind, span.start, span.end) == ("a", "pause", 0.5, None)


def test_a_crash_strikes_at_the_event_it_waits_for() -> None:
    async def scenario(world: World) -> list[str]:
        async def work() -> None:
            redis = world.redis()
            world.record("before")
            await redis.set("key", 1)
            world.record("after")

        await world.join(world.node("a").start(work))
        return [event.kind for event in world.history.events] + [
            str(await world.redis().get("key"))
        ]

    assert run(scenario).result == ["before", "after", "b'1'"]
    assert run(scenario, faults=[Crash("a", after="before")]).result == ["before", "None"]


def test_what_is_started_on_a_dead_node_never_runs_and_is_over_for_who_joins_it() -> None:
    async def scenario(world: World) -> list[object]:
        ran: list[str] = []

        async def work() -> None:
            ran.append("ran")

        return [*await world.join(world.node("a").start(work)), *ran]

    assert run(scenario, faults=[Crash("a", at=0.0)]).result == [CRASHED]
