"""On which node code runs: the context variable `LIFE`, which the tasks it starts inherit.

A node has one `Life` from each start to the crash that ends it. A coroutine that is thrown away is
closed, and closing it runs its finally blocks, which a crash would not have: the tasks of the dead
are therefore kept for the life of the process.

Left out: how a pause and a crash are enforced. `tasks` does that, step by step.
"""

from __future__ import annotations

import asyncio
import ctypes
from contextvars import Context, ContextVar
from typing import Any

from labkit.world import LAB


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
        """Make no step again, and keep what was under way from ever being closed."""
        self.dead = True
        for task in self.tasks:
            keep_for_ever(task)
        if not self.death.done():
            self.death.set_result(None)


def keep_for_ever(task: asyncio.Task[Any]) -> None:
    """Keep a task that makes no more steps from ever being thrown away, and so its finally blocks
    from ever running.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)
DAEMON: ContextVar[bool] = ContextVar("DAEMON", default=False)


def here() -> str:
    """The name of the node this runs on."""
    life = LIFE.get()
    return LAB if life is None else life.node


def in_background() -> Context:
    """A fresh context for what the world does by itself: on no node, and not waited for."""
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
