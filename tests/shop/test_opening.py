"""Opening a participant: again, as after a restart, is harmless; a number or a country out of
bounds is refused whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.transactions import begin_immediate
from labkit.shop import orders, payments, shipping, warehouse
from labkit.shop.catalogue import Product
from tests.support.engines import engine_on


def on(url: str, scenario: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with engine_on(url) as engine:
            return await scenario(engine)

    return asyncio.run(act())


async def rows(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


def test_opened_again_an_account_stays_as_it_is_and_a_new_one_is_added(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        await payments.open_payments(engine, {"ada": 100, "bob": 0})
        async with begin_immediate(engine) as connection:
            await payments.charge(connection, "o1", "ada", 60)
        for _ in range(2):
            await payments.open_payments(engine, {"ada": 500, "carla": 7, "bob": 0})
        assert await rows(
            engine, "SELECT customer, limit_cents, charged_cents FROM accounts ORDER BY customer"
        ) == [
            ("ada", 100, 60),
            ("bob", 0, 0),
            ("carla", 7, 0),
        ]

    on(database, scenario)


def test_opened_again_the_stock_stays_what_was_left(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        await warehouse.open_warehouse(engine, {"tent": 3})
        async with begin_immediate(engine) as connection:
            await warehouse.reserve(connection, "o1", [("tent", 2)])
        for stock in ({"tent": 3, "mat": 2}, {}):
            await warehouse.open_warehouse(engine, stock)
        assert await rows(engine, "SELECT sku, stock FROM inventory ORDER BY sku") == [
            ("mat", 2),
            ("tent", 1),
        ]

    on(database, scenario)


def test_opened_again_more_countries_are_served_and_none_less(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        for served in (["PT", "ES", "PT"], ["FR", "ES"], []):
            await shipping.open_shipping(engine, served)
        assert await rows(engine, "SELECT country FROM countries ORDER BY country") == [
            ("ES",),
            ("FR",),
            ("PT",),
        ]

    on(database, scenario)


def test_processes_that_open_at_once_open_it_once(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        for _ in range(3):
            one: list[Awaitable[None]] = [
                payments.open_payments(engine, {"ada": 1, "bob": 2}),
                warehouse.open_warehouse(engine, {"tent": 3, "mat": 2}),
                shipping.open_shipping(engine, ["PT", "ES"]),
            ]
            await asyncio.gather(*one, payments.open_payments(engine, {"bob": 2, "ada": 1}))
        assert await rows(engine, "SELECT count(*) FROM accounts") == [(2,)]

    on(database, scenario)


@pytest.mark.parametrize(
    ("start", "given"),
    [
        (start, {"ada": 1, "eve": bad})
        for start in (payments.open_payments, warehouse.open_warehouse)
        for bad in (-5, "many", True, 1.5)
    ],
)
def test_a_number_out_of_bounds_is_named_and_nothing_is_made(
    start: Any, given: Any, sqlite_url: str
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(ValueError) as refusal:
            await start(engine, given)
        field = "limits" if start is payments.open_payments else "stock"
        assert (
            str(refusal.value)
            == f"{field}['eve'] must be a whole number of at least 0, got {given['eve']!r}"
        )
        async with engine.connect() as connection:
            assert await connection.run_sync(lambda plain: inspect(plain).get_table_names()) == []

    on(sqlite_url, scenario)


@pytest.mark.parametrize("country", ["FRA", "fr", "12", "F", "", "FR\n", "ÉÉ", None, 7])
def test_what_is_no_country_is_neither_served_nor_booked(country: Any, sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(ValueError) as refusal:
            await shipping.open_shipping(engine, ["PT", country])
        assert (
            str(refusal.value) == f"served needs a country of two capital letters, got {country!r}"
        )
        await shipping.open_shipping(engine, ["PT"])
        async with begin_immediate(engine) as connection:
            with pytest.raises(ValueError) as refusal:
                await shipping.book(connection, "o1", {"country": country})
        assert (
            str(refusal.value) == f"address needs a country of two capital letters, got {country!r}"
        )
        assert await rows(engine, "SELECT country FROM countries") == [("PT",)]
        assert await rows(engine, "SELECT * FROM parcels") == []

    on(sqlite_url, scenario)


def test_opened_again_a_product_keeps_its_price_and_a_new_one_is_added(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        await orders.open_orders(engine, [Product("tent", "Tent", 100, 0)])
        both = [Product("tent", "Yurt", 500, 0), Product("mat", "Mat", 7, 0)]
        await asyncio.gather(*(orders.open_orders(engine, both) for _ in range(3)))
        await orders.open_orders(engine, [])
        assert await rows(engine, "SELECT sku, name, price_cents FROM products ORDER BY sku") == [
            ("mat", "Mat", 7),
            ("tent", "Tent", 100),
        ]

    on(database, scenario)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"total_cents": -1}, "order_total_not_negative"),
        ({"status": "lost"}, "order_status"),
        ({"status": "cancelled"}, "order_reason"),
        ({"reason": "because"}, "order_reason"),
    ],
)
def test_the_database_itself_refuses_what_no_order_can_be(
    wrong: dict[str, Any], named: str, database: str
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        await orders.open_orders(engine, [])
        row = {"id": "o1", "customer": "ada", "country": "PT", "created_at": 1.0}
        row |= {"total_cents": 0, "status": "pending", "reason": None}
        with pytest.raises(IntegrityError, match=named):
            async with begin_immediate(engine) as connection:
                await connection.execute(insert(orders.orders).values(row | wrong))
        async with begin_immediate(engine) as connection:
            await connection.execute(insert(orders.orders).values(row))

    on(database, scenario)
