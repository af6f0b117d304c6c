"""A write transaction that means the same on SQLite and on PostgreSQL, and whose failure says
whether it happened.

Shows: `begin_immediate(engine, within=seconds)`. On SQLite it is a real `BEGIN IMMEDIATE`: the
write lock is taken before the first read, so that what is read cannot change before it is written.
On PostgreSQL it is a plain transaction; rows are locked there. `reading(engine)` is its counterpart
for reads.

Guarantees: leaving the block without an exception means committed; leaving with
`DatabaseUnavailable` means what its `outcome` says: "failed" (definitely not committed) or
"unknown" (something broke while the COMMIT was under way). `within` bounds the whole block on the
client, each statement on the server, and how long a stopped client can leave its transaction open
there.

Leaves out: retries (the caller knows whether its work may run twice) and distributed transactions.
SQLite's own waiting for a lock (`connect_args={"timeout": seconds}`) runs in a thread that cannot
be interrupted: let it be shorter than `within`.

Why a BEGIN by hand: the sqlite3 module begins only before a statement that writes, so a SELECT
before it belongs to no transaction at all. An engine that emits its own BEGIN by an event
(SQLAlchemy's recipe) is asked for an immediate one through the execution option `sqlite_begin`; any
other is taken as it comes, and nothing is configured on the engine.

Sources: sqlite.org/lang_transaction.html; SQLAlchemy 2.0, "Serializable isolation / Savepoints /
Transactional DDL" of the SQLite dialect; PostgreSQL 18, "Client Connection Defaults"
(statement_timeout, idle_in_transaction_session_timeout)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Insert, MetaData, Table, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from labkit.base.errors import DatabaseUnavailable

# SQLSTATE classes that speak of the server or of other transactions, not of this statement:
# connection, rollback (deadlock, serialization), resources, lock not available, operator
# intervention (time-out, shutdown); and two time-outs of class 25.
_TEMPORARY = ("08", "40", "53", "55", "57", "25P03", "25P04")

_OPENING = 5_413_226_817
"""The advisory lock of those who make tables; any number that no other program on the database uses
will do.
"""


@asynccontextmanager
async def begin_immediate(
    engine: AsyncEngine, *, within: float | None = None, writes_first: bool = False
) -> AsyncIterator[AsyncConnection]:
    """Run the block in one write transaction; commit at its end, roll back on any exception.

    `within`: seconds for the whole block (None: as long as the engine allows). The block should
    talk to this database only. `writes_first`: its first statement is an INSERT, UPDATE or DELETE
    (with no WITH before it), which on SQLite takes the lock by itself: the BEGIN is saved. Raises
    `ValueError` for a `within` that leaves no time, `DatabaseUnavailable` for everything that is
    the database's doing."""
    _validate(within)
    committing = False
    try:
        async with asyncio.timeout(within) as limit, engine.connect() as connection:
            if not writes_first:
                await connection.execution_options(sqlite_begin="IMMEDIATE")
            async with (
                connection.begin()
            ):  # commits at its end; `commit()` in here would leave a failed one open in the pool
                await _begin(connection, writes_first)
                if within is not None:
                    await _limit_statements(connection, within)
                yield connection
                committing = True
    except Exception as error:
        if not is_temporary(error):
            raise
        raise DatabaseUnavailable(
            "unknown" if committing else "failed", _reason(error, limit)
        ) from error


@asynccontextmanager
async def reading(
    engine: AsyncEngine, *, within: float | None = None
) -> AsyncIterator[AsyncConnection]:
    """Run the block on a connection to read from, for at most `within` seconds. Raises
    `DatabaseUnavailable`.
    """
    _validate(within)
    try:
        async with asyncio.timeout(within) as limit, engine.connect() as connection:
            yield connection
    except Exception as error:
        if not is_temporary(error):
            raise
        raise DatabaseUnavailable("failed", _reason(error, limit)) from error


async def use_write_ahead_log(engine: AsyncEngine) -> None:
    """On SQLite, let the database file keep a write-ahead log, for good: readers and the writer no
    longer block each other.

    Without it a COMMIT can find the database locked by a reader.
    """
    if engine.dialect.name == "sqlite":
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            async with driver.execute(
                "PRAGMA journal_mode=WAL"
            ):  # past SQLAlchemy, which might begin a transaction first
                pass


def is_temporary(error: BaseException) -> bool:
    """Whether `error` is the database's state (down, busy, slow, a lock, a deadlock) and not a
    fault of the statement.
    """
    if isinstance(error, (PoolTimeout, OSError)):
        return True
    if not isinstance(
        error, DBAPIError
    ):  # asyncpg's refusal of a connection comes as it is: "the database is starting up"
        return str(getattr(error, "sqlstate", "")).startswith(_TEMPORARY)
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state is not None:
        return error.connection_invalidated or str(state).startswith(_TEMPORARY)
    return (
        isinstance(error, OperationalError)
        and getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
    )


def _validate(within: float | None) -> None:
    if within is not None and not 0 < within < float("inf"):
        raise ValueError(f"within must be more than 0 seconds and finite, or None, got {within!r}")


class _InsertIfNew(Insert):
    """Both dialects have a construct of their own for this, but neither is cached: it is compiled
    anew for each row.
    """

    inherit_cache = True


@compiles(_InsertIfNew)
def _on_conflict_do_nothing(insert: _InsertIfNew, compiler: SQLCompiler, **options: Any) -> str:
    plain: str = compiler.visit_insert(insert, **options)  # type: ignore[no-untyped-call]
    return f"{plain} ON CONFLICT DO NOTHING"


def insert_if_new(table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING: whether a row was there before is in the row count. It takes
    no RETURNING.

    Better than catching the IntegrityError of a plain INSERT. On aiosqlite the cursor of a
    statement that failed is freed on the event loop's thread, which then waits for whatever that
    connection does next: it may be waiting for this very loop."""
    return _InsertIfNew(table).inline()  # without RETURNING, which would have to stand behind


async def create_tables(connection: AsyncConnection, *wanted: MetaData) -> None:
    """Create the tables that are missing. Of processes that start at once one does it, and the
    others wait for its commit.

    On PostgreSQL by an advisory lock: two CREATE TABLE of one name at once end in an error there,
    with IF NOT EXISTS too. On SQLite the transaction is alone anyway (`begin_immediate`)."""
    await one_at_a_time(connection)
    for metadata in wanted:
        await connection.run_sync(metadata.create_all)


async def one_at_a_time(connection: AsyncConnection) -> None:
    """Wait for whoever else on this database has called this, until their transaction ends."""
    if connection.dialect.name == "postgresql":
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(:opening)"), {"opening": _OPENING}
        )


async def _begin(connection: AsyncConnection, writes_first: bool) -> None:
    if connection.dialect.name != "sqlite" or connection.sync_connection is None:
        return
    driver: Any = connection.sync_connection.connection.driver_connection
    begins_by_itself = writes_first and driver.isolation_level is not None
    if not driver.in_transaction and not begins_by_itself:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _limit_statements(connection: AsyncConnection, seconds: float) -> None:
    if connection.dialect.name != "postgresql":
        return
    limit = f"{max(1, int(seconds * 1000))}ms"
    both = "SELECT set_config('statement_timeout', :limit, true), set_config('idle_in_transaction_session_timeout', :limit, true)"
    await connection.execute(text(both), {"limit": limit})


def _reason(error: BaseException, limit: asyncio.Timeout) -> str:
    end = limit.when()
    late = (
        end is not None and asyncio.get_running_loop().time() >= end
    )  # the server, which has the same limit, may be first
    if late or isinstance(error, TimeoutError):
        return "the database did not answer in time"
    if isinstance(error, PoolTimeout):
        return "no database connection was free in time"
    return "the database is not available"
