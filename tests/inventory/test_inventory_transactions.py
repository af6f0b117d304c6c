"""`begin_immediate`: the same words mean the same on both databases, and a failure says whether it
happened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from labkit.base.errors import DatabaseUnavailable
from labkit.base.transactions import begin_immediate, is_temporary, reading, use_write_ahead_log
from labkit.inventory.stock import Inventory, create_inventory, inventory, row_locked
from tests.support.engines import engine_on, lost_commit, sqlite_threads_have_ended


def on(
    url: str, scenario: Callable[[AsyncEngine], Awaitable[Any]], *, busy_timeout: float = 30.0
) -> Any:
    async def run() -> Any:
        async with engine_on(url, busy_timeout=busy_timeout) as engine:
            await create_inventory(engine, {"tent": 5})
            return await scenario(engine)

    return asyncio.run(run())


async def tents(engine: AsyncEngine) -> int:
    return await Inventory(engine).stock("tent")


sell_one = update(inventory).values(stock=inventory.c.stock - 1)


def test_the_end_of_the_block_commits_and_an_exception_in_it_rolls_back(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        async with begin_immediate(engine) as connection:
            await connection.execute(sell_one)
        with pytest.raises(ZeroDivisionError):
            async with begin_immediate(engine) as connection:
                await connection.execute(sell_one)
                raise ZeroDivisionError
        assert await tents(engine) == 4

    on(database, scenario)


def test_an_engine_that_begins_by_an_event_can_have_a_write_ahead_log_too(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> str:
        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN")

        await use_write_ahead_log(engine)
        async with engine.connect() as connection:
            return str((await connection.exec_driver_sql("PRAGMA journal_mode")).scalar())

    async def run() -> str:
        async with engine_on(sqlite_url) as engine:
            return await scenario(engine)

    assert asyncio.run(run()) == "wal"


@pytest.mark.parametrize("writes_first", [True, False])
@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_a_failed_block_leaves_nothing_also_on_an_engine_that_does_not_begin_by_itself(
    sqlite_url: str, level: Any, writes_first: bool
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        levelled = engine.execution_options(isolation_level=level)
        with pytest.raises(ZeroDivisionError):
            async with begin_immediate(levelled, writes_first=writes_first) as connection:
                await connection.execute(sell_one)
                raise ZeroDivisionError
        assert await tents(engine) == 5

    on(sqlite_url, scenario)


@pytest.mark.parametrize("writes_first", [True, False])
def test_on_sqlite_what_is_read_after_a_first_write_is_nobody_elses_to_change(
    sqlite_url: str, writes_first: bool
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        async def sell() -> int:
            async with begin_immediate(engine, writes_first=writes_first) as connection:
                await connection.execute(sell_one)
                left: int = (await connection.execute(select(inventory.c.stock))).scalar_one()
                await asyncio.sleep(0)
                await connection.execute(update(inventory).values(fence=inventory.c.fence + left))
                return left

        assert sorted(await asyncio.gather(*[sell() for _ in range(5)])) == [0, 1, 2, 3, 4]
        async with reading(engine) as connection:
            assert (await connection.execute(select(inventory.c.fence))).scalar_one() == 10

    on(sqlite_url, scenario)


def test_on_sqlite_nobody_writes_between_its_first_read_and_its_commit(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        async with begin_immediate(engine):
            with pytest.raises(DatabaseUnavailable) as refused:
                async with begin_immediate(engine):
                    raise AssertionError("a second writer was let in")
            assert refused.value.outcome == "failed"

    on(sqlite_url, scenario, busy_timeout=0.0)


def test_with_a_write_ahead_log_a_reader_does_not_keep_a_writer_from_committing(
    sqlite_url: str,
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        await use_write_ahead_log(engine)
        async with engine.connect() as reader:
            await reader.exec_driver_sql("BEGIN")
            before = await reader.scalar(select(inventory.c.stock))
            assert await Inventory(engine).sell("tent", 1) == 4
            assert await reader.scalar(select(inventory.c.stock)) == before == 5

    on(sqlite_url, scenario, busy_timeout=0.0)


def test_without_one_a_commit_finds_a_reader_in_its_way_and_cannot_say_how_it_ended(
    sqlite_url: str,
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        async with engine.connect() as reader:
            await reader.exec_driver_sql("BEGIN")
            await reader.scalar(select(inventory.c.stock))
            with pytest.raises(DatabaseUnavailable) as busy:
                await Inventory(engine).sell("tent", 1)
            assert busy.value.outcome == "unknown"
        assert await tents(engine) == 5, (
            "and the connection that failed did not go back to the pool with its transaction open"
        )

    on(sqlite_url, scenario, busy_timeout=0.0)


def test_an_engine_that_begins_by_an_event_is_asked_for_an_immediate_begin(sqlite_url: str) -> None:
    async def scenario(_: AsyncEngine) -> list[str]:
        engine = create_async_engine(sqlite_url)
        begun: list[str] = []

        @event.listens_for(engine.sync_engine, "connect")
        def leave_transactions_to_us(connection: Any, _: Any) -> None:
            connection.isolation_level = None

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            begun.append(f"BEGIN {connection.get_execution_options().get('sqlite_begin', '')}")
            connection.exec_driver_sql(begun[-1])

        assert await Inventory(engine, row_locked).sell("tent", 1) == 4
        assert await tents(engine) == 4
        await engine.dispose()
        return begun

    assert on(sqlite_url, scenario) == ["BEGIN IMMEDIATE", "BEGIN "]


def test_a_commit_whose_answer_is_lost_is_unknown_whether_it_happened_or_not(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        for executed, left in ((True, 4), (False, 4)):
            with lost_commit(engine, executed=executed), pytest.raises(DatabaseUnavailable) as lost:
                await Inventory(engine).sell("tent", 1)
            assert lost.value.outcome == "unknown"
            assert "may have happened or not" in str(lost.value)
            assert await tents(engine) == left

    on(database, scenario)


def test_waiting_for_another_writer_ends_in_time_and_nothing_was_committed(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        async with begin_immediate(engine) as other:
            await other.execute(sell_one)
            with pytest.raises(DatabaseUnavailable) as late:
                await Inventory(engine, within=0.5).sell("tent", 1)
            assert late.value.outcome == "failed"
        assert await tents(engine) == 4

    on(database, scenario, busy_timeout=0.1)


def test_a_block_that_takes_too_long_is_ended_and_rolled_back(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(
            DatabaseUnavailable, match="did not answer in time; nothing was committed"
        ):
            async with begin_immediate(engine, within=0.2) as connection:
                await connection.execute(sell_one)
                await asyncio.Event().wait()
        assert await tents(engine) == 5

    on(database, scenario)


def test_postgresql_is_told_the_time_limit_and_forgets_it_with_the_transaction(
    postgres_url: str,
) -> None:
    settings = ("statement_timeout", "idle_in_transaction_session_timeout")

    async def scenario(engine: AsyncEngine) -> None:
        async with begin_immediate(engine, within=2.5) as connection:
            assert [await connection.scalar(text(f"SHOW {name}")) for name in settings] == [
                "2500ms",
                "2500ms",
            ]
        async with reading(engine) as connection:
            assert [await connection.scalar(text(f"SHOW {name}")) for name in settings] == [
                "0",
                "0",
            ]

    on(postgres_url, scenario)


def test_postgresql_ends_the_transaction_of_a_client_that_stopped(postgres_url: str) -> None:
    """The process sleeps with its transaction open, as in a garbage collection; the server does not
    wait for it.
    """

    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
            async with begin_immediate(engine, within=0.3) as connection:
                await connection.execute(sell_one)
                time.sleep(2.0)  # noqa: ASYNC251 - the pause is the point
        assert await tents(engine) == 5

    on(postgres_url, scenario)


def test_the_reason_is_the_same_whether_the_client_or_postgresql_is_first_to_end_it(
    postgres_url: str,
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        for _ in range(
            20
        ):  # they have the same limit, and in about half of the runs the server is first
            with pytest.raises(
                DatabaseUnavailable, match="did not answer in time; nothing was committed"
            ):
                async with begin_immediate(engine, within=0.05) as connection:
                    await connection.execute(sell_one)
                    await asyncio.Event().wait()
        assert await tents(engine) == 5

    on(postgres_url, scenario)


def test_mistakes_in_a_statement_are_not_called_unavailability(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        for mistake in ("SELECT nothing FROM nowhere", "SELEC 1"):
            with pytest.raises(DBAPIError) as wrong:
                async with begin_immediate(engine) as connection:
                    await connection.execute(text(mistake))
            assert not is_temporary(wrong.value)
            with pytest.raises(DBAPIError):
                async with reading(engine) as connection:
                    await connection.execute(text(mistake))
        with pytest.raises(IntegrityError):
            async with begin_immediate(engine) as connection:
                await connection.execute(insert(inventory).values(sku="tent", stock=1))

    on(database, scenario)


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        engine = create_async_engine(url)
        with pytest.raises(DatabaseUnavailable) as down:
            await Inventory(engine).sell("tent", 1)
        assert down.value.outcome == "failed"
        with pytest.raises(DatabaseUnavailable):
            await Inventory(engine).stock("tent")
        await engine.dispose()
        await sqlite_threads_have_ended()

    asyncio.run(scenario(f"sqlite+aiosqlite:///{tmp_path}/no/such/directory/shop.db"))
    asyncio.run(scenario(f"postgresql+asyncpg://postgres@/postgres?host={tmp_path}"))


def test_a_deadlock_in_postgresql_fails_one_of_the_two_and_says_so(postgres_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        await create_inventory(engine, {"mat": 5})
        both_hold_one = asyncio.Barrier(2)

        async def sell(first: str, second: str) -> None:
            async with begin_immediate(engine) as connection:
                await connection.execute(sell_one.where(inventory.c.sku == first))
                await both_hold_one.wait()
                await connection.execute(sell_one.where(inventory.c.sku == second))

        ends = await asyncio.gather(
            sell("tent", "mat"), sell("mat", "tent"), return_exceptions=True
        )
        (victim,) = (end for end in ends if end is not None)
        assert isinstance(victim, DatabaseUnavailable) and victim.outcome == "failed"
        assert (await tents(engine), await Inventory(engine).stock("mat")) == (4, 4)

    on(postgres_url, scenario)


@pytest.mark.parametrize("within", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_limit_that_is_none_is_refused(sqlite_url: str, within: float) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        for block in (begin_immediate, reading):
            with pytest.raises(ValueError, match="within must be more than 0 seconds"):
                async with block(engine, within=within):
                    pass

    on(sqlite_url, scenario)


def test_a_server_that_is_still_starting_up_is_unavailable_and_nothing_happened() -> None:
    exceptions = pytest.importorskip("asyncpg").exceptions
    refusal = exceptions.CannotConnectNowError(
        "the database system is starting up"
    )  # SQLAlchemy lets it through as it is

    async def refuse(*_: Any, **__: Any) -> Any:
        raise refusal

    async def scenario() -> None:
        engine = create_async_engine("postgresql+asyncpg://nowhere/", async_creator=refuse)
        for block in (begin_immediate, reading):
            with pytest.raises(DatabaseUnavailable) as unavailable:
                async with block(engine):
                    raise AssertionError("there was a connection")
            assert unavailable.value.outcome == "failed" and unavailable.value.__cause__ is refusal

    asyncio.run(scenario())
