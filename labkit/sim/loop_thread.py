"""The thread in which simulated loops run, and the watch that the waiting thread keeps on it.

Guarantees: the Stop button stops a run at its next step, a step that computes for too long without
an await is interrupted, and nobody looks at a loop that is no longer watched.

Leaves out: code that swallows every KeyboardInterrupt.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from labkit.sim.kernel import SimLoop
from labkit.world.thread import run_in_thread

T = TypeVar("T")
PATIENCE = 10.0
"""How long one step may compute without an await, in real seconds."""

_HERE = threading.local()


def current() -> LoopThread[Any] | None:
    """The `LoopThread` that this code runs in, if it runs in one."""
    thread: LoopThread[Any] | None = getattr(_HERE, "thread", None)
    return thread


class LoopThread(Generic[T]):
    """Work in a thread of its own. `stuck` says what has been computing for too long;
    `interrupted`, that the reader has pressed Stop.
    """

    def __init__(self, work: Callable[[], T], patience: float) -> None:
        self._work = work
        self._patience = patience
        self._thread = 0
        self._seen: tuple[int, int] = (0, 0)
        self._since = 0.0
        self._looking = threading.Lock()
        self._loop: SimLoop | None = None
        self.stuck: str | None = None
        self.interrupted = False

    def __call__(self) -> T:
        self._thread = threading.get_ident()
        _HERE.thread = self
        return self._work()

    def interrupt(self) -> None:
        """Stop at the next step of the run; when asked again, at the next bytecode, since a step
        that never ends has no next.

        The gentle way comes first: CPython drops a KeyboardInterrupt that lands in a finalizer,
        with a message on stderr."""
        if self.interrupted:
            self._raise()
        self.interrupted = True
        with self._looking:
            if self._loop is not None:
                self._loop.max_steps = 0

    def _raise(self) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread), ctypes.py_object(KeyboardInterrupt)
        )

    def watch_over(self, loop: SimLoop | None) -> SimLoop | None:
        """Watch this loop from now on; return the one watched so far, which a run inside a run
        gives back.

        It waits for a look that is under way: after it, the old loop may be taken apart."""
        with self._looking:
            outer, self._loop, self._seen = self._loop, loop, (0, -1)
        return outer

    def watch(self) -> None:
        """Interrupt a step that computes without end. The waiting thread calls this."""
        with self._looking:
            loop, now = self._loop, time.monotonic()
            if loop is None or not loop.is_running():
                return
            seen = (id(loop), loop.steps)
            if seen != self._seen:
                self._seen, self._since = seen, now
            elif now - self._since > self._patience:
                self._since = now  # code that swallowed the first interrupt gets another
                self.stuck = self._describe(loop)
                self._raise()

    def _describe(self, loop: SimLoop) -> str:
        task = asyncio.current_task(loop)
        name = "a callback" if task is None else f"task {task.get_name()}"
        patience = f"{self._patience:g} s without an await"
        return f"{name} has been computing for {patience}, at {loop.time():.3f} s"


def in_loop_thread(work: Callable[[], T], *, patience: float | None = None) -> T:
    """Call `work()` in a thread that the Stop button can interrupt, or directly when this already
    is one.

    A single step that computes for `patience` real seconds (`PATIENCE`) without an await is
    interrupted too: see `Stuck`."""
    if current() is not None:
        return work()
    thread = LoopThread(work, PATIENCE if patience is None else patience)
    return run_in_thread(thread, on_interrupt=thread.interrupt, watch=thread.watch)
