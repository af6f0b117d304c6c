"""An asynchronous engine on a SQLite file that visits the database's thread once per statement.

aiosqlite runs each connection in a thread of its own. Creating a cursor, executing a statement,
fetching its rows and closing the cursor are four visits to that thread, and each wakes two threads.
SQLAlchemy's pool adds a fifth: it rolls back what has already been committed. With a write-ahead
log, a commit takes a fraction of a millisecond, and these visits take most of the time.

This engine does the same in one visit: a statement is executed, read and closed before the thread
answers, and a rollback is skipped if there is nothing to roll back.

Guarantees: SQLite executes the same statements in the same order as with SQLAlchemy's own engine. A
statement that failed is closed in the connection's thread; with aiosqlite alone it is closed in the
event loop's thread, which can block for the whole busy time-out.

Leaves out: streaming (all rows of a statement are read at once) and in-memory databases (each
connection would have its own).

Sources: aiosqlite 0.22, `core.py`; SQLAlchemy 2.0, `dialects/sqlite/aiosqlite.py`; PEP 249.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiosqlite
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def sqlite_engine(
    path: str | os.PathLike[str], *, busy_timeout: float = 5.0, **options: Any
) -> AsyncEngine:
    """An engine on the SQLite file at `path`, which is created if it does not exist.

    `busy_timeout`: seconds that a statement waits for another connection's write. It waits in its
    thread and cannot be interrupted, so choose less than the `within` of your transactions.
    `options`: those of SQLAlchemy's `create_async_engine`, except how to connect. Raises
    `ValueError` for those, for a path that is not a file's, and for a negative time."""
    if not os.fspath(path) or os.fspath(path).startswith((":memory:", "file:")):
        raise ValueError(f"path must be that of a file, got {os.fspath(path)!r}")
    if not 0 <= busy_timeout < float("inf"):
        raise ValueError(
            f"busy_timeout must be at least 0 seconds and finite, got {busy_timeout!r}"
        )
    if taken := {"async_creator", "connect_args", "creator", "module"} & options.keys():
        raise ValueError(f"options must not say how to connect, got {', '.join(sorted(taken))}")
    file = os.path.abspath(path)

    async def connect(*_: Any, **__: Any) -> aiosqlite.Connection:
        return await _Connection(partial(sqlite3.connect, file, timeout=busy_timeout))

    return create_async_engine(
        URL.create("sqlite+aiosqlite", database=file), async_creator=connect, **options
    )


@dataclass
class _Visits:
    """Visits to the connection's thread: `asked` for (counted in the loop's thread) and `over`
    (counted in the connection's).
    """

    asked: int = 0
    over: int = 0


class _Work:
    """One visit's work and its result. Taking the result empties it.

    The thread keeps a reference to its last work. If that led to the connection, the connection
    could never be garbage collected, which is how aiosqlite ends the thread; the rows, and the
    error with its traceback, would be kept as well."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call
        self._result: Any = None
        self._error: BaseException | None = None

    def do(self, visits: _Visits) -> None:
        call, self._call = self._call, None
        try:
            self._result = call() if call else None
        except BaseException as error:
            self._error = error
        finally:
            visits.over += 1

    def take(self) -> Any:
        result, self._result = self._result, None
        error, self._error = self._error, None
        if error is not None:
            raise error
        return result


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, with our cursor."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._thread.daemon = True  # it must not keep the process alive
        self._visits = _Visits()

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        work = _Work(partial(fn, *args, **kwargs))
        self._visits.asked += 1
        await super()._execute(work.do, self._visits)  # type: ignore[no-untyped-call]
        return work.take()

    async def cursor(self) -> _Statement:  # type: ignore[override]
        return _Statement(self, self._conn)

    async def rollback(self) -> None:
        """Skipped if no visit is under way (a cancelled one may still be) and no transaction is
        open.
        """
        if self._visits.over < self._visits.asked or self.in_transaction:
            await super().rollback()


class _Statement:
    """A cursor whose statement is executed, read and closed in one visit. It has what SQLAlchemy
    uses of a cursor, and no more.
    """

    def __init__(self, connection: _Connection, raw: sqlite3.Connection) -> None:
        self._connection, self._raw = connection, raw
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def execute(self, sql: str, parameters: Any = ()) -> None:
        await self._visit(sqlite3.Cursor.execute, sql, parameters)

    async def executemany(self, sql: str, parameters: Any) -> None:
        await self._visit(sqlite3.Cursor.executemany, sql, parameters)

    async def _visit(self, how: Callable[..., object], sql: str, parameters: Any) -> None:
        done = await self._connection._execute(_executed, self._raw, how, sql, parameters)
        self.description, self._rows, self.rowcount, self.lastrowid = done

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int = 1) -> list[Any]:
        await asyncio.sleep(0)  # a long read must not starve the loop's other tasks
        return [self._rows.popleft() for _ in range(min(size, len(self._rows)))]

    async def fetchall(self) -> deque[Any]:
        rows, self._rows = self._rows, deque()
        return rows

    async def close(self) -> None:
        return None


def _executed(
    raw: sqlite3.Connection, how: Callable[..., object], sql: str, parameters: Any
) -> tuple[Any, ...]:
    """Runs in the connection's thread: the description, the rows, the row count and the last id."""
    with closing(raw.cursor()) as cursor:
        how(cursor, sql, parameters)
        rows = deque(cursor.fetchall() if cursor.description else ())
        return cursor.description, rows, cursor.rowcount, cursor.lastrowid
