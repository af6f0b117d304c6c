"""The ground that every shop of lesson 1.1c stands on: two tables, the customers, and what they
were told.

A shop is a class with `open`, `reserve`, `confirm`, `sweep` and `books`; the lesson writes them one
after the other and hands them to `shopping`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import DatabaseUnavailable, begin_immediate, reading
from labkit.world import Run, World

TABLES = (
    "CREATE TABLE stock (on_hand INT CHECK (on_hand >= 0), held INT CHECK (held >= 0), sold INT)",
    "CREATE TABLE holds "
    "(id VARCHAR(64) PRIMARY KEY, customer VARCHAR(64), status TEXT, expires_at FLOAT)",
)
Visit = tuple[float, float | None]
"""When a customer comes, and how many seconds later they pay (None: never)."""


async def change(db: AsyncEngine, sql: str, **values: Any) -> int:
    """Run one statement in a transaction of its own; how many rows it changed."""
    async with begin_immediate(db) as tx:
        return (await tx.execute(text(sql), values)).rowcount


async def ask(db: AsyncEngine, sql: str, **values: Any) -> Sequence[Row[Any]]:
    """The rows of one SELECT."""
    async with reading(db) as connection:
        return (await connection.execute(text(sql), values)).all()


class Shop:
    """The tables, and the books at the end. `ttl`: seconds after which a hold ends."""

    def __init__(self, world: World, ttl: float) -> None:
        self.world, self.ttl, self.db = world, ttl, world.database()

    async def open(self, stoves: int) -> None:
        """Make the tables, with this many stoves on hand."""
        for sql in TABLES:
            await change(self.db, sql)
        await change(self.db, "INSERT INTO stock VALUES (:stoves, 0, 0)", stoves=stoves)

    async def books(self) -> dict[str, int]:
        """Where the stoves are, and how far their count is from that of the holds ("wrong")."""
        [(on_hand, held, sold)] = await ask(self.db, "SELECT on_hand, held, sold FROM stock")
        [(holds,)] = await ask(self.db, "SELECT count(*) FROM holds WHERE status = 'held'")
        return {"on_hand": on_hand, "held": held, "sold": sold, "wrong": abs(held - holds)}

    async def reserve(self, customer: int) -> str | None:
        """The id of a hold on one stove; None when it is sold out."""
        raise NotImplementedError

    async def confirm(self, hold: str) -> bool:
        """Whether the hold could be confirmed."""
        raise NotImplementedError

    async def sweep(self) -> None:
        """Take back every hold that has ended."""
        raise NotImplementedError


async def shopping(
    world: World,
    shop: type[Shop],
    visits: Sequence[Visit],
    stoves: int = 1,
    ttl: float = 600.0,
    sweeper: bool = False,
    quiet: float = 10.0,
) -> None:
    """Customers come to two services, a and b, in turn. Each is told whether there is a stove, and
    pays after a while or never. The last event, "books", says where the stoves are.
    """
    await shop(world, ttl).open(stoves)

    async def visit(customer: int, pays: float | None) -> None:
        counter = shop(world, ttl)  # each with a connection of its own: a crash takes it along
        hold = await counter.reserve(customer)
        world.record("told", customer=customer, what="reserved" if hold else "sold out")
        if hold and pays is not None:
            await asyncio.sleep(pays)
            confirmed = await counter.confirm(hold)
            what = "confirmed" if confirmed else "too late"
            world.record("told", customer=customer, what=what)

    async def keep_sweeping() -> None:
        while True:
            await asyncio.sleep(ttl / 2)
            with suppress(DatabaseUnavailable):
                await shop(world, ttl).sweep()

    if sweeper:
        world.node("sweeper").boot(keep_sweeping)
    tasks = []
    for number, (comes, pays) in enumerate(visits):
        await asyncio.sleep(max(0.0, comes - world.now()))
        tasks.append(world.node("ab"[number % 2]).start(visit, number, pays))
    await world.join(*tasks)
    await asyncio.sleep(quiet)
    world.record("books", **await shop(world, ttl).books())


def crowd(size: int, gap: float, pays: float | None = None) -> list[Visit]:
    """So many customers, one every `gap` seconds."""
    return [(gap * number, pays) for number in range(size)]


def afternoon(seed: int, size: int, hours: float) -> list[Visit]:
    """Customers at random times; some pay within 15 minutes, a half of them never."""
    rng = Random(seed)
    comes = sorted(rng.uniform(0, 3600 * hours) for _ in range(size))
    return [(second, rng.choice([None, rng.uniform(5, 900)])) for second in comes]


def told(done: Run, *words: str) -> list[int]:
    """The customers whose last word from the shop was one of these."""
    last = {event.data["customer"]: event.data["what"] for event in done.history.of("told")}
    return [customer for customer, word in sorted(last.items()) if word in words]
