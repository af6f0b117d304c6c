"""The simulated world: `labkit.world.World` on virtual time.

It makes nodes and servers at the first call, lets the faults strike, and at the end puts everything
away."""

from __future__ import annotations

import asyncio
import contextvars
import random
import tempfile
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import httpx
import redis.asyncio
from redis import Redis as BlockingRedis
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.sim import clock, order, threads
from labkit.sim import redis as sim_redis
from labkit.sim import sql as sim_sql
from labkit.sim.blocking import blocking_client
from labkit.sim.choices import Choices, Latency
from labkit.sim.errors import Deadlock
from labkit.sim.http import SimTransport
from labkit.sim.loop import SimLoop
from labkit.sim.network import Network
from labkit.sim.node import EPOCH, SimNode
from labkit.sim.places import DAEMON, HERE, Place
from labkit.sim.redis_server import SimRedisServer
from labkit.sim.sql_server import SimSqlServer
from labkit.sim.striking import Striking
from labkit.world import LAB, ASGIApp, Event, Fault
from labkit.world.base import WorldBase


class SimWorld(WorldBase):
    """See `labkit.world.World`."""

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
        super().__init__(seed)
        self.loop = SimLoop(choices, max_steps=max_steps, max_seconds=max_seconds)  # type: ignore[abstract]  # those it refuses
        self.loop.set_exception_handler(self._note_exception)
        self.network = Network(self, latency)
        self.buried: list[Place] = []
        self.failures: list[BaseException] = []
        self.dice = random.Random(f"labkit {seed} redis")
        self.faults = Striking(self, faults)
        self.nodes: dict[str, SimNode] = {}
        self.asked_for: set[str] = set()
        self.servers: dict[str, SimRedisServer] = {}
        self.clients: dict[tuple[Place | None, str, float], redis.asyncio.Redis] = {}
        self.sql: dict[str, SimSqlServer] = {}
        self.engines: list[AsyncEngine] = []
        self._services: dict[str, ASGIApp] = {}
        self.folder: Path | None = None

    def __repr__(self) -> str:
        return f"<simulated world, seed {self.seed}, {self.now():.4f} s>"

    # -- what a scenario asks for

    def now(self) -> float:
        """True seconds since the run began."""
        return self.loop.time()

    def clock(self) -> float:
        """The wall clock of the node this is called on: seconds since 1970."""
        here = self.here()
        return EPOCH + self.now() if here == LAB else self.node(here).clock()

    def here(self) -> str:
        """The name of the node this is called on."""
        place = HERE.get()
        return LAB if place is None else place.name

    def node(self, name: str) -> SimNode:
        """The node of this name, made at the first call."""
        self.asked_for.add(name)
        return self.victim(name)

    def victim(self, name: str) -> SimNode:
        """The node of this name for a fault to strike, which may be before the scenario asks for
        it.
        """
        found = self.nodes.get(name)
        if found is None:
            if not name or name == LAB:
                raise ValueError(
                    f"a node needs a name, and {LAB!r} is the experimenter's; got {name!r}"
                )
            found = self.nodes[name] = SimNode(self, name)
        return found

    def redis(self, server: str = "redis", *, timeout: float = 1.0) -> redis.asyncio.Redis:
        """A client of the Redis server on node `server`."""
        key = (
            HERE.get(),
            server,
            timeout,
        )  # one client a life of a node, as one program would have
        if key not in self.clients:
            self.clients[key] = sim_redis.client(self, self.redis_server(server), timeout)
        return self.clients[key]

    def blocking_redis(self, server: str = "redis") -> BlockingRedis:
        """A *synchronous* client: every call on it freezes the event loop of the node that makes
        it.
        """
        return blocking_client(self, self.redis_server(server))

    def database(self, server: str = "database", *, timeout: float = 5.0) -> AsyncEngine:
        """An engine for the SQL server on node `server`."""
        if server not in self.sql:
            if self.folder is None:
                memory = Path("/dev/shm")  # where there is one, nothing is written to a disk
                self.folder = Path(
                    tempfile.mkdtemp(prefix="labkit-", dir=memory if memory.is_dir() else None)
                )
            self.sql[server] = SimSqlServer(self, server, self.folder / f"{len(self.sql)}.sqlite")
        engine = sim_sql.engine(self, self.sql[server], timeout)
        self.engines.append(engine)
        return engine

    def http(self, *, timeout: float = 5.0) -> httpx.AsyncClient:
        """A client to which the names given to `serve` are hosts."""
        return httpx.AsyncClient(
            transport=SimTransport(self, self._services), timeout=timeout, trust_env=False
        )

    def serve(self, name: str, app: ASGIApp) -> None:
        """Serve an ASGI app on node `name`, under that host name."""
        self.node(name)
        self._services[name] = app

    # -- what the parts of the bench ask for

    def redis_server(self, server: str) -> SimRedisServer:
        """The Redis server on this node, made at the first call."""
        if server not in self.servers:
            self.servers[server] = SimRedisServer(self, server)
        return self.servers[server]

    def track(self, task: asyncio.Task[Any], node: SimNode) -> None:
        """Let `join` know where the task runs."""
        self._track(task, node.name)
        if not node.place.alive:  # started on a dead node: it is over before it began
            self._died(node.name)

    def background(self, work: Coroutine[Any, Any, None], node: SimNode | None, name: str) -> None:
        """Run what a server does for a request, on its node or outside all; it may be cut off when
        the scenario returns.
        """
        context = contextvars.Context() if node is None else node.context()
        context.run(DAEMON.set, True)
        self.loop.create_task(work, name=name, context=context)

    def node_died(self, node: SimNode) -> None:
        """Tell whoever joins the node's tasks."""
        self._died(node.name)

    def block(self, seconds: float) -> None:
        """`time.sleep` of code on a node: its event loop stands still, the rest of the world goes
        on.
        """
        if (here := self.here()) == LAB:
            self.loop.block(seconds, idle=self.idle)
        else:
            self.node(here).block(seconds)

    def idle(self) -> NoReturn:
        """Nothing is left to happen."""
        raise Deadlock(
            f"nothing is left to happen at {self.now():.3f} s. Waiting: {self.waiting()}"
        )

    def waiting(self) -> str:
        """The tasks that are not done, and the line each is at."""
        return (
            "; ".join(
                describe(task)
                for task in self.loop.tasks
                if not task.done() and not task.context.get(DAEMON)
            )
            or "nobody"
        )

    def _note_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(error := context.get("exception"), Exception) and "task" not in context:
            self.failures.append(error)

    def _on_event(self, event: Event) -> None:
        self.faults.on_event(event)

    def enter(self) -> None:
        """Make this the world of the current thread."""
        threads.install()
        clock.enter(self.loop, self)
        order.install()


def describe(task: asyncio.Task[Any]) -> str:
    """The task's name, and where the scenario's own code in it waits."""
    stack = task.get_stack()
    if not stack:
        return task.get_name()
    frame = stack[-1]
    place = partial(
        "{} (line {} of {})".format, task.get_name(), frame.f_lineno, frame.f_code.co_qualname
    )
    return place()
