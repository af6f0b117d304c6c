"""Run a judge without ever waiting for ever, whatever the reader's code does.

A simulated world ends its own endless runs (steps, virtual seconds, a step that never awaits). This
watches what runs outside of one: a judge that has been in plain code for longer than its patience
is stopped where it is. Leaves out: code that catches `BaseException` in its endless loop; the Stop
button of the notebook remains."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from labkit import sim
from labkit.world.thread import run_in_thread

T = TypeVar("T")
_SIM = str(Path(sim.__file__).parent)


class Endless(BaseException):
    """The code did not come back in the real seconds it was given."""


def patiently(work: Callable[[], T], seconds: float) -> T:
    """Call `work()`; raise `Endless` in it, at the line where it is, after `seconds` real seconds
    outside a simulated world.
    """
    thread = 0
    since = time.monotonic()

    def begin() -> T:
        nonlocal thread
        thread = threading.get_ident()
        return work()

    def watch() -> None:
        nonlocal since
        if _simulating(thread):
            since = time.monotonic()
        elif time.monotonic() - since > seconds:
            _raise_in(thread, Endless)

    return run_in_thread(
        begin, on_interrupt=lambda: _raise_in(thread, KeyboardInterrupt), watch=watch
    )


def _simulating(thread: int) -> bool:
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename.startswith(_SIM):
            return True
        frame = frame.f_back
    return False


def _raise_in(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
