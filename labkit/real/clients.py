"""The clients a real world hands out, which know on whose behalf each connection is in use.

A connection of a node that dies is closed, as the kernel closes those of a dead process: PostgreSQL
then rolls its transaction back. What a node is about to send when it is paused or dies stays with
it (`checkpoint`). Clients do not retry: redis-py's default of several silent retries would execute
a command again whose answer was late.

Left out: the connections of `blocking_redis`, which stop the whole loop and so belong to no node.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from labkit.real.lives import LIFE, Life, checkpoint

_GRACE = 0.5
"""A statement's time-out is PostgreSQL's own, which rolls back and says so; the client gives up
this much later, in seconds.
"""


class OwnedPool(ConnectionPool):
    """A pool of Redis connections that knows which life uses each of them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._users: dict[AbstractConnection, Life] = {}

    async def get_connection(self, *args: Any, **options: Any) -> AbstractConnection:
        """A connection for the node this is called on."""
        await checkpoint()
        connection: AbstractConnection = await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
        if (life := LIFE.get()) is not None:
            self._users[connection] = life
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Back to the pool."""
        self._users.pop(connection, None)
        await super().release(connection)

    async def close_those_of(self, life: Life) -> None:
        """Close the connections that the dead were using."""
        for connection in [used for used, user in self._users.items() if user is life]:
            await connection.disconnect(nowait=True)


def redis_client(url: str, timeout: float) -> Redis:
    """A client that gives a call up after `timeout` seconds and does not retry."""
    pool = OwnedPool.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )
    return Redis.from_pool(pool)


class OwnedEngine:
    """An engine, and which life uses each of its connections."""

    def __init__(self, url: str, timeout: float, schema: str | None) -> None:
        settings = {"statement_timeout": str(int(timeout * 1000)), "application_name": "labkit"}
        if schema is not None:
            settings["search_path"] = schema
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=20,
            max_overflow=20,
            pool_timeout=timeout,
            connect_args={
                "timeout": timeout,
                "command_timeout": timeout + _GRACE,
                "server_settings": settings,
            },
        )
        self._users: dict[Any, Life] = {}
        engine = self.engine.sync_engine
        event.listen(engine, "checkout", self._checked_out)
        event.listen(engine, "checkin", self._checked_in)
        for sending in ("before_cursor_execute", "commit", "rollback"):
            event.listen(engine, sending, _before_sending)

    def _checked_out(self, connection: Any, record: Any, proxy: Any) -> None:
        if (life := LIFE.get()) is not None:
            self._users[record] = life

    def _checked_in(self, connection: Any, record: Any) -> None:
        self._users.pop(record, None)

    def close_those_of(self, life: Life) -> None:
        """Close the connections that the dead were using."""
        for record in [used for used, user in self._users.items() if user is life]:
            if record.driver_connection is not None:
                record.driver_connection.terminate()


def _before_sending(*args: Any) -> None:
    life = LIFE.get()
    if life is not None and life.stopped:
        await_only(asyncio.sleep(0))
