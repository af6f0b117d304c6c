"""An engine that goes to SQLite's thread once for each statement: it does what SQLAlchemy's own
does, and never less.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from labkit.base import begin_immediate, sqlite_engine
from labkit.base.transactions import create_tables, use_write_ahead_log
from tests.support.depth import examples

metadata = MetaData()
notes = Table(
    "notes", metadata, Column("id", Integer, primary_key=True), Column("body", Text, nullable=False)
)


def stock(path: Path) -> AsyncEngine:
    return create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 5.0})


async def opened(engine: AsyncEngine) -> AsyncEngine:
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
    return engine


async def bodies(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list((await connection.scalars(select(notes.c.body).order_by(notes.c.id))).all())


def test_a_transaction_of_two_writes_goes_to_the_thread_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = 0
    execute: Any = aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, *work: Any, **more: Any) -> Any:
        nonlocal visits
        visits += 1
        return await execute(self, *work, **more)

    async def visited(engine: AsyncEngine) -> int:
        nonlocal visits
        await opened(engine)
        visits = 0
        async with begin_immediate(engine, writes_first=True) as connection:
            await connection.execute(insert(notes), {"body": "one"})
            await connection.execute(insert(notes).returning(notes.c.id), {"body": "two"})
        assert await bodies(engine) == ["one", "two"]
        await engine.dispose()
        return visits

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    assert (
        asyncio.run(visited(sqlite_engine(tmp_path / "ours.db"))) == 3 + 1 + 1
    )  # and the reading, and closing the connection
    assert asyncio.run(visited(stock(tmp_path / "stock.db"))) > 10


async def order_while_an_error_goes(engine: AsyncEngine) -> list[str]:
    """What comes first when an error is forgotten whose connection waits for another's write.

    A holds the write lock. On B a statement fails; B's next one waits for A in its thread, and then
    the error is dropped. The loop must go on, for A can commit only there."""
    await opened(engine)
    order: list[str] = []
    async with engine.connect() as a, engine.connect() as b:
        await b.execute(insert(notes), {"id": 1, "body": "first"})
        await b.commit()
        try:
            await b.execute(insert(notes), {"id": 1, "body": "again"})
        except IntegrityError as error:
            kept: Exception | None = error
        await b.rollback()
        await a.execute(insert(notes), {"id": 2, "body": "of A"})
        begun = await noting(b, order)
        waiting = asyncio.ensure_future(b.execute(insert(notes), {"id": 3, "body": "of B"}))
        await asyncio.to_thread(begun.wait)
        assert kept is not None
        kept = None
        gc.collect()  # if it has become part of a cycle
        order.append("the loop goes on")
        await a.commit()
        with suppress(DBAPIError):  # the database is locked
            await waiting
    return order


async def noting(connection: AsyncConnection, order: list[str]) -> threading.Event:
    """From now on, the first INSERT that ends in the connection's thread adds a line to `order`.
    The event is set when SQLite begins it.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection
    execute, begun = driver._execute, threading.Event()

    def noted(work: Callable[..., Any], *given: Any, **more: Any) -> Any:
        try:
            return work(*given, **more)
        finally:
            if begun.is_set() and not order.count("B's statement ends"):
                order.append("B's statement ends")

    def seen(statement: str) -> None:
        if statement.startswith("INSERT"):
            begun.set()

    await driver.set_trace_callback(seen)
    driver._execute = lambda work, *given, **more: execute(noted, work, *given, **more)
    return begun


def test_an_error_that_is_forgotten_does_not_hold_up_the_loop_as_it_does_with_aiosqlite_alone(
    tmp_path: Path,
) -> None:
    async def both() -> tuple[list[str], list[str]]:
        ours = sqlite_engine(tmp_path / "ours.db", busy_timeout=60.0)  # never over in this test
        theirs = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path}/stock.db", connect_args={"timeout": 2.0}
        )
        try:
            return await order_while_an_error_goes(ours), await order_while_an_error_goes(theirs)
        finally:
            await ours.dispose()
            await theirs.dispose()

    goes_on, ends = "the loop goes on", "B's statement ends"
    assert asyncio.run(both()) == ([goes_on, ends], [ends, goes_on])


def test_a_write_that_is_cancelled_while_it_waits_leaves_nothing_open(tmp_path: Path) -> None:
    async def story() -> list[str]:
        engine = await opened(sqlite_engine(tmp_path / "x.db", pool_size=2, max_overflow=0))

        async def write(body: str) -> None:
            async with begin_immediate(engine, writes_first=True) as connection:
                await connection.execute(insert(notes), {"body": body})

        async with engine.connect() as a:
            await a.execute(insert(notes), {"body": "of A"})
            late = asyncio.ensure_future(write("cancelled"))
            await asyncio.sleep(0.1)  # it waits for A in its thread, where nobody can stop it
            late.cancel()
            await asyncio.sleep(0.1)
            await a.commit()
        assert (await asyncio.gather(late, return_exceptions=True))[
            0
        ].__class__ is asyncio.CancelledError
        for number in range(2):
            await write(f"after {number}")  # on either connection
        found = await bodies(engine)
        await engine.dispose()
        return found

    assert asyncio.run(story()) == ["of A", "after 0", "after 1"]


def test_a_transaction_cancelled_at_any_turn_is_whole_or_absent_and_nothing_stays_open(
    tmp_path: Path,
) -> None:
    async def story() -> set[int]:
        engine = await opened(sqlite_engine(tmp_path / "x.db", pool_size=1, max_overflow=0))
        seen = set()

        async def write() -> None:
            async with begin_immediate(engine, writes_first=True) as connection:
                await connection.execute(insert(notes), {"body": "one"})
                await connection.execute(insert(notes).returning(notes.c.id), {"body": "two"})

        for turns in range(41):
            task = asyncio.ensure_future(write())
            for _ in range(turns):
                await asyncio.sleep(
                    0 if turns % 2 else 0.0002
                )  # between two steps of the task, or while the thread works
            if turns < 40:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with closing(
                sqlite3.connect(tmp_path / "x.db", timeout=5.0)
            ) as another:  # waits for the thread, not for a lock
                another.execute("BEGIN IMMEDIATE")
                found = [body for (body,) in another.execute("SELECT body FROM notes ORDER BY id")]
                another.execute("DELETE FROM notes")
                another.commit()
            assert found in ([], ["one", "two"])
            seen.add(len(found))
        await engine.dispose()
        return seen

    assert asyncio.run(story()) == {0, 2}


def test_a_rollback_waits_for_what_was_cancelled_before_the_thread_came_to_it(
    tmp_path: Path,
) -> None:
    """SQLAlchemy gives a connection up when a statement on it is cancelled; whoever uses the driver
    by hand does not.
    """

    async def story() -> list[str]:
        engine = await opened(sqlite_engine(tmp_path / "x.db"))
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            gate = threading.Event()
            busy = asyncio.ensure_future(driver._execute(gate.wait))
            late = asyncio.ensure_future(
                (await driver.cursor()).execute("INSERT INTO notes (body) VALUES ('cancelled')")
            )
            await asyncio.sleep(0)
            late.cancel()
            undone = asyncio.ensure_future(driver.rollback())
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(busy, undone)
            await connection.execute(insert(notes), {"body": "after"})
            await connection.commit()
        found = await bodies(engine)
        await engine.dispose()
        return found

    assert asyncio.run(story()) == ["after"]


STATEMENTS: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "insert": lambda n: (insert(notes), {"id": n, "body": f"body {n}"}),
    "insert, given back": lambda n: (
        insert(notes).returning(notes.c.id, notes.c.body),
        {"body": f"back {n}"},
    ),
    "insert many": lambda n: (insert(notes), [{"body": f"many {i}"} for i in range(n)]),
    "refused": lambda n: (insert(notes), {"id": n, "body": None}),
    "update": lambda n: (notes.update().where(notes.c.id <= n).values(body="updated"), {}),
    "update, given back": lambda n: (
        notes.update().where(notes.c.id == n).values(body="u").returning(notes.c.body),
        {},
    ),
    "delete": lambda n: (notes.delete().where(notes.c.id == n), {}),
    "select": lambda n: (select(notes).where(notes.c.id >= n).order_by(notes.c.id), {}),
    "no such table": lambda n: (text("SELECT * FROM nowhere"), {}),
    "two statements": lambda n: (text("SELECT 1; SELECT 2"), {}),
}
steps = st.lists(
    st.tuples(st.sampled_from([*STATEMENTS, "commit", "rollback", "stream"]), st.integers(0, 4)),
    max_size=14,
)


async def did(connection: AsyncConnection, what: str, number: int) -> Any:
    if what in ("commit", "rollback"):
        return await (connection.commit() if what == "commit" else connection.rollback())
    if what == "stream":
        streamed = await connection.stream(select(notes.c.id).order_by(notes.c.id))
        return [await streamed.fetchone(), await streamed.fetchmany(2), await streamed.fetchall()]
    statement, values = STATEMENTS[what](number)
    try:
        result = await connection.execute(statement, values)
    except DBAPIError as error:
        return type(error.orig), str(error.orig)
    return (
        (result.keys(), result.all())
        if result.returns_rows
        else (result.rowcount, result.is_insert)
    )


async def told(engine: AsyncEngine, tried: Sequence[tuple[str, int]]) -> list[Any]:
    await opened(engine)
    async with engine.connect() as connection:
        answers = [await did(connection, *step) for step in tried]
    answers.append(await bodies(engine))
    await engine.dispose()
    return [
        list(map(str, answer)) if isinstance(answer, (list, tuple)) else str(answer)
        for answer in answers
    ]


@given(steps)
@examples("fair")
def test_whatever_is_asked_the_answers_and_the_file_are_those_of_sqlalchemys_own_engine(
    tried: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = asyncio.run(told(sqlite_engine(f"{folder}/ours.db"), tried))
        assert ours == asyncio.run(told(stock(Path(folder, "stock.db")), tried))


def test_the_file_may_have_any_name_and_the_url_does_not_read_it_otherwise(tmp_path: Path) -> None:
    async def story() -> None:
        engine = sqlite_engine(tmp_path / "50% off? #1.db", isolation_level="SERIALIZABLE")
        await use_write_ahead_log(engine)
        await opened(engine)
        await engine.dispose()

    asyncio.run(story())
    with sqlite3.connect(tmp_path / "50% off? #1.db") as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("path", ["", ":memory:", "file:x?mode=memory"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(
        ValueError, match=f"path must be that of a file, got {path!r}".replace("?", r"\?")
    ):
        sqlite_engine(path)


@pytest.mark.parametrize("option", ["connect_args", "async_creator"])
def test_another_way_to_connect_is_refused_and_not_passed_over(tmp_path: Path, option: str) -> None:
    with pytest.raises(ValueError, match=f"options must not say how to connect, got {option}"):
        sqlite_engine(tmp_path / "x.db", **{option: {}})


def test_a_path_is_that_of_the_folder_in_which_the_engine_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> list[str]:
        monkeypatch.chdir(tmp_path)
        engine = await opened(sqlite_engine("x.db"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        async with engine.connect() as one, engine.connect() as other:
            await one.execute(insert(notes), {"body": "here"})
            await one.commit()
            found = list((await other.scalars(select(notes.c.body))).all())
        await engine.dispose()
        return found

    assert asyncio.run(story()) == ["here"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("last", ["SELECT * FROM notes", "SELECT * FROM nowhere"])
def test_an_engine_that_is_forgotten_ends_its_thread(tmp_path: Path, last: str) -> None:
    async def used() -> None:
        engine = await opened(sqlite_engine(tmp_path / "x.db"))
        async with engine.connect() as connection:
            with suppress(DBAPIError):
                await connection.execute(text(last))

    before = set(threading.enumerate())
    asyncio.run(used())
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(10.0)
    assert set(threading.enumerate()) <= before


def test_an_idle_connection_keeps_neither_rows_nor_parameters(tmp_path: Path) -> None:
    class Body(str):
        """A text of which one can ask whether anybody still has it."""

    async def story() -> list[Any]:
        engine = await opened(sqlite_engine(tmp_path / "x.db", pool_size=1))
        given, read = Body("given"), []
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection

            def remembered(raw: bytes) -> Body:
                body = Body(raw, "utf-8")
                read.append(weakref.ref(body))
                return body

            driver.text_factory = remembered
            await connection.execute(text("SELECT :given"), {"given": given})
            watched = weakref.ref(given)
            del given
            await asyncio.sleep(0)
        gc.collect()
        left = [watched(), *(body() for body in read)]
        assert read
        await engine.dispose()
        return left

    assert not any(body is not None for body in asyncio.run(story()))


def test_a_connection_whose_file_handle_is_gone_is_replaced_when_the_pool_asks_first(
    tmp_path: Path,
) -> None:
    async def story() -> list[str]:
        engine = await opened(sqlite_engine(tmp_path / "x.db", pool_pre_ping=True))
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.close()
        async with begin_immediate(engine, writes_first=True) as connection:
            await connection.execute(insert(notes), {"body": "after"})
        found = await bodies(engine)
        await engine.dispose()
        return found

    assert asyncio.run(story()) == ["after"]


def test_whoever_reads_a_stream_leaves_the_loop_to_others(tmp_path: Path) -> None:
    async def story() -> int:
        engine = await opened(sqlite_engine(tmp_path / "x.db"))
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        async with engine.connect() as connection:
            await connection.execute(insert(notes), [{"body": "x"}] * 100)
            streamed = await connection.stream(select(notes))
            before = turns
            while await streamed.fetchmany(10):
                pass
            seen = turns - before
        task.cancel()
        await engine.dispose()
        return seen

    assert asyncio.run(story()) >= 10


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="busy_timeout must be at least 0 seconds and finite, got"):
        sqlite_engine(tmp_path / "x.db", busy_timeout=seconds)


def test_a_connection_that_nobody_closes_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    program = (
        "import asyncio\nfrom sqlalchemy import text\nfrom labkit.base import sqlite_engine\n"
        "async def main():\n    global kept\n"
        f"    kept = await sqlite_engine({str(tmp_path / 'x.db')!r}).connect()\n"
        "    print((await kept.execute(text('SELECT 1'))).scalar())\nasyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("1\n", 0)
