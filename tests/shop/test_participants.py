"""Payments, warehouse, shipping, purchases: once for a reference, all or nothing, and undo before
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

from labkit.base.errors import KeyReused, Refused
from labkit.base.transactions import begin_immediate
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.shop import payments, purchases, shipping, warehouse
from labkit.shop.refusals import Declined, NotServed, Withdrawn
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
    await purchases.open_purchases(engine)


def at_desk(url: str, scenario: Callable[[Desk], Awaitable[None]]) -> None:
    async def act() -> None:
        async with engine_on(url) as engine:
            await open_all(engine)
            await scenario(Desk(engine))

    asyncio.run(act())


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
        await desk(purchases.place, "o1", "ada", 60, 1.0)
        with pytest.raises(KeyReused, match="purchase 'o1' is of 60 cents by 'ada'"):
            await desk(purchases.place, "o1", "ada", 61, 1.0)

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
                        "UPDATE accounts SET refunded_cents = refunded_cents + 60 WHERE customer = 'ada'"
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


def test_a_purchase_is_completed_or_cancelled_and_never_both(database: str) -> None:
    async def scenario(desk: Desk) -> None:
        for reference in ("done", "gone"):
            for _ in range(2):
                assert await desk(purchases.place, reference, "ada", 60, 1.0) == {
                    "order": reference
                }
        for _ in range(2):
            assert await desk(purchases.complete, "done") == {"order": "done", "state": "completed"}
            assert await desk(purchases.cancel, "gone", "declined", 2.0) == {
                "order": "gone",
                "state": "cancelled",
            }
        assert await desk(purchases.cancel, "done", "late", 2.0) == {
            "order": "done",
            "state": "completed",
        }
        assert isinstance(await desk(purchases.complete, "gone"), Withdrawn)
        assert isinstance(await desk(purchases.complete, "never made"), Withdrawn)
        assert await desk(purchases.cancel, "in advance", "timed out", 2.0) == {
            "order": "in advance",
            "state": "cancelled",
        }
        assert isinstance(await desk(purchases.place, "in advance", "ada", 60, 3.0), Withdrawn)
        assert await desk.rows(
            "SELECT reference, state, reason FROM purchases ORDER BY reference"
        ) == [
            ("done", "completed", None),
            ("gone", "cancelled", "declined"),
            ("in advance", "cancelled", "timed out"),
        ]

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
