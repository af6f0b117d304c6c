"""Deadlines on both databases: fired once, by whoever looks first, and never after they were
cleared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate, use_write_ahead_log
from labkit.messaging import (
    Deadlines,
    DeadlineWorker,
    Envelope,
    Outbox,
    create_deadlines,
    create_outbox,
)
from tests.messaging.letters import CATALOG, Asked, Clock, Refused, numbered
from tests.support.engines import engine_on

CAUSE = Envelope("event-0", "shop", "o1", 1, "business-1", None, 0.0, Asked("o1"))
DEADLINES = Deadlines("shop")


class Worker(DeadlineWorker):
    """One whose clock can be set, and which refuses what is due."""

    def __init__(
        self,
        engine: AsyncEngine,
        fail: set[str] | None = None,
        ids: Callable[[str], str] | None = None,
    ) -> None:
        self.now = Clock(100.0)
        outbox = Outbox("shop", CATALOG, clock=self.now, ids=ids or numbered())

        async def when_due(connection: AsyncConnection, process: str) -> Iterable[Any]:
            if process in (fail or ()):
                raise ZeroDivisionError(process)
            return [Refused(process)]

        super().__init__(engine, DEADLINES, outbox, when_due, clock=self.now)


def play(url: str, scenario: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with engine_on(url) as engine:
            await use_write_ahead_log(engine)
            await create_deadlines(engine)
            await create_outbox(engine)
            return await scenario(engine)

    return asyncio.run(act())


async def begin(engine: AsyncEngine, **due: float) -> None:
    async with begin_immediate(engine) as connection:
        for process, at in due.items():
            await DEADLINES.set(connection, process, at, cause=CAUSE)


async def said(engine: AsyncEngine) -> list[tuple[str, str, str | None]]:
    async with engine.connect() as connection:
        wires = (
            await connection.execute(text("SELECT wire FROM outbox ORDER BY position"))
        ).scalars()
        return [(e.aggregate, e.correlation, e.causation) for e in map(CATALOG.decode, wires)]


def test_what_is_due_fires_once_in_the_order_of_time_and_names_its_cause(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        worker = Worker(engine)
        await begin(engine, later=101.0, second=100.0, first=99.0)
        fired = [await worker.fire() for _ in range(2)]
        worker.now.now = 101.0
        return fired, await worker.fire(), await said(engine)

    processes = [(process, "business-1", "event-0") for process in ("first", "second", "later")]
    assert play(database, scenario) == ([2, 0], 1, processes)


def test_what_was_cleared_does_not_fire_and_what_has_fired_cannot_be_cleared(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        await begin(engine, a=1.0, b=1.0)
        async with begin_immediate(engine) as connection:
            cleared = [
                await DEADLINES.clear(connection, process) for process in ("a", "a", "unknown")
            ]
        fired = await Worker(engine).fire()
        async with begin_immediate(engine) as connection:
            cleared.append(await DEADLINES.clear(connection, "b"))
        return cleared, fired, await said(engine)

    assert play(database, scenario) == (
        [True, False, False, False],
        1,
        [("b", "business-1", "event-0")],
    )


def test_a_process_keeps_its_first_deadline(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        await begin(engine, a=1.0)
        await begin(engine, a=1e9)
        return await Worker(engine).fire()

    assert play(sqlite_url, scenario) == 1


def test_of_workers_at_the_same_moment_one_fires_each(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        await begin(engine, a=1.0, b=2.0, c=3.0)
        ids = numbered()
        fired = await asyncio.gather(*(Worker(engine, ids=ids).fire() for _ in range(4)))
        return sum(fired), sorted(process for process, _, _ in await said(engine))

    assert play(database, scenario) == (3, ["a", "b", "c"])


def test_a_deadline_whose_work_fails_stays_and_says_nothing(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        await begin(engine, a=1.0)
        with pytest.raises(ZeroDivisionError):
            await Worker(engine, fail={"a"}).fire()
        between = await said(engine)
        return between, await Worker(engine).fire()

    assert play(sqlite_url, scenario) == ([], 1)


def test_those_whose_work_fails_hold_up_none_of_the_others_however_few_are_fired_at_once(
    database: str,
) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        await begin(engine, a=1.0, b=1.0, c=1.0, d=2.0, e=3.0)
        worker = Worker(engine, fail={"a", "b"})
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match=r"^a$"):
                await worker.fire(limit=2)
        return [process for process, *_ in await said(engine)]

    assert play(database, scenario) == ["c", "d", "e"]


def test_another_services_deadlines_are_not_fired(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        async with begin_immediate(engine) as connection:
            await Deadlines("others").set(connection, "a", 1.0, cause=CAUSE)
        return await Worker(engine).fire()

    assert play(sqlite_url, scenario) == 0
