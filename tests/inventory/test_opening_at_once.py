"""Several processes at one PostgreSQL at once: they open the shop once, and wait for rows in one
order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Select, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.transactions import begin_immediate, reading
from labkit.inventory import (
    Accepts,
    Balance,
    Ledger,
    Validator,
    create_quotas,
    create_reservations,
    reconcile,
    repair,
)
from labkit.inventory.stock import create_inventory, guarded, lock_all
from labkit.inventory.tables import holds
from tests.inventory.shelf import Shelf, on
from tests.support.engines import engine_on
from tests.support.servers import eventually


def test_tables_made_by_four_at_once_are_made(postgres_url: str) -> None:
    async def scenario() -> None:
        async with engine_on(postgres_url) as engine:
            await asyncio.gather(*(create_inventory(engine, {}) for _ in range(4)))
            await asyncio.gather(
                *(create_reservations(engine, clock=lambda: 0.0) for _ in range(4))
            )
            await asyncio.gather(*(create_quotas(engine, {"tent": {"east": 1}}) for _ in range(4)))

    asyncio.run(scenario())


def opened(shelf: Shelf) -> Awaitable[Any]:
    return create_reservations(shelf.engine, clock=shelf.clock)


async def repaired(shelf: Shelf) -> None:
    assert (
        await repair(
            shelf.engine, await reconcile(shelf.engine, clock=shelf.clock), clock=shelf.clock
        )
        == []
    )


@pytest.mark.parametrize("first", [opened, repaired])
def test_the_ledger_of_new_goods_is_opened_once_whoever_else_starts_or_repairs(
    postgres_url: str, first: Any
) -> None:
    """Both find the goods unopened and wait for their row, which a third one has."""

    async def scenario(shelf: Shelf) -> None:
        await create_inventory(shelf.engine, {"mat": 7})
        async with begin_immediate(shelf.engine) as third:
            await lock_all(third, ["mat"])
            tasks = []
            for number, opener in enumerate((first, opened), start=1):
                tasks.append(asyncio.ensure_future(opener(shelf)))
                await eventually(partial(waiting, shelf, number))
        await asyncio.gather(*tasks)
        assert await Ledger(shelf.engine).balance("mat") == Balance(on_hand=7)

    on(postgres_url, {}, scenario)


async def waiting(shelf: Shelf, many: int) -> bool:
    asked = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    async with reading(shelf.engine) as connection:
        return int(await connection.scalar(asked) or 0) >= many


def test_the_ledger_cannot_be_emptied_and_can_be_made_again(postgres_url: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        with pytest.raises(DBAPIError, match="stock_ledger is append-only"):
            await shelf.execute("TRUNCATE stock_ledger")
        await shelf.adds_up(tent=5)
        await shelf.execute("DROP TABLE stock_ledger")
        await create_reservations(shelf.engine, clock=shelf.clock)
        with pytest.raises(DBAPIError, match="stock_ledger is append-only"):
            await shelf.execute("DELETE FROM stock_ledger")
        await shelf.adds_up(tent=5)

    on(postgres_url, {"tent": 5}, scenario)


async def placed(shelf: Shelf) -> str:
    return (await shelf.holds.hold([("a", 1), ("b", 1)], key="k", customer="ada")).status


async def decided(shelf: Shelf) -> str:
    await Accepts(shelf.engine, clock=shelf.clock, ids=shelf.ids).accept(
        [("a", 1), ("b", 1)], key="k", customer="ada"
    )
    (hold,) = await Validator(shelf.engine, owner="v", clock=shelf.clock).decide()
    return hold.status


@pytest.mark.parametrize(("taker", "end"), [(placed, "held"), (decided, "confirmed")])
def test_who_takes_goods_back_for_a_cart_waits_in_the_order_of_all_others(
    postgres_url: str, taker: Any, end: str
) -> None:
    """An abandoned hold on b makes room for a cart of a and b, while another sells a and then b."""

    async def scenario(shelf: Shelf) -> None:
        async with abandoned_and_a_seller_of_a(shelf) as seller:
            taking = asyncio.create_task(taker(shelf))
            await eventually(lambda: waiting(shelf, 1))
            await guarded(seller, "b", 1)
        assert await taking == end

    on(postgres_url, {"a": 9, "b": 9}, scenario)


@asynccontextmanager
async def abandoned_and_a_seller_of_a(shelf: Shelf) -> AsyncIterator[AsyncConnection]:
    await shelf.holds.hold([("b", 1)], key="abandoned", customer="eve")
    shelf.now += 10.0
    async with begin_immediate(shelf.engine) as seller:
        await guarded(seller, "a", 1)
        yield seller


def test_a_repair_of_what_is_overdue_waits_for_holds_before_it_has_stock(postgres_url: str) -> None:
    """Somebody who has the first of two overdue holds goes on to its stock, while a repair is at
    the second.
    """

    async def scenario(shelf: Shelf) -> None:
        first, second = [
            await shelf.holds.hold([("a", 1)], key=key, customer="eve") for key in "kl"
        ]
        shelf.now += 10.0
        found = [
            one
            for one in await reconcile(shelf.engine, clock=shelf.clock, grace=0.0)
            if one.hold_id == second.id
        ]
        async with begin_immediate(shelf.engine) as other:
            await other.execute(select(holds).where(holds.c.id == first.id).with_for_update())
            repairing = asyncio.create_task(repair(shelf.engine, found, clock=shelf.clock))
            await eventually(lambda: waiting(shelf, 1))
            await guarded(other, "a", 1)
        assert await repairing == []

    on(postgres_url, {"a": 9}, scenario)


def test_the_order_of_locks_is_pythons_however_the_database_sorts(sqlite_url: str) -> None:
    """Here it sorts "a" before "B", as many a PostgreSQL does; `take_all` takes "B" before "a"."""

    async def scenario() -> list[str]:
        seen: list[Select[Any]] = []
        async with engine_on(sqlite_url) as engine, begin_immediate(engine) as connection:
            await connection.execute(
                text("CREATE TABLE inventory (sku VARCHAR(64) PRIMARY KEY COLLATE NOCASE)")
            )
            await connection.execute(text("INSERT INTO inventory VALUES ('a'), ('B'), ('c')"))

            @event.listens_for(engine.sync_engine, "before_execute")
            def note(_: object, statement: Any, *__: object) -> None:
                seen.append(statement)

            await lock_all(connection, ["c", "a", "B"])
            (only,) = seen
            return list((await connection.scalars(only)).all())

    assert asyncio.run(scenario()) == ["B", "a", "c"]
