"""Run a function in a worker thread while a notebook cell waits for it, so that the Stop button
works.

A cell runs inside the kernel's own event loop: another loop can only run in another thread. The
Stop button is a KeyboardInterrupt in the waiting thread; it is passed on by a callback and the
worker is then waited for, so no thread outlives the call. An exception of the function arrives with
its own traceback.

Leaves out: stopping a function that ignores `on_interrupt` (one that never awaits): a second Stop
gives up waiting for it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Call(Generic[T]):
    """A function under way in a thread, and what became of it."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._over = threading.Event()
        self._result: T
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # it is raised again in the caller, whatever it is
            self._error = error
        finally:
            self._over.set()

    def wait(self, watch: Callable[[], None] | None) -> None:
        # Windows delivers a KeyboardInterrupt only between two waits.
        while not self._over.wait(0.2):
            if watch is not None:
                watch()

    def result(self) -> T:
        if self._error is not None:
            # Kept, error → traceback → frame → error would be a cycle.
            error, self._error = self._error, None
            raise error
        return self._result


def run_in_thread(
    function: Callable[[], T],
    on_interrupt: Callable[[], None],
    watch: Callable[[], None] | None = None,
) -> T:
    """Call `function` in a worker thread, in a copy of the caller's context, and return its result
    or raise its exception.

    `watch` is called in the caller's thread a few times a second meanwhile. KeyboardInterrupt in
    the caller calls `on_interrupt` (in the caller's thread), waits for the function to end, and is
    raised."""
    call = _Call(function)
    worker = threading.Thread(
        target=contextvars.copy_context().run, args=(call.run,), name="labkit run", daemon=True
    )
    try:
        worker.start()
        call.wait(watch)
    except KeyboardInterrupt:
        # An interrupt that lands in a finalizer is swallowed there: say it again.
        while worker.is_alive():
            on_interrupt()
            worker.join(0.5)
        raise
    worker.join()
    return call.result()
