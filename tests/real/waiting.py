"""Waiting for what must come, without saying when."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable

import psutil

Program = Callable[[str], "subprocess.Popen[str]"]


def eventually(holds: Callable[[], bool], patience: float = 60.0) -> bool:
    """Whether it comes true; the patience is long, so that a slow machine is no failure."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is not a zombie that nobody has collected."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until it is true."""
    while True:
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return
        await asyncio.sleep(0.01)
