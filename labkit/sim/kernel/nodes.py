"""A simulated node: what runs on it, its wall clock, and what a pause, a crash and a restart do to
it.

A node has one `Place` a life: a crash leaves everything of the old life in a dead place, where the
loop drops it, and a restart makes a new one. A dropped coroutine must not be closed (closing runs
its finally blocks), so those of dead nodes are kept, without references to the world, for the life
of the process."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from labkit.sim.kernel.loop import SimLoop
from labkit.sim.kernel.tasks import DAEMON, HERE, Place
from labkit.world import Span, SpanKind
from labkit.world.base import WorldBase

T = TypeVar("T")
EPOCH = 1_767_225_600.0
"""What every wall clock shows when a run begins: 2026-01-01T00:00:00Z, in seconds since 1970."""


class SimNode:
    """See `labkit.world.Node` for what a scenario may use."""

    def __init__(self, world: WorldBase, loop: SimLoop, name: str) -> None:
        self.name = name
        self.place = Place(name)
        self.on_death: list[Callable[[], None]] = []
        self._world = world
        self._loop = loop
        self._boots: list[tuple[Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...]]] = []
        self._skewed_at = 0.0
        self._shown = EPOCH
        self._rate = 1.0
        self._thaws_at = 0.0
        self._freeze: Span | None = None
        self._crash: Span | None = None

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    def context(self) -> contextvars.Context:
        """A fresh context in which what a server does for others runs on this node; it inherits
        nothing else.
        """
        context = contextvars.Context()
        context.run(HERE.set, self.place)
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
        context = contextvars.copy_context()
        context.run(HERE.set, self.place)
        if daemon:
            context.run(DAEMON.set, True)
        label = name or f"{self.name}.{getattr(function, '__name__', 'task')}"
        task: asyncio.Task[T] = self._loop.create_task(
            context.run(function, *args), name=label, context=context
        )
        self._world.track(task, self.name)
        if not self.place.alive:  # it is over before it began
            self._world.died(self.name)
        return task

    def boot(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> asyncio.Task[Any]:
        """Like `start` as a daemon, and again every time the node restarts after a crash."""
        self._boots.append((function, args))
        return self.start(function, *args, daemon=True)

    def clock(self) -> float:
        """What this node believes the time is: seconds since 1970, bent by its skew."""
        return self._shown + (self._loop.time() - self._skewed_at) * self._rate

    def skew(self, by: float, rate: float) -> None:
        """Let the wall clock jump by `by` seconds and run `rate` times as fast from now on."""
        self._shown, self._skewed_at, self._rate = self.clock() + by, self._loop.time(), rate

    # -- what faults do

    @property
    def awake_at(self) -> float:
        """When a message sent now leaves this node: at once, or at the end of its pause."""
        return self._thaws_at if self.place.frozen else self._loop.time()

    def freeze(self, seconds: float) -> None:
        """Stop everything on this node for `seconds`; several freezes overlap."""
        if self.place.alive:
            self._hold(seconds, "pause")
            self._loop.call_later(seconds, self._let_go, self.place, context=contextvars.Context())

    def block(self, seconds: float) -> None:
        """Let `seconds` pass inside a synchronous call on this node: everything else on it stands
        still, and nothing else.
        """
        place, loop = HERE.get(), self._loop
        assert place is not None
        if not place.alive:  # it died in this very step: it never comes back from its next call
            loop.block(seconds)
        self._hold(seconds, "blocked")
        loop.block(seconds)
        # A pause that struck meanwhile may last longer.
        while place.alive and (longer := self._thaws_at - loop.time()) > 0:
            loop.block(longer)
        self._let_go(place)

    def _hold(self, seconds: float, kind: SpanKind) -> None:
        if not self.place.frozen:
            self._open_span(kind)
        self._loop.freeze(self.place)
        self._thaws_at = max(self._thaws_at, self._loop.time() + seconds)

    def _let_go(self, place: Place) -> None:
        if self._loop.thaw(place):
            self.close_freeze(self._loop.time())

    def _open_span(self, kind: SpanKind) -> None:
        now, spans, last = self._loop.time(), self._world.history.spans, self._freeze
        if kind == "blocked" and last is not None and (last.kind, last.end) == (kind, now):
            # One blocking call right after another: one stretch.
            spans.remove(last)
            self._freeze = replace(last, end=None)
        else:
            self._freeze = Span(self._world.history.next_seq(), self.name, kind, now, None)

    def close_freeze(self, end: float | None) -> None:
        """Write the current freeze into the history; `end` is None when the run ended first."""
        if self._freeze is not None and self._freeze.end is None:
            self._freeze = replace(self._freeze, end=end)
            self._world.history.spans.append(self._freeze)

    def crash(self, restart_after: float | None) -> None:
        """Die: nothing of this life runs again. `restart_after` is in seconds; None is never."""
        place, world, now = self.place, self._world, self._loop.time()
        if not place.alive:
            return
        if place.frozen:
            self.close_freeze(now)
        self._loop.bury(place)
        self._crash = Span(world.history.next_seq(), self.name, "crash", now, None)
        for notice in self.on_death:
            notice()
        self.on_death.clear()
        world.died(self.name)
        if restart_after is not None:
            self._loop.call_later(restart_after, self.restart, context=contextvars.Context())

    def restart(self) -> None:
        """Begin a new life: what was on disk is there, and what was registered with `boot` starts
        again.
        """
        if self.place.alive:
            return
        self.close_crash(self._loop.time())
        self.place = Place(self.name)
        self._thaws_at = 0.0
        for function, args in self._boots:
            contextvars.Context().run(partial(self.start, function, *args, daemon=True))

    def close_crash(self, end: float | None) -> None:
        """Write the crash into the history; `end` is None when the node never came back."""
        if self._crash is not None:
            self._world.history.spans.append(replace(self._crash, end=end))
            self._crash = None


def keep_for_ever(coroutine: object) -> None:
    """Keep a reference to a suspended coroutine, so that it is never closed and its finally blocks
    never run.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))
