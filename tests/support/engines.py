"""Engines for tests, made as anybody would make them and closed after the test; and a way to lose
the answer to a COMMIT.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from labkit.base import sqlite_engine


@asynccontextmanager
async def engine_on(url: str, *, busy_timeout: float = 30.0) -> AsyncIterator[AsyncEngine]:
    """An engine as the course recommends it. `busy_timeout`: seconds that SQLite waits for
    another's write.
    """
    if url.startswith("sqlite"):
        engine = sqlite_engine(str(make_url(url).database), busy_timeout=busy_timeout)
    else:
        engine = create_async_engine(url)
    try:
        yield engine
    finally:
        await engine.dispose()
        await sqlite_threads_have_ended()


async def sqlite_threads_have_ended() -> None:
    """aiosqlite does not wait for the thread of a connection it gave up, and that thread reports to
    the loop at its end.

    Those of another engine that is still open do not end: five seconds are enough for the ones that
    do."""
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 5.0)


@contextmanager
def lost_commit(engine: AsyncEngine, nth: int = 1, *, executed: bool = True) -> Iterator[None]:
    """The connection breaks at the `nth` commit, after the database carried it out or before."""
    dialect: Any = engine.sync_engine.dialect
    original, seen = dialect.do_commit, 0

    def do_commit(connection: Any) -> None:
        nonlocal seen
        seen += 1
        if seen != nth or executed:
            original(connection)
        if seen == nth:
            raise ConnectionResetError("injected: the answer to COMMIT was lost")

    dialect.do_commit = do_commit
    try:
        yield
    finally:
        del dialect.do_commit
    assert seen >= nth, f"only {seen} commits"
