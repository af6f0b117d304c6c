"""What a scenario may ask of the world it runs in. `labkit.sim` and `labkit.real` both provide it.

A scenario is `async def scenario(world, **args)`. Its own body runs outside the network, as the
experimenter: it sees every server at once and no fault touches it. What it starts on a node
(`world.node("a").start(...)`) runs *on that node*: its messages cross the network from there, and
it pauses and dies with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import httpx
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.world.history import Event, History, Outcome

T = TypeVar("T")
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Scenario = Callable[..., Coroutine[Any, Any, Any]]
LAB = "lab"
"""Where the scenario's own body runs: the experimenter's place, which is no node."""


class Pending(Protocol):
    """A call under way, as a context manager hands it out; set `result` (and, rarely, `outcome`)
    before it closes.
    """

    result: Any
    outcome: Outcome


class Node(Protocol):
    """A machine. What is started here pauses, crashes and restarts with it."""

    name: str

    def start(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        name: str | None = None,
        daemon: bool = False,
    ) -> asyncio.Task[T]:
        """Run `function(*args)` on this node. A daemon is stopped without complaint when the
        scenario returns.
        """

    def boot(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> asyncio.Task[Any]:
        """Like `start` as a daemon, and again every time the node restarts after a crash."""

    def clock(self) -> float:
        """What this node believes the time is: seconds since 1970, bent by its skew."""


class World(Protocol):
    """Everything a service needs, and the history to write into."""

    seed: int | None
    rng: random.Random
    history: History

    def now(self) -> float:
        """True seconds since the run began; no node can see this, the experimenter can."""

    def clock(self) -> float:
        """The wall clock of the node this is called on: seconds since 1970."""

    def here(self) -> str:
        """The name of the node this is called on; `LAB` ("lab") for the scenario's own body."""

    def node(self, name: str) -> Node:
        """The node of this name, made at the first call."""

    def redis(self, server: str = "redis", *, timeout: float = 1.0) -> Redis:
        """A client of the Redis server on node `server`. It abandons a call after `timeout` seconds
        and does not retry.
        """

    def database(self, server: str = "database", *, timeout: float = 5.0) -> AsyncEngine:
        """An engine for the SQL server on node `server`; `timeout` bounds each statement, in
        seconds. One database a run.
        """

    def http(self, *, timeout: float = 5.0) -> httpx.AsyncClient:
        """A client to which the names given to `serve` are hosts: `await
        client.get("http://orders/orders/1")`.
        """

    def serve(self, name: str, app: ASGIApp) -> None:
        """Serve an ASGI app on node `name`, under that host name."""

    def new_id(self, prefix: str = "") -> str:
        """A fresh id, the same in every run with this seed."""

    def record(self, kind: str, /, **data: Any) -> Event:
        """Write an event of the current node into the history."""

    def holding(self, label: str) -> AbstractContextManager[None]:
        """Mark that the current node believes it holds `label` for as long as the block runs."""

    def operation(
        self, name: str, argument: Any = None, *, process: str | None = None
    ) -> AbstractContextManager[Pending]:
        """Record a call on a shared object. A time-out or a cancellation makes it unknown; another
        error, failed.
        """

    async def join(self, *tasks: asyncio.Task[Any], return_exceptions: bool = False) -> list[Any]:
        """Wait for tasks, in order; one whose node crashed counts as over, with the result
        `labkit.world.CRASHED`.
        """
