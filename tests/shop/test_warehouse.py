"""The warehouse: `reserve` and `release` lock the stock in one order, and units of a lost SKU are
not lost with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.transactions import begin_immediate
from labkit.shop import warehouse
from tests.support.engines import engine_on

ORDERED_IN_ANOTHER_WAY = """CREATE TABLE allocation_lines (
    reference VARCHAR(64) NOT NULL, sku VARCHAR(64) COLLATE NOCASE NOT NULL,
    quantity INTEGER NOT NULL,
    PRIMARY KEY (reference, sku)
)"""
"""As on a PostgreSQL with en_US.UTF-8: "a" comes before "B", which `sorted` puts first."""


@contextmanager
def stock_updates(engine: AsyncEngine) -> Iterator[list[str]]:
    """The SKUs whose stock is written in the block, in order."""
    seen: list[str] = []

    def look(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if statement.startswith("UPDATE inventory"):
            seen.extend(value for value in parameters if isinstance(value, str))

    event.listen(engine.sync_engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", look)


def test_release_locks_the_stock_in_the_order_of_reserve_however_the_database_sorts(
    sqlite_url: str,
) -> None:
    async def act() -> tuple[list[str], list[str], dict[str, Any]]:
        async with engine_on(sqlite_url) as engine:
            async with engine.begin() as connection:
                await connection.execute(text(ORDERED_IN_ANOTHER_WAY))
            await warehouse.open_warehouse(engine, {"a": 5, "B": 5})
            with stock_updates(engine) as taken:
                async with begin_immediate(engine) as connection:
                    await warehouse.reserve(connection, "o1", [("a", 1), ("B", 2)])
            with stock_updates(engine) as returned:
                async with begin_immediate(engine) as connection:
                    answer = await warehouse.release(connection, "o1")
            return taken, returned, answer

    taken, returned, answer = asyncio.run(act())
    assert taken == returned == ["B", "a"]
    assert list(answer["released"].items()) == [("B", 2), ("a", 1)]


def test_a_sku_that_the_inventory_has_lost_is_there_again_with_its_units(database: str) -> None:
    async def act() -> list[tuple[Any, ...]]:
        async with engine_on(database) as engine:
            await warehouse.open_warehouse(engine, {"mat": 5, "tent": 3})
            async with begin_immediate(engine) as connection:
                await warehouse.reserve(connection, "o1", [("tent", 2), ("mat", 1)])
            async with engine.begin() as connection:
                await connection.execute(text("DELETE FROM inventory WHERE sku = 'tent'"))
            for _ in range(2):
                async with begin_immediate(engine) as connection:
                    answer = await warehouse.release(connection, "o1")
                    assert answer == {"allocation": "o1", "released": {"mat": 1, "tent": 2}}
            async with engine.connect() as connection:
                rows = await connection.execute(
                    text("SELECT sku, stock FROM inventory ORDER BY sku")
                )
                return [tuple(row) for row in rows]

    assert asyncio.run(act()) == [("mat", 5), ("tent", 2)]
