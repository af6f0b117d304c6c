"""The real world: `labkit.world.World` on real servers and real time.

A server starts when the scenario first asks for a client of it; the time that takes is not counted. Pauses and crashes of a
server are signals to its process, those of any other node are made by `labkit.real.nodes`. A server that the reader has
named by URL is not paused and not killed. Faults of the network are for the simulated world: they are refused by name.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.real.clients import OwnedEngine, OwnedPool, redis_client
from labkit.real.given import Given, GivenPostgres, GivenRedis, given
from labkit.real.http import NodeTransport
from labkit.real.nodes import LAB, Life, RealNode, here, in_background
from labkit.real.servers import Postgres, Valkey
from labkit.world import ASGIApp, Crash, Event, Fault, FaultError, Pause, Skew, Span, SpanKind
from labkit.world.base import Triggers, WorldBase

Server = Valkey | Postgres | Given


class RealWorld(WorldBase):
    """See `labkit.world.World`. It is made inside the running loop it works on."""

    def __init__(self, seed: int | None, faults: Sequence[Fault]) -> None:
        super().__init__(seed)
        self.lives: list[Life] = []
        self._faults = faults
        self._triggers = Triggers(faults)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._nodes: dict[str, RealNode] = {}
        self._servers: dict[str, Server] = {}
        self._pools: list[OwnedPool] = []
        self._engines: list[OwnedEngine] = []
        self._services: dict[str, ASGIApp] = {}
        self._early: list[Fault] = []
        self._under_way: list[asyncio.Future[None]] = []
        self._closing = AsyncExitStack()
        for fault in faults:
            if not isinstance(fault, Pause | Crash | Skew):
                kind = type(fault).__name__
                raise FaultError(f"{kind} needs the simulated world, labkit.sim; real servers know Pause, Crash and Skew")
            if fault.at is not None:
                self._strike_at(fault.at, fault)

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
            raise ValueError(f"a node needs a name, and {LAB!r} is the experimenter's; got {name!r}")
        if name in self._servers:
            raise ValueError(f"{name!r} is a server's name: nothing can be run on it")
        if name not in self._nodes:
            self._nodes[name] = RealNode(self, name)
            self._strike_the_late(name)
        return self._nodes[name]

    def redis(self, server: str = "redis", *, timeout: float = 1.0) -> Redis:
        """A client of the Valkey server `server`. It gives a call up after `timeout` seconds and does not retry."""
        client = redis_client(self._redis_url(server), _positive(timeout))
        assert isinstance(client.connection_pool, OwnedPool)
        self._pools.append(client.connection_pool)
        self._closing.push_async_callback(client.connection_pool.disconnect)
        return client

    def blocking_redis(self, server: str = "redis") -> BlockingRedis:
        """A *synchronous* client: every call on it freezes the event loop, here that of all nodes."""
        return BlockingRedis.from_url(self._redis_url(server))

    def database(self, server: str = "database", *, timeout: float = 5.0) -> AsyncEngine:
        """An engine for the PostgreSQL server `server`; `timeout` bounds each statement, in seconds."""
        found = self._server(server, Postgres, lambda: given("DATABASE_URL", GivenPostgres) if server == "database" else None)
        owned = OwnedEngine(found.url, _positive(timeout), found.schema if isinstance(found, GivenPostgres) else None)
        self._engines.append(owned)
        self._closing.push_async_callback(owned.engine.dispose)
        return owned.engine

    def http(self, *, timeout: float = 5.0) -> httpx.AsyncClient:
        """A client to which the names given to `serve` are hosts."""
        return httpx.AsyncClient(transport=NodeTransport(self, self._services), timeout=_positive(timeout), trust_env=False)

    def serve(self, name: str, app: ASGIApp) -> None:
        """Serve an ASGI app on node `name`, under that host name."""
        self.node(name)
        self._services[name] = app

    # -- servers

    def _redis_url(self, server: str) -> str:
        return self._server(server, Valkey, lambda: given("REDIS_URL", GivenRedis) if server == "redis" else None).url

    def _server(self, name: str, kind: type[Valkey] | type[Postgres], named_by_url: Callable[[], Given | None]) -> Server:
        if name in self._nodes:
            raise ValueError(f"{name!r} is the name of a node; a server needs another one")
        if name not in self._servers:
            before = self._loop.time()
            server = named_by_url() or kind()
            self._closing.callback(server.stop)
            self._check_faults_of(name, server)
            server.start()
            self._servers[name] = server
            self._began += self._loop.time() - before
            self._strike_the_late(name)
        found = self._servers[name]
        wanted = (kind, GivenRedis if kind is Valkey else GivenPostgres)
        if not isinstance(found, wanted):
            raise ValueError(f"{name!r} is the name of a {type(found).__name__} server already")
        return found

    def _check_faults_of(self, name: str, server: Server) -> None:
        for fault in self._faults:
            if getattr(fault, "node", None) == name and isinstance(fault, Skew):
                raise FaultError(f"Skew.node must not be a server, whose clock is this machine's; got {name!r}")
            if getattr(fault, "node", None) == name and isinstance(server, Given):
                raise FaultError(
                    f"{type(fault).__name__}.node must not be {name!r}: {server.variable} names a server of your own"
                )

    # -- faults

    def _strike_at(self, at: float, fault: Pause | Crash | Skew) -> None:
        """Strike when `now()` is `at`: later than the loop's clock says if a server has been started since."""

        def due() -> None:
            if (wait := at - self.now()) > 0:
                self._loop.call_later(wait, due, context=contextvars.Context())
            else:
                self._strike(fault)

        self._loop.call_later(at, due, context=contextvars.Context())

    def _on_event(self, event: Event) -> None:
        for fault in self._triggers.due(event):
            contextvars.Context().run(self._strike, fault)

    def _strike_the_late(self, name: str) -> None:
        """Let those faults of `name` strike that were due before there was such a node or server."""
        late = [fault for fault in self._early if getattr(fault, "node", None) == name]
        self._early = [fault for fault in self._early if fault not in late]
        for fault in late:
            self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        assert isinstance(fault, Pause | Crash | Skew)
        server = self._servers.get(fault.node)
        if server is None and fault.node not in self._nodes:
            self._early.append(fault)
        elif isinstance(fault, Pause):
            self._pause_server(fault, server) if server else self.node(fault.node).pause(fault.for_)
        elif isinstance(fault, Crash):
            self._crash_server(fault, server) if server else self.node(fault.node).crash(fault.restart_after)
        else:
            self.node(fault.node).skew(fault.by, fault.rate)

    def _pause_server(self, fault: Pause, server: Server) -> None:
        assert isinstance(server, Valkey | Postgres)
        close = self.open_span(fault.node, "pause")

        def resume() -> None:
            close()  # first: nothing that the server does now is part of the pause
            server.resume()

        server.pause()
        self._loop.call_later(fault.for_, resume)

    def _crash_server(self, fault: Crash, server: Server) -> None:
        assert isinstance(server, Valkey | Postgres)
        close = self.open_span(fault.node, "crash")

        def restart() -> None:
            starting = self._loop.run_in_executor(None, server.start)
            self._under_way.append(starting)
            starting.add_done_callback(lambda _: close())

        server.kill()
        if fault.restart_after is not None:
            self._loop.call_later(fault.restart_after, restart)

    # -- what the nodes ask for

    def started(self, task: asyncio.Task[Any], node: RealNode) -> None:
        """A task began on a node."""
        self._track(task, node.name)
        if node.life.dead:
            self._died(node.name)

    def node_died(self, node: RealNode) -> None:
        """Close the dead node's connections, and tell whoever joins its tasks."""
        self._died(node.name)
        for engine in self._engines:
            engine.close_those_of(node.life)
        for pool in self._pools:
            closing = self._loop.create_task(pool.close_those_of(node.life), context=in_background())
            self._under_way.append(closing)

    def open_span(self, node: str, kind: SpanKind) -> Callable[[], None]:
        """Write a stretch of time that begins now, and give the function that ends it."""
        place = len(self.history.spans)
        self.history.spans.append(Span(self.history.next_seq(), node, kind, self.now(), None))

        def close() -> None:
            self.history.spans[place] = replace(self.history.spans[place], end=self.now())

        return close

    # -- the end

    def check_faults(self) -> None:
        """Refuse a run in which a fault was due on a node that the scenario does not have."""
        known = ", ".join(sorted([*self._nodes, *self._servers])) or "none"
        for fault in self._early:
            raise FaultError(f"{fault!r} names no node of this run; there are: {known}")

    async def close(self) -> None:
        """Close every client, stop every server, and remove what they held."""
        self.finish()
        for server in self._servers.values():
            if isinstance(server, Valkey | Postgres):
                server.wake()
        async with self._closing:
            await asyncio.gather(*self._under_way)


def _positive(timeout: float) -> float:
    if not 0 < timeout < float("inf"):
        raise ValueError(f"timeout must be a positive number of seconds, got {timeout!r}")
    return timeout
