"""A shop with holds for a test: a database with some stock, a clock that is moved by hand, ids that
are numbered.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate, reading
from labkit.inventory import Availability, Balance, Holds, Ledger, create_reservations, reconcile
from labkit.inventory.model import HoldEvent
from labkit.inventory.stock import create_inventory
from labkit.inventory.transitions import availability
from labkit.world import History
from tests.support.engines import engine_on


class Shelf:
    """Holds on one engine, with what they announced; `holds` is also made anew with other options
    by `again`.
    """

    def __init__(self, engine: AsyncEngine, **options: Any) -> None:
        self.engine = engine
        self.now = 1000.0
        self.said: list[HoldEvent] = []
        self.numbers = count(1)
        self.holds = self.again(**options)
        self.ledger = Ledger(engine)

    def clock(self) -> float:
        return self.now

    def ids(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers):03}"

    async def announce(self, connection: AsyncConnection, event: HoldEvent) -> None:
        self.said.append(event)

    def again(self, **options: Any) -> Holds:
        return Holds(
            self.engine,
            **{"clock": self.clock, "ids": self.ids, "ttl": 10.0, "announce": self.announce}
            | options,
        )

    async def everything(self) -> dict[str, Availability]:
        async with reading(self.engine) as connection:
            return await availability(connection, now=self.now)

    async def execute(self, statement: str, **values: Any) -> None:
        """Tamper with the database, as no code of ours would."""
        async with begin_immediate(self.engine) as connection:
            await connection.execute(text(statement), values)

    async def adds_up(self, **initial: int) -> None:
        """Shelf and ledger agree, and together they are what there was at first."""
        books = await self.everything()
        for sku, units in initial.items():
            found = books[sku]
            assert found.total == units, f"{found} is not {units} in all"
            assert await self.ledger.balance(sku) == Balance(found.on_hand, found.held, found.sold)
        assert await reconcile(self.engine, clock=self.clock, grace=86_400.0) == []


def on(
    url: str, stock: Mapping[str, int], scenario: Callable[[Shelf], Awaitable[Any]], **options: Any
) -> Any:
    async def run() -> Any:
        async with engine_on(url) as engine:
            return await scenario(await filled(engine, stock, **options))

    return asyncio.run(run())


async def filled(engine: AsyncEngine, stock: Mapping[str, int], **options: Any) -> Shelf:
    shelf = Shelf(engine, **options)
    await create_inventory(engine, stock)
    await create_reservations(engine, clock=shelf.clock)
    return shelf


def moments_of(history: History, node: str, until: float) -> list[float]:
    """Just after each message that the node sent or got, and each event of it: between two of them
    a crash does the same.
    """
    times = [event.at for event in history.events if event.node == node]
    for message in history.messages:
        times += [message.sent] if message.src == node else []
        times += [message.arrived] if message.dst == node and message.arrived is not None else []
    return sorted({math.ceil(time * 10_000) / 10_000 for time in times if time <= until})
