"""A machine of the real world: what runs on it, what its wall clock says, and what a pause, a crash
and a restart do to it.

All nodes share one asyncio loop. What a node starts runs in its current `Life`; `tasks` holds back
the steps of a life that is paused, and makes none of a dead one.

Left out: a disk of its own. What a node must find again after a restart lies on a server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.real.lives import DAEMON, LIFE, Life

if TYPE_CHECKING:
    from labkit.real.world import RealWorld

T = TypeVar("T")


class RealNode:
    """See `labkit.world.Node` for what a scenario may use."""

    def __init__(self, world: RealWorld, name: str) -> None:
        self.name = name
        self._world = world
        self.life = self._begin()
        self._boots: list[tuple[Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...]]] = []
        self._pause: Callable[[], None] = lambda: None
        self._offset = 0.0
        self._rate = 1.0

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    def _begin(self) -> Life:
        life = Life(self.name)
        self._world.lives.append(life)
        return life

    def context(self) -> Context:
        """A fresh context on this node, for what the network brings: it inherits nothing and need
        not end before the run.
        """
        context = Context()
        context.run(LIFE.set, self.life)
        context.run(DAEMON.set, True)
        return context

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
        context = copy_context()
        context.run(LIFE.set, self.life)
        if daemon:
            context.run(DAEMON.set, True)
        label = name or f"{self.name}.{getattr(function, '__name__', 'task')}"
        loop = asyncio.get_running_loop()
        task: asyncio.Task[T] = loop.create_task(
            context.run(function, *args), name=label, context=context
        )
        self._world.started(task, self)
        return task

    def boot(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> asyncio.Task[Any]:
        """Like `start` as a daemon, and again every time the node restarts after a crash."""
        self._boots.append((function, args))
        return self.start(function, *args, daemon=True)

    def clock(self) -> float:
        """What this node believes the time is: seconds since 1970, bent by its skew."""
        return self._offset + time.time() * self._rate

    def skew(self, by: float, rate: float) -> None:
        """Let the wall clock jump by `by` seconds and run `rate` times as fast from now on."""
        shown = self.clock() + by
        self._rate = rate
        self._offset = shown - time.time() * rate

    def pause(self, seconds: float) -> None:
        """Stop the node where it stands, for so long. Pauses may overlap."""
        life = self.life
        if life.dead:
            return
        if life.pauses == 0:
            self._pause = self._world.open_span(self.name, "pause")
        life.pauses += 1
        asyncio.get_running_loop().call_later(seconds, self._resume, life, context=Context())

    def _resume(self, life: Life) -> None:
        life.resume()
        if life.pauses == 0 and not life.dead:
            self._pause()

    def crash(self, restart_after: float | None) -> None:
        """End this life; begin another one after `restart_after` seconds, or never."""
        life = self.life
        if life.dead:
            return
        if life.pauses:
            self._pause()
        up_again = self._world.open_span(self.name, "crash")
        life.die()
        self._world.node_died(self)
        if restart_after is not None:
            asyncio.get_running_loop().call_later(
                restart_after, self._restart, up_again, context=Context()
            )

    def _restart(self, up_again: Callable[[], None]) -> None:
        up_again()
        self.life = self._begin()
        for function, args in self._boots:
            self.start(function, *args, daemon=True)
