"""Claims: one worker at a time at a named job, and the guard of rows that are work themselves; on
both databases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Column, Double, MetaData, String, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.claims import UNCLAIMED, Claim, Turn, create_turns, turns
from labkit.base.transactions import begin_immediate, create_tables, reading
from tests.support.engines import engine_on

metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("worker", String(64), nullable=False),
    Column("ends", Double, nullable=False),
)
CLAIM = Claim(jobs.c.worker, jobs.c.ends)


def on(url: str, scenario: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with engine_on(url) as engine:
            await create_turns(engine)
            async with begin_immediate(engine) as connection:
                await create_tables(connection, metadata)
            return await scenario(engine)

    return asyncio.run(run())


async def take(engine: AsyncEngine, turn: Turn, now: float) -> float | None:
    async with begin_immediate(engine) as connection:
        return await turn.take(connection, now)


async def end(engine: AsyncEngine, turn: Turn) -> None:
    async with begin_immediate(engine) as connection:
        await turn.end(connection)


def test_a_turn_is_one_workers_until_it_ends_and_then_the_next_ones(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        first, second = (Turn("sweep", owner, lease=30.0) for owner in ("first", "second"))
        assert await take(engine, first, 1000.0) == 1030.0
        assert await take(engine, second, 1029.9) is None
        assert await take(engine, second, 1030.0) == 1060.0, "free from its end on, not later"
        assert await take(engine, first, 1031.0) is None, "and the first has lost it"

    on(database, scenario)


def test_a_turn_is_renewed_by_its_worker_and_counts_from_then(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        mine, other = (Turn("sweep", owner, lease=30.0) for owner in ("mine", "other"))
        assert await take(engine, mine, 1000.0) == 1030.0
        assert await take(engine, mine, 1020.0) == 1050.0
        assert await take(engine, other, 1049.0) is None

    on(database, scenario)


def test_a_worker_ends_its_own_turn_and_nobody_elses(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        mine, other = (Turn("sweep", owner, lease=30.0) for owner in ("mine", "other"))
        await end(engine, mine)  # there is no such turn yet
        await take(engine, mine, 1000.0)
        await end(engine, other)
        assert await take(engine, other, 1001.0) is None
        await end(engine, mine)
        assert await take(engine, other, 1001.0) == 1031.0
        await end(engine, mine)
        assert await take(engine, mine, 1002.0) is None

    on(database, scenario)


def test_turns_at_two_jobs_do_not_know_of_each_other(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        assert await take(engine, Turn("sweep", "a", lease=30.0), 1000.0)
        assert await take(engine, Turn("relay", "a", lease=30.0), 1000.0)
        await end(engine, Turn("relay", "a", lease=30.0))
        assert await take(engine, Turn("sweep", "c", lease=30.0), 1000.0) is None

    on(database, scenario)


@pytest.mark.parametrize("before", ["no row", "a turn that has ended"])
def test_of_workers_that_take_a_turn_at_the_same_moment_one_has_it(
    database: str, before: str
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        if before != "no row":
            await take(engine, Turn("sweep", "dead", lease=1.0), 900.0)
        workers = [Turn("sweep", f"worker {number}", lease=30.0) for number in range(4)]
        ends = await asyncio.gather(*(take(engine, worker, 1000.0) for worker in workers))
        assert sorted(ends, key=str) == [1030.0, None, None, None]
        async with reading(engine) as connection:
            row = (await connection.execute(select(turns))).one()
        assert row.owner == workers[ends.index(1030.0)].owner

    on(database, scenario)


def test_a_turn_taken_in_a_transaction_that_is_rolled_back_was_never_taken(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(RuntimeError, match="the work failed"):
            async with begin_immediate(engine) as connection:
                assert await Turn("sweep", "a", lease=30.0).take(connection, 1000.0)
                raise RuntimeError("the work failed")
        assert await take(engine, Turn("sweep", "b", lease=30.0), 1000.0) == 1030.0

    on(database, scenario)


def test_a_row_is_free_when_nobody_has_it_or_its_claim_has_ended_or_it_is_ones_own(
    database: str,
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        async with begin_immediate(engine) as connection:
            await connection.execute(
                insert(jobs),
                [
                    {"id": "never", "worker": "", "ends": UNCLAIMED},
                    {"id": "ended", **CLAIM.taken("other", 1000.0)},
                    {"id": "other", **CLAIM.taken("other", 1000.1)},
                    {"id": "own", **CLAIM.taken("me", 1030.0)},
                ],
            )
        assert await ids(engine, CLAIM.free(1000.0)) == {"never", "ended"}
        assert await ids(engine, CLAIM.free(1000.0, "me")) == {"never", "ended", "own"}
        assert await ids(engine, CLAIM.held("me", 1000.0)) == {"own"}
        assert await ids(engine, CLAIM.held("other", 1000.0)) == {"other"}
        assert await ids(engine, CLAIM.held("me", 1030.0)) == set(), "at its end it is nobody's"

    async def ids(engine: AsyncEngine, condition: Any) -> set[str]:
        async with reading(engine) as connection:
            return set((await connection.scalars(select(jobs.c.id).where(condition))).all())

    on(database, scenario)


def test_work_that_was_taken_over_cannot_be_finished_by_the_worker_that_slept(
    database: str,
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        async def claim(connection: AsyncConnection, worker: str, now: float) -> int:
            mine = update(jobs).where(jobs.c.id == "job", CLAIM.free(now))
            done = await connection.execute(mine.values(CLAIM.taken(worker, now + 30.0)))
            return done.rowcount

        async def finish(connection: AsyncConnection, worker: str, now: float) -> int:
            mine = delete(jobs).where(jobs.c.id == "job", CLAIM.held(worker, now))
            return (await connection.execute(mine)).rowcount

        async with begin_immediate(engine) as connection:
            await connection.execute(insert(jobs).values(id="job", worker="", ends=UNCLAIMED))
            assert await claim(connection, "slow", 1000.0) == 1
            assert await claim(connection, "next", 1029.0) == 0
            assert await claim(connection, "next", 1030.0) == 1
            assert await finish(connection, "slow", 1031.0) == 0
            assert await finish(connection, "next", 1031.0) == 1

    on(database, scenario)


def test_what_makes_no_sense_is_refused() -> None:
    for lease in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^lease must be between 0.001 and 86400 seconds"):
            Turn("sweep", "a", lease=lease)
    with pytest.raises(ValueError, match=r"^owner must have 1 to 64 printable characters, got ''"):
        Turn("sweep", "", lease=1.0)
    with pytest.raises(ValueError, match=r"^name must have 1 to 128 printable characters"):
        Turn("x" * 129, "a", lease=1.0)
    assert repr(Turn("sweep", "a", lease=30.0)) == "<Turn of a at sweep, 30 s>"
