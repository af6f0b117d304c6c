"""Payments, warehouse, shipping, orders: once for a reference, all or nothing, and undo before
do is remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import KeyReused, Refused, Withdrawn
from labkit.base.transactions import begin_immediate
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.shop import orders, payments, shipping, warehouse
from labkit.shop.catalogue import Product
from labkit.shop.orders import OrderItem, OrderRequest
from labkit.shop.payments import Declined
from labkit.shop.shipping import NotServed
from tests.messaging.in_memory import Memory
from tests.support.depth import examples
from tests.support.engines import engine_on

LIMITS = {"ada": 100, "bob": 50}
STOCK = {"tent": 3, "mat": 2}


class Desk:
    """Calls of the participants, each in a transaction of its own; a refusal is caught inside it,
    and it is committed.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def __call__(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        async with begin_immediate(self.engine) as connection:
            try:
                return await function(connection, *args)
            except Refused as refusal:
                return refusal

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(query))]


async def open_all(engine: AsyncEngine) -> None:
    await payments.open_payments(engine, LIMITS)
    await warehouse.open_warehouse(engine, STOCK)
    await shipping.open_shipping(engine, ["PT", "ES"])
    await orders.open_orders(engine, [Product("tent", "Tent", 60, 0)])


def at_desk(url: str, scenario: Callable[[Desk], Awaitable[None]]) -> None:
    async def act() -> None:
        async with engine_on(url) as engine:
            await open_all(engine)
            await scenario(Desk(engine))

    asyncio.run(act())


def tents(quantity: int, customer: str = "ada", country: str = "PT") -> OrderRequest:
    items = [OrderItem(sku="tent", quantity=quantity)]
    return OrderRequest(customer=customer, country=country, items=items)


def test_a_payment_is_made_once_and_given_back_once(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        for _ in range(2):
            assert await desk(payments.charge, "o1", "ada", 60) == {"payment": "o1", "cents": 60}
        assert isinstance(await desk(payments.charge, "o2", "ada", 41), Declined)
        assert isinstance(await desk(payments.charge, "o3", "nobody", 1), Declined)
        for _ in range(2):
            assert await desk(payments.refund, "o1") == {"payment": "o1", "refunded_cents": 60}
        assert isinstance(await desk(payments.charge, "o1", "ada", 60), Withdrawn)
        assert await desk(payments.charge, "o4", "ada", 100) == {"payment": "o4", "cents": 100}
        assert await desk.rows(
            "SELECT charged_cents, refunded_cents FROM accounts WHERE customer = 'ada'"
        ) == [(160, 60)]
        left = await desk.rows("SELECT reference, state FROM payments ORDER BY reference")
        assert left == [("o1", "refunded"), ("o4", "charged")], "a refusal leaves nothing behind"

    at_desk(database, scenario)


def test_a_refund_that_comes_first_refuses_the_charge(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        for _ in range(2):
            assert await desk(payments.refund, "o1") == {"payment": "o1", "refunded_cents": 0}
        assert isinstance(await desk(payments.charge, "o1", "ada", 60), Withdrawn)
        assert await desk.rows("SELECT sum(charged_cents) FROM accounts") == [(0,)]

    at_desk(database, scenario)


def test_a_reference_is_not_used_for_something_else(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        await desk(payments.charge, "o1", "ada", 60)
        await desk(warehouse.reserve, "o1", [("tent", 1)])
        for other in (("o1", "ada", 61), ("o1", "bob", 60)):
            with pytest.raises(KeyReused, match="payment 'o1' is of 60 cents by 'ada'"):
                await desk(payments.charge, *other)
        with pytest.raises(KeyReused, match="allocation 'o1' is of other goods"):
            await desk(warehouse.reserve, "o1", [("tent", 2)])
        await desk(shipping.book, "o1", {"country": "PT"})
        with pytest.raises(KeyReused, match="parcel 'o1' goes to 'PT'"):
            await desk(shipping.book, "o1", {"country": "ES"})
        await desk(orders.create, "o1", tents(1), 1.0)
        for another in (tents(2), tents(1, "bob"), tents(1, country="ES")):
            with pytest.raises(KeyReused, match="order 'o1' is another one, placed by 'ada'"):
                await desk(orders.create, "o1", another, 1.0)

    at_desk(database, scenario)


@pytest.mark.parametrize("cents", [0, -5, 1.5, True, "60"])
def test_cents_are_whole_and_positive(cents: Any, sqlite_url: str) -> None:
    async def scenario(desk: Desk) -> None:
        with pytest.raises(ValueError, match="cents must be a whole number of at least 1, got"):
            await desk(payments.charge, "o1", "ada", cents)
        assert await desk.rows("SELECT * FROM payments") == []

    at_desk(sqlite_url, scenario)


def test_the_database_itself_refuses_a_second_refund(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        await desk(payments.charge, "o1", "ada", 60)
        await desk(payments.refund, "o1")
        with pytest.raises(IntegrityError, match="no_more_refunded_than_charged"):
            async with desk.engine.begin() as connection:
                await connection.execute(
                    text(
                        "UPDATE accounts SET refunded_cents = refunded_cents + 60"
                        " WHERE customer = 'ada'"
                    )
                )

    at_desk(database, scenario)


def test_goods_are_set_aside_all_or_none_and_exactly_they_come_back(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        lines = [("tent", 1), ("mat", 2), ("tent", 1)]
        for _ in range(2):
            assert await desk(warehouse.reserve, "o1", lines) == {
                "allocation": "o1",
                "lines": {"mat": 2, "tent": 2},
            }
        refusal = await desk(warehouse.reserve, "o2", [("tent", 1), ("mat", 1)])
        assert isinstance(refusal, OutOfStock) and refusal.sku == "mat"
        assert isinstance(
            await desk(warehouse.reserve, "o2", [("tent", 1), ("yurt", 1)]), UnknownSku
        )
        assert await desk.rows("SELECT sku, stock FROM inventory ORDER BY sku") == [
            ("mat", 0),
            ("tent", 1),
        ]
        assert await desk(warehouse.reserve, "o2", [("tent", 1)]) == {
            "allocation": "o2",
            "lines": {"tent": 1},
        }
        for _ in range(2):
            assert await desk(warehouse.release, "o1") == {
                "allocation": "o1",
                "released": {"mat": 2, "tent": 2},
            }
        assert await desk.rows("SELECT sku, stock FROM inventory ORDER BY sku") == [
            ("mat", 2),
            ("tent", 2),
        ]
        assert isinstance(await desk(warehouse.reserve, "o1", lines), Withdrawn)
        assert await desk(warehouse.release, "o9") == {"allocation": "o9", "released": {}}
        assert isinstance(await desk(warehouse.reserve, "o9", lines), Withdrawn)
        with pytest.raises(ValueError, match="lines must name at least one SKU, got none"):
            await desk(warehouse.reserve, "o5", [])

    at_desk(database, scenario)


def test_a_parcel_is_booked_once_where_it_is_served(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        for _ in range(2):
            assert await desk(shipping.book, "o1", {"country": "PT", "street": "x"}) == {
                "parcel": "parcel-o1"
            }
        assert isinstance(await desk(shipping.book, "o2", {"country": "US"}), NotServed)
        assert await desk.rows("SELECT reference, state FROM parcels") == [("o1", "booked")]
        for reference, state in (("o1", "cancelled"), ("o3", "void")):
            for _ in range(2):
                assert await desk(shipping.cancel, reference) == {
                    "parcel": f"parcel-{reference}",
                    "state": "cancelled",
                }
            assert isinstance(await desk(shipping.book, reference, {"country": "PT"}), Withdrawn)
            assert await desk.rows(
                f"SELECT state FROM parcels WHERE reference = '{reference}'"
            ) == [(state,)]
        with pytest.raises(
            ValueError, match="address needs a country of two capital letters, got None"
        ):
            await desk(shipping.book, "o4", {})

    at_desk(database, scenario)


def test_an_order_is_completed_or_cancelled_and_never_both(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        for reference in ("done", "gone"):
            (first, new), (again, twice) = [
                await desk(orders.create, reference, tents(2), at) for at in (1.0, 2.0)
            ]
            assert first == again and (new, twice) == (True, False)
            assert (first.status, first.total_cents) == ("pending", 120)
        for _ in range(2):
            assert await desk(orders.complete, "done") == {"order": "done", "status": "completed"}
            assert await desk(orders.cancel, "gone", "declined") == {
                "order": "gone",
                "status": "cancelled",
            }
        assert await desk(orders.cancel, "gone", "late") == {"order": "gone", "status": "cancelled"}
        assert await desk(orders.cancel, "done", "late") == {"order": "done", "status": "completed"}
        assert isinstance(await desk(orders.complete, "gone"), Withdrawn)
        assert isinstance(await desk(orders.complete, "never placed"), Withdrawn)
        assert await desk(orders.cancel, "never placed", "timed out") == {
            "order": "never placed",
            "status": None,
        }
        ended, new = await desk(orders.create, "gone", tents(2), 3.0)
        assert (ended.status, ended.reason, new) == ("cancelled", "declined", False)
        assert ended == await desk(orders.find, "gone")
        assert await desk.rows("SELECT id, status, reason FROM orders ORDER BY id") == [
            ("done", "completed", None),
            ("gone", "cancelled", "declined"),
        ]

    at_desk(database, scenario)


def test_completing_and_cancelling_at_once_ends_one_way_and_both_are_told_which(
    database: str,
) -> None:
    async def scenario(desk: Desk) -> None:
        ends = set()
        for number in range(10):
            reference = f"o{number}"
            await desk(orders.create, reference, tents(1), 1.0)
            racing = [desk(orders.complete, reference), desk(orders.cancel, reference, "late")]
            completed, cancelled = sorted(
                await asyncio.gather(*(racing[:: -1 if number % 2 else 1])),
                key=lambda answer: isinstance(answer, dict) and answer["status"] == "cancelled",
            )
            order = await desk(orders.find, reference)
            ends.add(order.status)
            if order.status == "completed":
                assert completed["status"] == cancelled["status"] == "completed"
                assert order.reason is None
            else:
                assert isinstance(completed, Withdrawn) and order.reason == "late"
        assert ends <= {"completed", "cancelled"}

    at_desk(database, scenario)


def test_an_order_keeps_the_prices_at_which_it_was_placed(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        first, _ = await desk(orders.create, "o1", tents(2), 1.0)
        async with desk.engine.begin() as connection:
            await connection.execute(text("UPDATE products SET price_cents = 99"))
        assert await desk(orders.find, "o1") == first and first.total_cents == 120
        assert await desk(orders.create, "o1", tents(2), 2.0) == (first, False)
        assert (await desk(orders.create, "o2", tents(2), 2.0))[0].total_cents == 198

    at_desk(database, scenario)


def test_doing_and_undoing_at_once_leaves_no_half(database: str) -> None:
    """Each pair races on connections of its own; whichever is first, the charge is given back or
    refused.
    """

    async def scenario(desk: Desk) -> None:
        for number in range(10):
            reference = f"o{number}"
            racing = [
                desk(payments.charge, reference, "ada", 9),
                desk(payments.refund, reference),
                desk(warehouse.reserve, reference, [("tent", 1)]),
                desk(warehouse.release, reference),
                desk(payments.charge, reference, "ada", 9),
            ]
            await asyncio.gather(*(racing[number % 2 :] + racing[: number % 2]))
        assert await desk.rows(
            "SELECT charged_cents - refunded_cents FROM accounts WHERE customer = 'ada'"
        ) == [(0,)]
        assert await desk.rows("SELECT stock FROM inventory WHERE sku = 'tent'") == [(3,)]
        states = {state for (state,) in await desk.rows("SELECT state FROM payments")}
        assert states <= {"refunded", "void"}

    at_desk(database, scenario)


def test_many_customers_at_once_stay_within_limit_and_stock(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        charges = [desk(payments.charge, f"o{number}", "ada", 30) for number in range(8)]
        takes = [
            desk(warehouse.reserve, f"o{number}", [("tent", 1), ("mat", 1)]) for number in range(8)
        ]
        answers = await asyncio.gather(*charges, *takes)
        assert sum(isinstance(answer, dict) for answer in answers[:8]) == 3
        assert sum(isinstance(answer, dict) for answer in answers[8:]) == 2
        assert await desk.rows("SELECT charged_cents FROM accounts WHERE customer = 'ada'") == [
            (90,)
        ]
        assert await desk.rows("SELECT sku, stock FROM inventory ORDER BY sku") == [
            ("mat", 0),
            ("tent", 1),
        ]

    at_desk(database, scenario)


MESSAGES = st.tuples(
    st.sampled_from("abc"), st.sampled_from(("charge", "refund", "reserve", "release"))
)


@given(st.lists(MESSAGES, max_size=20))
@examples("fair", suppress_health_check=list(HealthCheck))
def test_any_sequence_of_messages_adds_up(messages: list[tuple[str, str]]) -> None:
    """The oracle: two dictionaries. An undo is final; a do counts if it comes before it and there
    is enough.
    """

    async def act() -> None:
        engine = Memory().engine
        await open_all(engine)
        desk = Desk(engine)
        paid: dict[str, int] = {}
        taken: dict[str, int] = {}
        for reference, message in messages:
            if message == "charge":
                await desk(payments.charge, reference, "ada", 40)
                if reference not in paid and sum(paid.values()) + 40 <= 100:
                    paid[reference] = 40
            elif message == "reserve":
                await desk(warehouse.reserve, reference, [("mat", 1)])
                if reference not in taken and sum(taken.values()) < 2:
                    taken[reference] = 1
            else:
                await desk(payments.refund if message == "refund" else warehouse.release, reference)
                (paid if message == "refund" else taken)[reference] = 0
        assert await desk.rows(
            "SELECT charged_cents - refunded_cents FROM accounts WHERE customer = 'ada'"
        ) == [(sum(paid.values()),)]
        assert await desk.rows("SELECT stock FROM inventory WHERE sku = 'mat'") == [
            (2 - sum(taken.values()),)
        ]

    asyncio.run(act())
