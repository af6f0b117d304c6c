"""A write transaction that behaves the same on SQLite and PostgreSQL, and whose failure says
whether it was committed.

`begin_immediate(engine, within=seconds)` is a real `BEGIN IMMEDIATE` on SQLite: it takes the write
lock before the first read, so that nothing that was read can change before it is written. On
PostgreSQL it is an ordinary transaction, in which rows are locked. `reading(engine)` is the
counterpart for reads.

Guarantees: if the block ends without an exception, the transaction is committed. If it ends with
`DatabaseUnavailable`, the error's `outcome` says more: "failed" (definitely not committed) or
"unknown" (something broke while the COMMIT was under way). `within` limits the whole block on the
client, each statement on the server, and the time for which a stopped client can leave its
transaction open there.

Leaves out: retries (only the caller knows whether its work may run twice) and distributed
transactions. SQLite waits for a lock in a thread that cannot be interrupted, for the seconds given
in `connect_args={"timeout": seconds}`: choose fewer than `within`.

Why we send BEGIN ourselves: the sqlite3 module begins a transaction only before a statement that
writes, so a SELECT before it runs outside of any transaction. An engine that sends its own BEGIN
from an event (SQLAlchemy's recipe) is asked for an immediate one by the execution option
`sqlite_begin`. No other engine needs to be configured.

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

# SQLSTATE classes that report the state of the server or another transaction, not a mistake in this
# statement: connection, rollback (deadlock, serialization), resources, lock not available, operator
# intervention (time-out, shutdown); and the two time-outs of class 25.
_TEMPORARY = ("08", "40", "53", "55", "57", "25P03", "25P04")

_OPENING = 5_413_226_817
"""The number of the advisory lock taken to create tables. Arbitrary, but nobody else on the
database may use it.
"""


@asynccontextmanager
async def begin_immediate(
    engine: AsyncEngine, *, within: float | None = None, writes_first: bool = False
) -> AsyncIterator[AsyncConnection]:
    """Run the block in one write transaction: commit at its end, roll back on any exception.

    `within`: seconds for the whole block (None: no limit but the engine's). The block should talk
    to this database only. `writes_first`: the first statement is an INSERT, UPDATE or DELETE
    (without a WITH), which takes SQLite's write lock by itself and saves the BEGIN. Raises
    `ValueError` if `within` is not positive, and `DatabaseUnavailable` if the database could not be
    reached, was too slow or gave up the transaction."""
    _validate(within)
    committing = False
    try:
        async with asyncio.timeout(within) as limit, engine.connect() as connection:
            if not writes_first:
                await connection.execution_options(sqlite_begin="IMMEDIATE")
            # It commits at its end. A `commit()` in here would leave a failed transaction open in
            # the pool.
            async with connection.begin():
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
    """A connection to read from, for at most `within` seconds. Raises `DatabaseUnavailable`."""
    _validate(within)
    try:
        async with asyncio.timeout(within) as limit, engine.connect() as connection:
            yield connection
    except Exception as error:
        if not is_temporary(error):
            raise
        raise DatabaseUnavailable("failed", _reason(error, limit)) from error


async def use_write_ahead_log(engine: AsyncEngine) -> None:
    """Switch a SQLite file to a write-ahead log, permanently: readers and the writer no longer
    block each other.

    Without it, a COMMIT can fail because a reader holds the file's lock.
    """
    if engine.dialect.name == "sqlite":
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            # Not through SQLAlchemy, which might begin a transaction first.
            async with driver.execute("PRAGMA journal_mode=WAL"):
                pass


def is_temporary(error: BaseException) -> bool:
    """Whether `error` comes from the state of the database (down, busy, slow, a deadlock) and not
    from the statement.
    """
    if isinstance(error, (PoolTimeout, OSError)):
        return True
    if not isinstance(error, DBAPIError):  # asyncpg's own: "the database system is starting up"
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
    """Both dialects have their own construct for this, but SQLAlchemy does not cache it and would
    compile it again for each row.
    """

    inherit_cache = True


@compiles(_InsertIfNew)
def _on_conflict_do_nothing(insert: _InsertIfNew, compiler: SQLCompiler, **options: Any) -> str:
    plain: str = compiler.visit_insert(insert, **options)  # type: ignore[no-untyped-call]
    return f"{plain} ON CONFLICT DO NOTHING"


def insert_if_new(table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING. The row count says whether the row is new. RETURNING is not
    supported.

    Better than catching the IntegrityError of a plain INSERT: on aiosqlite, the cursor of a failed
    statement is freed on the event loop's thread, which then waits for the connection's next
    operation, and that may be waiting for the loop."""
    return _InsertIfNew(table).inline()  # no RETURNING, which would have to follow the suffix


async def create_tables(connection: AsyncConnection, *wanted: MetaData) -> None:
    """Create the tables that are missing. If several processes start at once, one creates them and
    the others wait for its commit.

    PostgreSQL needs an advisory lock for that: two simultaneous CREATE TABLE of one name fail
    there, even with IF NOT EXISTS. On SQLite, `begin_immediate` already admits one writer at a
    time."""
    await one_at_a_time(connection)
    for metadata in wanted:
        await connection.run_sync(metadata.create_all)


async def one_at_a_time(connection: AsyncConnection) -> None:
    """Wait until every other transaction on this database that has called this has ended."""
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
    both = (
        "SELECT set_config('statement_timeout', :limit, true),"
        " set_config('idle_in_transaction_session_timeout', :limit, true)"
    )
    await connection.execute(text(both), {"limit": limit})


def _reason(error: BaseException, limit: asyncio.Timeout) -> str:
    end = limit.when()
    # The server has the same limit and may have been first to give up.
    late = end is not None and asyncio.get_running_loop().time() >= end
    if late or isinstance(error, TimeoutError):
        return "the database did not answer in time"
    if isinstance(error, PoolTimeout):
        return "no database connection was free in time"
    return "the database is not available"
