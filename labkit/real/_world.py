"""The real world: `labkit.world.World` on real servers and real time.

A server starts when the scenario first asks for a client of it; the time that takes is not counted.
All of them stop when the run ends, however it ends.

Leaves out: messages in the history (what crosses a real wire is not seen), and the faults that
`_fault_injection` refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import httpx
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.real._clients import NodeTransport, OwnedEngine, OwnedPool, redis_client
from labkit.real._fault_injection import FaultInjection, Server
from labkit.real._nodes import Life, RealNode, here, in_background
from labkit.real.external_servers import ExternalPostgres, ExternalRedis, external_server
from labkit.real.servers import Postgres, Valkey
from labkit.world import LAB, ASGIApp, Event, Fault
from labkit.world.base import WorldBase


class RealWorld(WorldBase):
    """See `labkit.world.World`. It is made inside the running loop it works on."""

    def __init__(self, seed: int | None, faults: Sequence[Fault]) -> None:
        super().__init__(seed)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._nodes: dict[str, RealNode] = {}
        self._servers: dict[str, Server] = {}
        self.faults = FaultInjection(self, self._nodes, self._servers, faults)
        self._pools: list[OwnedPool] = []
        self._engines: list[OwnedEngine] = []
        self._services: dict[str, ASGIApp] = {}
        self._hanging_up: list[asyncio.Task[None]] = []
        self._closing = AsyncExitStack()
        self.faults.arm()

    def __repr__(self) -> str:
        return f"<real world, seed {self.seed}>"

    # -- what a scenario asks for

    def now(self) -> float:
        """Seconds since the run began, without the time in which servers were started."""
        return self._loop.time() - self._began

    def clock(self) -> float:
        """The wall clock of the node this is called on: seconds since 1970."""
        name = self.here()
        return time.time() if name == LAB else self.node(name).clock()

    def here(self) -> str:
        """The name of the node this is called on."""
        return here()

    def node(self, name: str) -> RealNode:
        """The node of this name, made at the first call."""
        if not name or name == LAB:
            raise ValueError(
                f"a node needs a name, and {LAB!r} is the experimenter's; got {name!r}"
            )
        if name in self._servers:
            raise ValueError(f"{name!r} is a server's name: nothing can be run on it")
        if name not in self._nodes:
            self._nodes[name] = RealNode(self, name, self._close_those_of)
            self.faults.strike_the_late(name)
        return self._nodes[name]

    def redis(self, server: str = "redis", *, timeout: float = 1.0) -> Redis:
        """A client of the Valkey server `server`. It abandons a call after `timeout` seconds and
        does not retry.
        """
        client = redis_client(self._redis_url(server), _positive(timeout))
        assert isinstance(client.connection_pool, OwnedPool)
        self._pools.append(client.connection_pool)
        self._closing.push_async_callback(client.connection_pool.disconnect)
        return client

    def blocking_redis(self, server: str = "redis") -> BlockingRedis:
        """A *synchronous* client: every call freezes the event loop, here that of all nodes."""
        return BlockingRedis.from_url(self._redis_url(server))

    def database(self, server: str = "database", *, timeout: float = 5.0) -> AsyncEngine:
        """An engine for the PostgreSQL server `server`; `timeout` bounds each statement, in
        seconds.
        """
        found = self._server(server, Postgres)
        schema = found.schema if isinstance(found, ExternalPostgres) else None
        owned = OwnedEngine(found.url, _positive(timeout), schema)
        self._engines.append(owned)
        self._closing.push_async_callback(owned.engine.dispose)
        return owned.engine

    def http(self, *, timeout: float = 5.0) -> httpx.AsyncClient:
        """A client to which the names given to `serve` are hosts."""
        return httpx.AsyncClient(
            transport=NodeTransport(self.node, self._services),
            timeout=_positive(timeout),
            trust_env=False,
        )

    def serve(self, name: str, app: ASGIApp) -> None:
        """Serve an ASGI app on node `name`, under that host name."""
        self.node(name)
        self._services[name] = app

    # -- servers

    def _redis_url(self, server: str) -> str:
        return self._server(server, Valkey).url

    def _server(self, name: str, kind: type[Valkey] | type[Postgres]) -> Server:
        if name in self._nodes:
            raise ValueError(f"{name!r} is the name of a node; a server needs another one")
        if name not in self._servers:
            before = self._loop.time()
            server = _external(name) or kind()
            self._closing.callback(server.stop)
            self.faults.check_server(name, server)
            server.start()
            self._servers[name] = server
            self._began += self._loop.time() - before
            self.faults.strike_the_late(name)
        found = self._servers[name]
        external = ExternalRedis if kind is Valkey else ExternalPostgres
        if not isinstance(found, kind | external):
            raise ValueError(f"{name!r} is the name of a {type(found).__name__} server already")
        return found

    def _on_event(self, event: Event) -> None:
        self.faults.on_event(event)

    @property
    def lives(self) -> list[Life]:
        """Every life of every node."""
        return [life for node in self._nodes.values() for life in node.lives]

    def _close_those_of(self, life: Life) -> None:
        """Close the connections that crashed nodes were using."""
        for engine in self._engines:
            engine.close_those_of(life)
        for pool in self._pools:
            closing = self._loop.create_task(pool.close_those_of(life), context=in_background())
            self._hanging_up.append(closing)

    # -- the end

    async def close(self) -> None:
        """Close every client, stop every server, and remove what they held."""
        self.finish()
        for server in self._servers.values():
            if isinstance(server, Valkey | Postgres):
                server.wake()
        async with self._closing:
            await asyncio.gather(*self.faults.restarts, *self._hanging_up)


def _external(name: str) -> Server | None:
    """The reader's own server of this name, if an environment variable names one."""
    if name == "redis":
        return external_server(ExternalRedis)
    if name == "database":
        return external_server(ExternalPostgres)
    return None


def _positive(timeout: float) -> float:
    if not 0 < timeout < float("inf"):
        raise ValueError(f"timeout must be a positive number of seconds, got {timeout!r}")
    return timeout
