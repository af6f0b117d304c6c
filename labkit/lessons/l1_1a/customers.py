"""Customers of lesson 1.1a: two who were told something, four at one service at the same moment,
and one who tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol

from redis.exceptions import LockError

from labkit.base.errors import StaleToken
from labkit.world import World

Hold = Callable[[World], AbstractAsyncContextManager[Any]]
ANYONE = 2**53 - 1
"""A token that no store refuses: for looking at what it holds in the end."""


class Store(Protocol):
    """A text by key, read and written under a fencing token."""

    async def read(self, key: str, *, token: int) -> str | None: ...

    async def write(self, key: str, text: str, *, token: int) -> None: ...


async def four_orders(world: World, hold: Hold) -> list[str]:
    """Four customers order at one service at once; each order holds the lock for 50 milliseconds.

    Returns what each was told: "sold", or the name of the error.
    """

    async def order() -> str:
        async with hold(world):
            await asyncio.sleep(0.05)
        return "sold"

    tasks = [world.node("shop").start(order) for _ in range(4)]
    told = await world.join(*tasks, return_exceptions=True)
    return [answer if isinstance(answer, str) else type(answer).__name__ for answer in told]


async def aftermath(
    world: World, store: Callable[[Any], Store], told: Sequence[str | BaseException]
) -> dict[str, Any]:
    """What Ada and Bob were told ("sold", or the name of the error), and the buyers that the store
    holds half a minute later, when every late message has arrived.
    """
    ada, bob = (each if isinstance(each, str) else type(each).__name__ for each in told)
    return {"ada": ada, "bob": bob, "store": await _buyers(world, store)}


async def impatient(
    world: World,
    hold: Hold,
    store: Callable[[Any], Store],
    sell: Callable[..., Awaitable[str]],
    stoves: int = 5,
    attempts: int = 3,
) -> list[str]:
    """Ada orders one of five stoves, and orders again when she sees an error.

    Returns the buyers that the store holds half a minute later.
    """

    async def customer() -> str | None:
        for _ in range(attempts):
            with suppress(LockError, StaleToken, asyncio.CancelledError):
                async with hold(world) as lease:
                    shelf = store(world.redis("stock"))
                    return await sell(world, shelf, "ada", lease.token, stoves)
        return None

    await world.join(world.node("a").start(customer))
    return await _buyers(world, store)


async def _buyers(world: World, store: Callable[[Any], Store]) -> list[str]:
    await asyncio.sleep(30)
    text = await store(world.redis("stock")).read("stove", token=ANYONE)
    return text.split() if text else []
