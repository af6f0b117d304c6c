"""An asynchronous engine on a SQLite file that goes to the database's thread once for each statement.

aiosqlite does what it does in one thread per connection: a cursor is made there, a statement executed, its rows fetched, the
cursor closed, four visits, and each wakes two threads. At the end SQLAlchemy's pool rolls back what has been committed, a
fifth. Where a commit takes a fraction of a millisecond, as in a write-ahead log, the visits are most of the time.

Shows: the same in one visit. A statement is executed, read and closed before the thread answers; a rollback is left out where
there is nothing to roll back.

Guarantees: what SQLite does, and in which order, is the same as with SQLAlchemy's own engine. A statement that failed is
closed in its thread: with aiosqlite alone it is closed in the event loop's, which can stand still for the whole busy time-out.

Leaves out: streaming (the rows of a statement are read at once), and databases in memory (each connection would have its own).

Sources: aiosqlite 0.22, `core.py`; SQLAlchemy 2.0, `dialects/sqlite/aiosqlite.py`; PEP 249.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import aiosqlite
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def sqlite_engine(path: str | os.PathLike[str], *, busy_timeout: float = 5.0, **options: Any) -> AsyncEngine:
    """An engine on the SQLite file at `path`, which is made if it is not there.

    `busy_timeout`: seconds that a statement waits for another connection's write. It waits in its thread, where nothing can
    interrupt it: let it be shorter than the `within` of your transactions. `options`: of SQLAlchemy's `create_async_engine`.
    Raises `ValueError` for a path that is not a file's and for a negative time.
    """
    file = os.fspath(path)
    if not file or file.startswith((":memory:", "file:")):
        raise ValueError(f"path must be that of a file, got {file!r}")
    if not 0 <= busy_timeout < float("inf"):
        raise ValueError(f"busy_timeout must be at least 0 seconds and finite, got {busy_timeout!r}")

    async def connect(*_: Any, **__: Any) -> aiosqlite.Connection:
        return await _Connection(lambda: sqlite3.connect(file, timeout=busy_timeout))

    return create_async_engine(URL.create("sqlite+aiosqlite", database=file), async_creator=connect, **options)


class _Connection(aiosqlite.Connection):
    """aiosqlite's, with a cursor of ours."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._thread.daemon = True  # a connection that was forgotten must not keep the process alive
        self._sure = True

    async def visit(self, work: Callable[[], object]) -> None:
        """Do this in the thread. Until it has answered well, nobody knows whether a transaction is open there."""
        self._sure = False
        await self._execute(work)  # type: ignore[no-untyped-call]
        self._sure = True

    async def cursor(self) -> _Statement:  # type: ignore[override]
        return _Statement(self)

    async def commit(self) -> None:
        await self.visit(self._conn.commit)

    async def rollback(self) -> None:
        if not self._sure or self.in_transaction:
            await self.visit(self._conn.rollback)


class _Statement:
    """A statement: executed, read and closed in one visit. What SQLAlchemy asks of a cursor is here, and no more."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def execute(self, sql: str, parameters: Any = ()) -> None:
        await self._connection.visit(partial(self._do, sqlite3.Cursor.execute, sql, parameters))

    async def executemany(self, sql: str, parameters: Any) -> None:
        await self._connection.visit(partial(self._do, sqlite3.Cursor.executemany, sql, parameters))

    def _do(self, how: Callable[[sqlite3.Cursor, str, Any], object], sql: str, parameters: Any) -> None:
        with closing(self._connection._conn.cursor()) as cursor:
            how(cursor, sql, parameters)
            self.description = cursor.description
            self._rows.extend(cursor.fetchall() if self.description else ())
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid

    async def fetchone(self) -> Any:
        return self._rows.popleft() if self._rows else None

    async def fetchmany(self, size: int = 1) -> list[Any]:
        return [self._rows.popleft() for _ in range(min(size, len(self._rows)))]

    async def fetchall(self) -> list[Any]:
        return await self.fetchmany(len(self._rows))

    async def close(self) -> None:
        return None
