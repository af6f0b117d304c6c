"""Libraries whose order is that of memory addresses, of hashes or of the process's own dice, taught
the order of the run.

`asyncio.as_completed` puts what it is given into a set before it makes tasks of it; fakeredis
iterates over sets of bytes and draws from the module `random`. Outside a simulated loop nothing
changes but that sets of fakeredis keep the order of insertion."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

from fakeredis.model import ExpiringMembersSet

from labkit.sim.clock import current_world


class Dice(ModuleType):
    """Stands for the module `random` in fakeredis."""

    def __getattr__(self, name: str) -> Any:
        world = current_world()
        return getattr(random if world is None else world.dice, name)


class Members(set[Any]):
    """What SMEMBERS and its like answer: a set that is iterated in sorted order."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(set.__iter__(self)))


@cache
def install() -> None:
    """Teach them, once a process."""
    real = asyncio.as_completed

    def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
        return real(
            fs if current_world() is None else [asyncio.ensure_future(f) for f in fs],
            timeout=timeout,
        )

    asyncio.as_completed = asyncio.tasks.as_completed = as_completed
    for name, module in list(sys.modules.items()):
        if name.startswith("fakeredis."):
            for attribute, value in list(vars(module).items()):
                if value is random:
                    setattr(module, attribute, Dice("random"))

    def in_order(self: ExpiringMembersSet) -> Iterator[bytes]:
        self._expire_members()
        return iter(list(self._values))

    ExpiringMembersSet.__iter__ = in_order  # type: ignore[method-assign]
