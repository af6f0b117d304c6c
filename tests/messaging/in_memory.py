"""A database in memory that is a value: a life of an orchestrator starts from its bytes and leaves
other bytes behind.

So thousands of crashes can be tried, each from exactly the state that the one before left; and
whatever recovers has the bytes and nothing else. The engine is SQLAlchemy's own, on aiosqlite whose
work is done in line instead of in a thread."""

from __future__ import annotations

import sqlite3
from typing import Any

import aiosqlite
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from labkit.sim.sql import InLine, NoThread


class _Connection(aiosqlite.Connection):
    def __init__(self, raw: sqlite3.Connection) -> None:
        super().__init__(lambda: raw, iter_chunk_size=64)
        self._tx = InLine()  # type: ignore[assignment]
        self._thread = NoThread()  # type: ignore[assignment]
        self.raw = raw

    async def close(self) -> None:
        self.raw.rollback()  # the database outlives its connections
        self._connection = None

    def stop(self) -> None:
        self.raw.rollback()
        self._connection = None


class Memory:
    """One database; `bytes` is what is committed in it, `raw` its one connection, as `sqlite3` has
    it.
    """

    def __init__(self) -> None:
        self.raw = self._open()

        async def connect(*_: Any, **__: Any) -> aiosqlite.Connection:
            return await _Connection(self.raw)

        self.engine = create_async_engine(
            "sqlite+aiosqlite://", async_creator=connect, poolclass=NullPool
        )

    @staticmethod
    def _open() -> sqlite3.Connection:
        return sqlite3.connect(":memory:", check_same_thread=False)

    @property
    def bytes(self) -> bytes:
        self.raw.rollback()
        return self.raw.serialize()

    @bytes.setter
    def bytes(self, value: bytes) -> None:
        self.raw.close()
        self.raw = self._open()
        self.raw.deserialize(value)
