"""Patches for libraries that a run could not repeat without.

* The time: fakeredis decides by `time.time()` whether a key has expired, and redis-py's synchronous
  `Lock` waits by `time.sleep()`. In their modules the name `time` is replaced by a `Clock`. Without
  it no key would expire in a simulated run, and every test of a lease would pass, whatever the
  lease does.
* The order: `asyncio.as_completed` puts what it is given into a set before it makes tasks of it,
  and fakeredis iterates over sets of bytes and draws from the module `random`. Here the order is
  that of the run, not that of addresses, hashes or the process's own generator.
* Threads: Starlette runs synchronous endpoints in anyio's threads. Here they run in line.
  (`asyncio.to_thread` goes through the loop, which sees to it.)
* The cost of a client: redis-py fills the table of callbacks of each new client name by name, which
  is a tenth of a short run. Here the table is filled at once.

All of these ask `current_kernel`. Outside a simulated loop the libraries do what they always did,
except that sets of fakeredis keep the order of insertion."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import fakeredis
import redis.lock
from anyio._backends._asyncio import AsyncIOBackend
from fakeredis.model import ExpiringMembersSet
from redis.client import CaseInsensitiveDict

from labkit.sim.kernel import current_kernel


@cache
def install() -> tuple[str, ...]:
    """Apply the patches, once per process; returns the names of the modules whose time is virtual
    now.
    """
    _load_all_of_fakeredis()
    of_fakeredis = [name for name in sorted(sys.modules) if name.partition(".")[0] == "fakeredis"]
    taught = [name for name in [*of_fakeredis, redis.lock.__name__] if _replace(name, time, Clock)]
    for name in of_fakeredis:
        _replace(name, random, Dice)
    ExpiringMembersSet.__iter__ = _in_order_of_insertion  # type: ignore[method-assign]
    asyncio.as_completed = asyncio.tasks.as_completed = _in_order_given(asyncio.as_completed)
    AsyncIOBackend.run_sync_in_worker_thread = staticmethod(  # type: ignore[method-assign]
        _in_line(AsyncIOBackend.run_sync_in_worker_thread)
    )
    CaseInsensitiveDict.__init__ = _filled_at_once  # type: ignore[method-assign]
    return tuple(taught)


class Clock(ModuleType):
    """Stands for the module `time` in a module that must live in virtual time."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        kernel = current_kernel()
        return time.time() if kernel is None else kernel.clock()

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def monotonic(self) -> float:
        kernel = current_kernel()
        return time.monotonic() if kernel is None else kernel.now()

    def sleep(self, seconds: float) -> None:
        kernel = current_kernel()
        if kernel is None:
            time.sleep(seconds)
        else:
            kernel.block(seconds)


class Dice(ModuleType):
    """Stands for the module `random` in fakeredis."""

    def __getattr__(self, name: str) -> Any:
        kernel = current_kernel()
        return getattr(random if kernel is None else kernel.dice, name)


def _load_all_of_fakeredis() -> None:
    for found in pkgutil.walk_packages(fakeredis.__path__, "fakeredis."):
        try:
            importlib.import_module(found.name)
        except ImportError:  # a module for an optional package that is not installed
            continue


def _replace(module: str, what: ModuleType, by: type[ModuleType]) -> bool:
    """Replace the module `what` wherever `module` names it; returns whether it did so anywhere."""
    names = vars(sys.modules[module])
    found = [name for name, value in names.items() if value is what]
    for name in found:
        names[name] = by(what.__name__)
    return bool(found)


def _in_order_of_insertion(members: ExpiringMembersSet) -> Iterator[bytes]:
    members._expire_members()
    return iter(list(members._values))


def _filled_at_once(self: CaseInsensitiveDict, data: Mapping[str, Any]) -> None:
    dict.update(self, {key.upper(): value for key, value in data.items()})


def _in_order_given(real: Callable[..., Any]) -> Callable[..., Any]:
    def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
        if current_kernel() is not None:
            fs = [asyncio.ensure_future(f) for f in fs]
        return real(fs, timeout=timeout)

    return as_completed


def _in_line(real: Callable[..., Any]) -> Callable[..., Any]:
    async def run_sync_in_worker_thread(
        func: Callable[..., Any], args: Any, *rest: Any, **options: Any
    ) -> Any:
        if current_kernel() is not None:
            return func(*args)
        return await real(func, args, *rest, **options)

    return run_sync_in_worker_thread
