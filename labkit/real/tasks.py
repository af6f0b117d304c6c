"""Tasks that stop and die with their node, without any co-operation of the code they run.

The task factory `Tasks` wraps every task's coroutine in `_gated`, which passes each step on, and
holds it back while the node is paused or dead:

* paused: timers and sockets go on, as the kernel's do under a stopped process, and their effects
  are seen when it is over;
* dead: no step is ever made again.

Left out: a callback a node has put on the loop itself (`call_later(f)`) and a thread it has started
are not held back."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from labkit.real.lives import DAEMON, LIFE, Life, keep_for_ever

T = TypeVar("T")


@types.coroutine
def _gated(coroutine: Coroutine[Any, Any, T], life: Life) -> Generator[Any, Any, T]:
    step: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        while life.stopped:
            try:
                yield from life.resumed().__await__()
            except GeneratorExit:
                raise
            except (
                BaseException
            ) as error:  # a cancellation reaches the code when its node runs again
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
    """Makes the tasks of a run, each of which stops and dies with the node of its context, and
    knows what became of them.
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
        assert isinstance(
            coroutine, Coroutine
        )  # generators have not been awaitable since Python 3.12
        context = copy_context() if context is None else context
        life = context.get(LIFE)
        task = asyncio.Task(
            _on(coroutine, life) if life else coroutine, loop=loop, context=context, **more
        )
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
        """The tasks that raised what nobody has looked at."""
        return [task for task in self._failed if task._log_traceback]

    def describe(self, task: asyncio.Task[Any]) -> str:
        """The task's name, and where its own code waits."""
        frame = getattr(self.running.get(task), "cr_frame", None)
        return (
            f"{task.get_name()} (line {frame.f_lineno} of {frame.f_code.co_qualname})"
            if frame
            else task.get_name()
        )
