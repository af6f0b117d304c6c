"""The thread that simulated worlds run in, and the watch that is kept on it.

Guarantees: the Stop button stops a run at its next step, and a step that computes for too long
without an await is interrupted.

Left out: code that swallows every KeyboardInterrupt.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from labkit.sim.world import SimWorld
from labkit.world.thread import run_in_thread

T = TypeVar("T")
PATIENCE = 10.0
"""How long one step may compute without an await, in real seconds."""

_HERE = threading.local()


def current() -> Worker[Any] | None:
    """The worker whose thread this is, if it is one's."""
    worker: Worker[Any] | None = getattr(_HERE, "worker", None)
    return worker


class Worker(Generic[T]):
    """Work in a thread of its own. `stuck`: what has been computing for too long; `interrupted`:
    the reader pressed Stop.
    """

    def __init__(self, work: Callable[[], T], patience: float) -> None:
        self._work = work
        self._patience = patience
        self._thread = 0
        self._seen: tuple[int, int] = (0, 0)
        self._since = 0.0
        self.world: SimWorld | None = None
        self.stuck: str | None = None
        self.interrupted = False

    def __call__(self) -> T:
        self._thread = threading.get_ident()
        _HERE.worker = self
        return self._work()

    def interrupt(self) -> None:
        """Stop at the next step of the run; asked again, at the next bytecode (a step that never
        ends has no next).

        The gentle way first: CPython drops a KeyboardInterrupt that lands in a finalizer, with a
        message on stderr."""
        if self.interrupted:
            self._raise()
        self.interrupted = True
        if self.world is not None:
            self.world.loop.max_steps = 0

    def _raise(self) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread), ctypes.py_object(KeyboardInterrupt)
        )

    def watch_over(self, world: SimWorld | None) -> SimWorld | None:
        """Watch this world from now on; return the one watched so far (a run inside a run gives the
        watch back).
        """
        outer, self.world, self._seen = self.world, world, (0, -1)
        return outer

    def watch(self) -> None:
        """Interrupt a step that computes without end."""
        world, now = self.world, time.monotonic()
        if world is None or not world.loop.is_running():
            return
        seen = (id(world), world.loop.steps)
        if seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since > self._patience:
            self._since = now  # code that swallowed the first interrupt gets another
            task = asyncio.current_task(world.loop)
            name = "a callback" if task is None else f"task {task.get_name()}"
            self.stuck = f"{name} has been computing for {self._patience:g} s without an await, at {world.now():.3f} s"
            self._raise()


def in_worker(work: Callable[[], T], *, patience: float | None = None) -> T:
    """Call `work()` in a thread that the Stop button can interrupt; directly, when this already is
    one.

    A single step that computes for `patience` real seconds (`PATIENCE`) without an await is
    interrupted too: see `Stuck`."""
    if current() is not None:
        return work()
    worker = Worker(work, PATIENCE if patience is None else patience)
    return run_in_thread(worker, on_interrupt=worker.interrupt, watch=worker.watch)
