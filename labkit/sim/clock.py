"""Virtual time for libraries that ask the operating system what time it is.

fakeredis decides by `time.time()` whether a key has expired; redis-py's synchronous `Lock` waits by
`time.sleep()`. In their modules the name `time` is replaced by a `Clock`: asked from inside a
simulated loop it answers in virtual time, asked from anywhere else it is the real module. Nothing
else in the process sees a difference. Without this, keys never expire in a simulated run and every
test of a lease passes, whatever the lease does."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sys
import time
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import fakeredis
import redis.lock

if TYPE_CHECKING:
    from labkit.sim.world import SimWorld

_WORLDS: dict[asyncio.AbstractEventLoop, SimWorld] = {}
"""The world of each simulated loop that is running now."""


def current_world() -> SimWorld | None:
    """The world of the loop that runs in this thread, if it is a simulated one."""
    loop = asyncio._get_running_loop()
    return None if loop is None else _WORLDS.get(loop)


class Clock(ModuleType):
    """Stands for the module `time` in a module that must live in virtual time."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        world = current_world()
        return time.time() if world is None else world.clock()

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def monotonic(self) -> float:
        world = current_world()
        return time.monotonic() if world is None else world.now()

    def sleep(self, seconds: float) -> None:
        world = current_world()
        if world is None:
            time.sleep(seconds)
        else:
            world.block(seconds)


@cache
def install() -> tuple[str, ...]:
    """Give every such module a `Clock`, once a process; return the names of those that have one."""
    for found in pkgutil.walk_packages(fakeredis.__path__, "fakeredis."):
        try:
            importlib.import_module(found.name)
        except ImportError:  # a module for an optional package that is not installed
            continue
    taught = []
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] != "fakeredis" and module is not redis.lock:
            continue
        for attribute, value in list(vars(module).items()):
            if value is time:
                setattr(module, attribute, Clock("time"))
                taught.append(name)
    return tuple(taught)


def enter(loop: asyncio.AbstractEventLoop, world: SimWorld) -> None:
    """From now on, code on this loop lives in the world's time."""
    install()
    _WORLDS[loop] = world


def leave(loop: asyncio.AbstractEventLoop) -> None:
    """The loop has ended."""
    _WORLDS.pop(loop, None)
