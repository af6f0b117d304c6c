"""A node of the real world: what runs on it, its wall clock, and what a pause, a crash and a
restart do to it, without the co-operation of the code that it runs.

All nodes share one asyncio loop. A node has one `Life` from each start to the crash that ends it,
and its coroutines carry that life in the context variable `LIFE`, which the tasks they start
inherit. The task factory `Tasks` wraps every coroutine in `_gated`, which passes each step on, and
holds it back while the life is paused or over:

* paused: timers and sockets go on, as the kernel's do under a stopped process, and their effects
  are seen when it is over;
* dead: no step is ever made again. A coroutine that is thrown away is closed, and closing it runs
  its finally blocks, which a crash would not have: the tasks of the dead are therefore kept for the
  life of the process.

Leaves out: a callback that a node has put on the loop itself (`call_later(f)`) and a thread it has
started are not held back; and a disk of its own. What a node must find again after a restart lies
on a server."""

from __future__ import annotations

import asyncio
import ctypes
import time
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from labkit.world import LAB, Span, SpanKind
from labkit.world.base import WorldBase

T = TypeVar("T")


class Life:
    """One life of a node, from its start to its crash."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.dead = False
        self.pauses = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held: list[asyncio.Future[None]] = []

    @property
    def stopped(self) -> bool:
        """Whether no step may be made now."""
        return self.dead or self.pauses > 0

    async def resumed(self) -> None:
        """Wait for the pause to be over. Each task waits on a future of its own: cancelling a task
        cancels what it waits on.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(future)
        await future

    def resume(self) -> None:
        """End one pause; the last one lets every task go on."""
        self.pauses -= 1
        if self.pauses == 0:
            held, self._held = self._held, []
            for future in held:
                if not future.done():
                    future.set_result(None)

    def die(self) -> None:
        """Stop for ever: no task makes another step, and none is closed, so that no finally block
        runs.
        """
        self.dead = True
        for task in self.tasks:
            keep_for_ever(task)
        if not self.death.done():
            self.death.set_result(None)


def keep_for_ever(task: asyncio.Task[Any]) -> None:
    """Keep a reference to a task that makes no more steps, so that its finally blocks never run."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)
DAEMON: ContextVar[bool] = ContextVar("DAEMON", default=False)


def here() -> str:
    """The name of the node this runs on."""
    life = LIFE.get()
    return LAB if life is None else life.node


def in_background() -> Context:
    """A fresh context for the world's own work: it belongs to no node, and nothing waits for it."""
    context = Context()
    context.run(DAEMON.set, True)
    return context


async def checkpoint() -> None:
    """Let nothing leave a node that is paused or dead, though it was struck after its last step
    began.
    """
    life = LIFE.get()
    if life is not None and life.stopped:
        await asyncio.sleep(0)


@types.coroutine
def _gated(coroutine: Coroutine[Any, Any, T], life: Life) -> Generator[Any, Any, T]:
    step: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        while life.stopped:
            try:
                yield from life.resumed().__await__()
            except GeneratorExit:
                raise
            except BaseException as error:
                # A cancellation reaches the code when its node runs again.
                step = partial(coroutine.throw, error)
        try:
            awaited = step()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # what the coroutine returned
        try:
            yield awaited
        except GeneratorExit:
            raise
        except BaseException as error:
            step = partial(coroutine.throw, error)
        else:
            step = partial(coroutine.send, None)  # a task only ever sends None


async def _on(coroutine: Coroutine[Any, Any, T], life: Life) -> T:
    return await _gated(coroutine, life)


class Tasks:
    """Creates the tasks of a run, each of which stops and dies with the node of its context, and
    knows how each of them ended.
    """

    def __init__(self) -> None:
        self.running: dict[asyncio.Task[Any], Coroutine[Any, Any, Any]] = {}
        self.daemons: set[asyncio.Task[Any]] = set()
        self._failed: list[asyncio.Task[Any]] = []

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: Context | None = None,
        **more: Any,
    ) -> asyncio.Task[T]:
        # Generators have not been awaitable since Python 3.12.
        assert isinstance(coroutine, Coroutine)
        context = copy_context() if context is None else context
        life = context.get(LIFE)
        held_back = _on(coroutine, life) if life else coroutine
        task = asyncio.Task(held_back, loop=loop, context=context, **more)
        self.running[task] = coroutine
        if context.get(DAEMON):
            self.daemons.add(task)
        if life is not None:
            life.tasks.add(task)
            task.add_done_callback(life.tasks.discard)
            if life.dead:
                keep_for_ever(task)
        task.add_done_callback(self._over, context=Context())
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self.running.pop(task, None)
        self.daemons.discard(task)
        if not task.cancelled() and task._log_traceback:
            self._failed.append(task)

    def failures(self) -> list[asyncio.Task[Any]]:
        """The tasks with an exception that nobody has looked at."""
        return [task for task in self._failed if task._log_traceback]

    def describe(self, task: asyncio.Task[Any]) -> str:
        """The task's name, and where its own code waits."""
        frame = getattr(self.running.get(task), "cr_frame", None)
        if frame is None:
            return task.get_name()
        return f"{task.get_name()} (line {frame.f_lineno} of {frame.f_code.co_qualname})"


class RealNode:
    """See `labkit.world.Node` for what a scenario may use."""

    def __init__(
        self, world: WorldBase, name: str, on_death: Callable[[Life], None] = lambda life: None
    ) -> None:
        self.name = name
        self.lives: list[Life] = []
        self.life = self._begin()
        self._world = world
        self._on_death = on_death
        self._boots: list[tuple[Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...]]] = []
        self._pause: Callable[[], None] = lambda: None
        self._offset = 0.0
        self._rate = 1.0

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    def _begin(self) -> Life:
        life = Life(self.name)
        self.lives.append(life)
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
        self._world.track(task, self.name)
        if self.life.dead:
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
            self._pause = open_span(self._world, self.name, "pause")
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
        up_again = open_span(self._world, self.name, "crash")
        life.die()
        self._world.died(self.name)
        self._on_death(life)
        if restart_after is not None:
            asyncio.get_running_loop().call_later(
                restart_after, self._restart, up_again, context=Context()
            )

    def _restart(self, up_again: Callable[[], None]) -> None:
        up_again()
        self.life = self._begin()
        for function, args in self._boots:
            self.start(function, *args, daemon=True)


def open_span(world: WorldBase, node: str, kind: SpanKind) -> Callable[[], None]:
    """Write a stretch of time that begins now, and give the function that ends it."""
    spans, place = world.history.spans, len(world.history.spans)
    spans.append(Span(world.history.next_seq(), node, kind, world.now(), None))

    def close() -> None:
        spans[place] = replace(spans[place], end=world.now())

    return close
