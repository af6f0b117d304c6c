"""Inventory: exactly what was there is sold, whoever asks, in whatever order."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import Refused, StaleToken
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.inventory.stock import (
    Inventory,
    Take,
    create_inventory,
    fenced,
    guarded,
    inventory,
    row_locked,
    summed,
)
from tests.support.depth import examples
from tests.support.engines import engine_on

every_way = pytest.mark.parametrize(
    "take", [guarded, row_locked, fenced(1)], ids=["guarded", "row_locked", "fenced"]
)


def on(
    url: str,
    stock: dict[str, int],
    scenario: Callable[[AsyncEngine], Awaitable[Any]],
    **options: Any,
) -> Any:
    async def run() -> Any:
        async with engine_on(url, **options) as engine:
            await create_inventory(engine, stock)
            return await scenario(engine)

    return asyncio.run(run())


@every_way
def test_a_sale_takes_its_quantity_and_says_what_remains(database: str, take: Take) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        shelf = Inventory(engine, take)
        assert [
            await shelf.sell("tent", 2),
            await shelf.sell("tent", 1),
            await shelf.stock("tent"),
        ] == [3, 2, 2]
        with pytest.raises(OutOfStock) as refused:
            await shelf.sell("tent", 3)
        assert (refused.value.sku, refused.value.wanted, refused.value.available) == ("tent", 3, 2)
        with pytest.raises(UnknownSku, match="'yacht'"):
            await shelf.sell("yacht", 1)
        assert await shelf.stock("tent") == 2

    on(database, {"tent": 5}, scenario)


@every_way
def test_fifty_buyers_at_once_are_sold_exactly_the_ten_that_are_there(
    database: str, take: Take
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        shelf = Inventory(engine, take)
        answers = await asyncio.gather(
            *(shelf.sell("tent", 1) for _ in range(50)), return_exceptions=True
        )
        assert sorted(answer for answer in answers if isinstance(answer, int)) == list(range(10))
        assert sum(isinstance(answer, OutOfStock) for answer in answers) == 40
        assert await shelf.stock("tent") == 0

    on(database, {"tent": 10}, scenario)


def test_a_fenced_sale_refuses_an_older_token_and_changes_nothing(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        assert await Inventory(engine, fenced(7)).sell("tent", 1) == 4
        assert await Inventory(engine, fenced(7)).sell("tent", 1) == 3, "its own token is not older"
        with pytest.raises(StaleToken) as stale:
            await Inventory(engine, fenced(6)).sell("tent", 1)
        assert (stale.value.key, stale.value.given, stale.value.seen) == ("tent", 6, 7)
        assert await Inventory(engine, fenced(6)).sell("mat", 1) == 4, (
            "another row has its own fence"
        )
        assert await Inventory(engine).stock("tent") == 3
        with pytest.raises(OutOfStock):
            await Inventory(engine, fenced(9)).sell("tent", 99)
        assert await Inventory(engine, fenced(8)).sell("tent", 1) == 2, (
            "a refused sale does not raise the fence"
        )

    on(database, {"tent": 5, "mat": 5}, scenario)


@every_way
def test_a_cart_is_sold_as_a_whole_or_not_at_all(database: str, take: Take) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        shelf = Inventory(engine, take)
        with pytest.raises(OutOfStock):
            await shelf.sell_all([("mat", 2), ("tent", 1), ("tent", 1)])
        assert (await shelf.stock("mat"), await shelf.stock("tent")) == (5, 1)
        assert await shelf.sell_all([("tent", 1), ("mat", 2), ("mat", 1)]) == {"mat": 2, "tent": 0}

    on(database, {"tent": 1, "mat": 5}, scenario)


@every_way
def test_carts_in_opposite_order_do_not_deadlock(database: str, take: Take) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        shelf = Inventory(engine, take)
        carts = ([("a", 1), ("b", 1)], [("b", 1), ("a", 1)])
        await asyncio.gather(*(shelf.sell_all(cart) for cart in carts * 15))
        assert (await shelf.stock("a"), await shelf.stock("b")) == (0, 0)

    on(database, {"a": 30, "b": 30}, scenario)


@pytest.mark.parametrize("quantity", [0, -3, True, 1.5, "2"])
@every_way
def test_a_quantity_that_is_no_count_is_refused(sqlite_url: str, take: Take, quantity: Any) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(ValueError, match="quantity must be a whole number of at least 1"):
            await Inventory(engine, take).sell("tent", quantity)
        assert await Inventory(engine).stock("tent") == 5

    on(sqlite_url, {"tent": 5}, scenario)


def test_the_check_holds_even_against_an_update_without_a_guard(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(IntegrityError):
            async with engine.begin() as connection:
                await connection.execute(update(inventory).values(stock=inventory.c.stock - 2))

    on(database, {"tent": 1}, scenario)


def test_sqlalchemy_leaves_for_update_out_on_sqlite() -> None:
    query = select(inventory.c.stock).with_for_update()
    assert str(query.compile(dialect=postgresql.dialect())).endswith("FOR UPDATE")
    assert "FOR UPDATE" not in str(query.compile(dialect=sqlite.dialect()))


def test_for_update_alone_oversells_on_sqlite_as_its_driver_comes(sqlite_url: str) -> None:
    """The driver begins at the first write, so the SELECT was in no transaction: both read 1, both
    write 0, both have sold.
    """

    async def scenario(engine: AsyncEngine) -> list[int]:
        return await both_read_then_write(engine)

    assert on(sqlite_url, {"tent": 1}, scenario) == [0, 0]


def test_for_update_with_a_plain_begin_makes_the_second_sqlite_writer_fail(sqlite_url: str) -> None:
    """A deferred BEGIN does not oversell: who has read before the other wrote may not write any
    more.
    """

    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(OperationalError, match="database is locked"):
            await both_read_then_write(engine, begin="BEGIN")

    on(sqlite_url, {"tent": 1}, scenario, busy_timeout=0.0)


async def both_read_then_write(engine: AsyncEngine, begin: str | None = None) -> list[int]:
    """Two buyers of the last one: `row_locked`, stopped between its SELECT and its UPDATE until the
    other got there too.
    """
    read = select(inventory.c.stock).where(inventory.c.sku == "tent").with_for_update()
    async with engine.connect() as first, engine.connect() as second:
        remaining = []
        for buyer in (first, second):
            if begin is not None:
                await buyer.exec_driver_sql(begin)
            stock = await buyer.scalar(read)
            assert stock is not None and stock >= 1
            remaining.append(stock - 1)
        for buyer, left in zip((first, second), remaining, strict=True):
            await buyer.execute(
                update(inventory).where(inventory.c.sku == "tent").values(stock=left)
            )
            await buyer.commit()
        return remaining


lines = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "nowhere"]), st.integers(1, 4)),
    min_size=1,
    max_size=4,
)


@examples("fair")
@given(
    stock=st.fixed_dictionaries({sku: st.integers(0, 8) for sku in "abc"}),
    carts=st.lists(lines, max_size=8),
)
def test_any_sequence_of_carts_leaves_what_a_dictionary_would(
    stock: dict[str, int], carts: list[list[tuple[str, int]]]
) -> None:
    def sold_by_a_dictionary(cart: list[tuple[str, int]], shelf: dict[str, int]) -> dict[str, int]:
        left = dict(shelf)
        for sku, quantity in cart:
            if left.get(sku, 0) < quantity:
                return shelf
            left[sku] -= quantity
        return left

    async def scenario(engine: AsyncEngine) -> None:
        shelf, expected = Inventory(engine), dict(stock)
        for cart in carts:
            after = sold_by_a_dictionary(cart, expected)
            try:
                remaining = await shelf.sell_all(cart)
            except Refused:
                assert after is expected, f"{cart} could have been sold from {expected}"
            else:
                assert remaining == {sku: after[sku] for sku in sorted({sku for sku, _ in cart})}
            expected = after
            assert {sku: await shelf.stock(sku) for sku in "abc"} == expected

    with tempfile.TemporaryDirectory() as directory:
        on(f"sqlite+aiosqlite:///{directory}/shop.db", stock, scenario)


def test_demand_is_summed_per_sku_and_sorted() -> None:
    assert list(summed([("b", 1), ("a", 2), ("b", 3)]).items()) == [("a", 2), ("b", 4)]


def test_it_says_how_it_takes_stock() -> None:
    engine: Any = None
    assert [repr(Inventory(engine)), repr(Inventory(engine, fenced(3)))] == [
        "<Inventory, guarded>",
        "<Inventory, fenced(3)>",
    ]
