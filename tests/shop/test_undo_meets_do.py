"""An undo that arrives while the request that it undoes has not committed yet, on a real PostgreSQL
at READ COMMITTED. The participants of the shop and the example of lesson 1.2a must give back what
was done; the lesson's counter-example must not, or the test shows nothing.
"""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from labkit.base.errors import Withdrawn
from labkit.base.transactions import begin_immediate
from labkit.lessons.l1_2a import refund_meets_charge as lesson
from labkit.lessons.l1_2a.refund_meets_charge import Work, meet
from labkit.shop import payments, shipping, warehouse
from tests.support.engines import engine_on

ORDER = "order-7"
PARTICIPANTS: dict[str, tuple[Work, Work]] = {
    "payments": (
        lambda c: payments.charge(c, ORDER, "ada", 4500),
        lambda c: payments.refund(c, ORDER),
    ),
    "warehouse": (
        lambda c: warehouse.reserve(c, ORDER, [("stove", 2)]),
        lambda c: warehouse.release(c, ORDER),
    ),
    "shipping": (
        lambda c: shipping.book(c, ORDER, {"country": "ES"}),
        lambda c: shipping.cancel(c, ORDER),
    ),
}
TAKEN = {
    "payments": "SELECT charged_cents - refunded_cents FROM accounts",
    "warehouse": "SELECT 10 - stock FROM inventory",
    "shipping": "SELECT count(*) FROM parcels WHERE state = 'booked'",
}


@pytest.mark.parametrize("first", ["do", "undo", "do, rolled back"])
@pytest.mark.parametrize("participant", PARTICIPANTS)
def test_do_and_undo_wait_for_each_other_and_nothing_stays(
    postgres_url: str, participant: str, first: str
) -> None:
    do, undo = PARTICIPANTS[participant]

    async def scenario() -> int:
        async with engine_on(postgres_url) as engine:
            await payments.open_payments(engine, {"ada": 10_000})
            await warehouse.open_warehouse(engine, {"stove": 10})
            await shipping.open_shipping(engine, ["ES"])
            if first == "undo":
                with pytest.raises(Withdrawn):
                    await meet(engine, undo, do)
            else:
                assert await meet(engine, do, undo, commit=first == "do")
            with pytest.raises(Withdrawn):  # nor does it happen later
                async with begin_immediate(engine) as connection:
                    await do(connection)
            async with engine.connect() as connection:
                return int(await connection.scalar(text(TAKEN[participant])) or 0)

    assert asyncio.run(scenario()) == 0


async def _met(url: str, first: Work, second: Work) -> tuple[bool, int]:
    async with engine_on(url) as engine:
        await lesson.prepare(engine)
        waited = await meet(engine, first, second)
        return waited, await lesson.cents(engine)


def test_a_refund_under_its_own_key_does_not_wait_and_loses_the_money(postgres_url: str) -> None:
    met = asyncio.run(_met(postgres_url, lesson.charge, lesson.refund_under_own_key))
    assert met == (False, 5_500)


def test_a_refund_under_the_charges_key_waits_and_gives_the_money_back(postgres_url: str) -> None:
    refund = lesson.refund_under_the_charges_key
    assert asyncio.run(_met(postgres_url, lesson.charge, refund)) == (True, 10_000)
    assert asyncio.run(_met(postgres_url, refund, lesson.charge)) == (True, 10_000)
