"""The clients that a real world hands out: of Redis, of SQL and of the apps that its nodes serve.

They know on whose behalf each connection is in use. A connection of a node that dies is closed, as
an operating system closes those of a dead process: PostgreSQL then rolls its transaction back. What
a node is about to send when it is paused or dies stays with it (`checkpoint`). Clients do not
retry: redis-py's default of several silent retries would execute a command again whose answer was
late.

An HTTP request runs as a task on the callee's node, in a fresh context, so that nothing but its
headers crosses the hop. A client that hears nothing within its read time-out gets
`httpx.ReadTimeout`, and the handler runs on: it may have happened.

Leaves out: the connections of `blocking_redis`, which stop the whole loop and so belong to no node.
HTTP has no sockets (the app is called in this process), no streaming (bodies are whole) and no
lifespan events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from labkit.real._nodes import LIFE, Life, RealNode, checkpoint
from labkit.world import ASGIApp

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
        """Return the connection to the pool."""
        self._users.pop(connection, None)
        await super().release(connection)

    async def close_those_of(self, life: Life) -> None:
        """Close the connections that crashed nodes were using."""
        for connection in [used for used, user in self._users.items() if user is life]:
            await connection.disconnect(nowait=True)


def redis_client(url: str, timeout: float) -> Redis:
    """A client that abandons a call after `timeout` seconds and does not retry."""
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
        """Close the connections that crashed nodes were using."""
        for record in [used for used, user in self._users.items() if user is life]:
            if record.driver_connection is not None:
                record.driver_connection.terminate()


def _before_sending(*args: Any) -> None:
    life = LIFE.get()
    if life is not None and life.stopped:
        await_only(asyncio.sleep(0))


class NodeTransport(httpx.AsyncBaseTransport):
    """Carries requests to the apps that nodes serve. `node` finds a node by its name."""

    def __init__(self, node: Callable[[str], RealNode], services: dict[str, ASGIApp]) -> None:
        self._node = node
        self._services = services

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Run the callee's app for this request, and wait for its answer until the client's
        time-out.
        """
        await checkpoint()
        host = request.url.host
        app = self._services.get(host)
        if app is None:
            known = ", ".join(sorted(self._services)) or "none"
            raise httpx.ConnectError(
                f"no service named {host!r}; served are: {known}", request=request
            )
        node = self._node(host)
        life = node.life
        if life.dead:
            raise httpx.ConnectError(f"connection refused by {host}", request=request)
        copy = httpx.Request(
            request.method, request.url, headers=request.headers, content=await request.aread()
        )
        answer = asyncio.get_running_loop().create_task(
            _answer(app, copy),
            name=f"{host}: {request.method} {request.url.path}",
            context=node.context(),
        )
        patience = request.extensions.get("timeout", {}).get("read")
        either: list[asyncio.Future[Any]] = [answer, life.death]
        await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            response = answer.result()
            response.request = request
            return response
        if life.dead:
            raise httpx.RemoteProtocolError(f"{host} closed the connection", request=request)
        raise httpx.ReadTimeout(f"no answer from {host} within {patience:g} s", request=request)


async def _answer(app: ASGIApp, request: httpx.Request) -> httpx.Response:
    response = await httpx.ASGITransport(app, raise_app_exceptions=False).handle_async_request(
        request
    )
    return httpx.Response(
        response.status_code, headers=response.headers, content=await response.aread()
    )
