"""The simulated world: `labkit.world.World` on virtual time.

It puts Redis, SQL, HTTP and the faults of a run on the kernel, and makes each server when a
scenario first asks for it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx
import redis.asyncio
from redis import Redis as BlockingRedis
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.sim._fault_injection import FaultInjection
from labkit.sim._http import SimTransport
from labkit.sim._redis import blocking_client, client
from labkit.sim._redis_server import SimRedisServer
from labkit.sim.kernel import HERE, Choices, Kernel, Latency, Place
from labkit.sim.sql import SimSqlServer, engine
from labkit.world import ASGIApp, Event, Fault


class SimWorld(Kernel):
    """See `labkit.world.World`. What is not here is in `Kernel` and in `WorldBase`."""

    def __init__(
        self,
        seed: int | None,
        faults: Sequence[Fault],
        choices: Choices,
        latency: Latency,
        *,
        max_steps: int,
        max_seconds: float,
    ) -> None:
        super().__init__(seed, choices, latency, max_steps=max_steps, max_seconds=max_seconds)
        self.faults = FaultInjection(self, self._redis_server, faults)
        self.servers: dict[str, SimRedisServer] = {}
        self.clients: dict[tuple[Place | None, str, float], redis.asyncio.Redis] = {}
        self.sql: dict[str, SimSqlServer] = {}
        self.engines: list[AsyncEngine] = []
        self.folder: Path | None = None
        self._services: dict[str, ASGIApp] = {}

    def __repr__(self) -> str:
        return f"<simulated world, seed {self.seed}, {self.now():.4f} s>"

    def redis(self, server: str = "redis", *, timeout: float = 1.0) -> redis.asyncio.Redis:
        """A client of the Redis server on node `server`."""
        # One client for each life of a node, as one program would have.
        key = HERE.get(), server, timeout
        if key not in self.clients:
            self.clients[key] = client(self, self._redis_server(server), timeout)
        return self.clients[key]

    def blocking_redis(self, server: str = "redis") -> BlockingRedis:
        """A *synchronous* client: every call on it freezes the event loop of the node that makes
        it.
        """
        return blocking_client(self, self._redis_server(server))

    def database(self, server: str = "database", *, timeout: float = 5.0) -> AsyncEngine:
        """An engine for the SQL server on node `server`."""
        if server not in self.sql:
            file = self._private_folder() / f"{len(self.sql)}.sqlite"
            self.sql[server] = SimSqlServer(self, server, file)
        made = engine(self, self.sql[server], timeout)
        self.engines.append(made)
        return made

    def http(self, *, timeout: float = 5.0) -> httpx.AsyncClient:
        """A client to which the names given to `serve` are hosts."""
        return httpx.AsyncClient(
            transport=SimTransport(self, self._services), timeout=timeout, trust_env=False
        )

    def serve(self, name: str, app: ASGIApp) -> None:
        """Serve an ASGI app on node `name`, under that host name."""
        self.node(name)
        self._services[name] = app

    def _redis_server(self, server: str) -> SimRedisServer:
        if server not in self.servers:
            self.servers[server] = SimRedisServer(self, server)
        return self.servers[server]

    def _private_folder(self) -> Path:
        if self.folder is None:
            memory = Path("/dev/shm")  # where there is one, nothing is written to a disk
            parent = memory if memory.is_dir() else None
            self.folder = Path(tempfile.mkdtemp(prefix="labkit-", dir=parent))
        return self.folder

    def _on_event(self, event: Event) -> None:
        self.faults.on_event(event)
