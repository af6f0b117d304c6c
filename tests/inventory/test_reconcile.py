"""Reconciliation: each inconsistency, planted by raw SQL, is found, named and mended, and nothing
is promised twice by it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from labkit.base.transactions import begin_immediate
from labkit.inventory import Accepts, Balance, Inconsistency, Sweeper, Validator, reconcile, repair
from labkit.inventory.stock import Inventory
from tests.inventory.shelf import Shelf, filled, on
from tests.support.depth import examples

OPENING = (
    "INSERT INTO stock_ledger (at, hold_id, sku, kind, delta_on_hand, delta_held, delta_sold)"
    " VALUES "
)


async def four_holds(shelf: Shelf) -> None:
    """hold-001 held, hold-002 confirmed, hold-003 released, hold-004 expired: two tents each."""
    for number in range(1, 5):
        await shelf.holds.hold(
            [("tent", 2)], key=f"k{number}", customer="ada", ttl=5.0 if number == 4 else 1000.0
        )
    await shelf.holds.confirm("hold-002")
    await shelf.holds.release("hold-003")
    shelf.now += 5
    await Sweeper(shelf.holds, owner="s").sweep()


async def found(shelf: Shelf) -> list[Inconsistency]:
    return await reconcile(shelf.engine, clock=shelf.clock)


PLANTED = {
    "a hold released by hand": (
        "UPDATE holds SET status = 'released' WHERE id = 'hold-001'",
        "<hold: tent, hold-001: 2 are released, and the ledger moved on hand -2, held +2>",
        (8, 0, 2),
    ),
    "a hold confirmed by hand": (
        "UPDATE holds SET status = 'confirmed' WHERE id = 'hold-001'",
        "<hold: tent, hold-001: 2 are confirmed, and the ledger moved on hand -2, held +2>",
        (6, 0, 4),
    ),
    "an expired hold confirmed by hand": (
        "UPDATE holds SET status = 'confirmed' WHERE id = 'hold-004'",
        "<hold: tent, hold-004: 2 are confirmed, and the ledger moved nothing>",
        (4, 2, 4),
    ),
    "a released hold taken up again": (
        "UPDATE holds SET status = 'held' WHERE id = 'hold-003'",
        "<hold: tent, hold-003: 2 are held, and the ledger moved nothing>",
        (4, 4, 2),
    ),
    "a line made longer": (
        "UPDATE hold_lines SET quantity = 5 WHERE hold_id = 'hold-001'",
        "<hold: tent, hold-001: 5 are held, and the ledger moved on hand -2, held +2>",
        (3, 5, 2),
    ),
    "a hold's line deleted": (
        "DELETE FROM hold_lines WHERE hold_id = 'hold-001'",
        "<orphan: tent, hold-001: there is no such line, and the ledger moved on hand -2, held +2>",
        (8, 0, 2),
    ),
    "less on the shelf: sold past the ledger": (
        "UPDATE inventory SET stock = stock - 1 WHERE sku = 'tent'",
        "<stock: tent: 5 on the shelf, 6 in the ledger>",
        (5, 2, 2),
    ),
    "more on the shelf: put back twice": (
        "UPDATE inventory SET stock = stock + 1 WHERE sku = 'tent'",
        "<stock: tent: 7 on the shelf, 6 in the ledger>",
        (6, 2, 2),
    ),
    "a movement that never was": (
        OPENING + "(1, NULL, 'tent', 'adjusted', 3, 0, 0)",
        "<stock: tent: 6 on the shelf, 9 in the ledger>",
        (6, 2, 2),
    ),
    "a SKU the ledger never heard of": (
        "INSERT INTO inventory (sku, stock) VALUES ('mat', 7)",
        "<unopened: mat: 7 on the shelf, and the ledger has no beginning>",
        (6, 2, 2),
    ),
}


@pytest.mark.parametrize(("statement", "finding", "after"), PLANTED.values(), ids=list(PLANTED))
def test_what_is_planted_is_found_and_mended(
    database: str, statement: str, finding: str, after: tuple[int, int, int]
) -> None:
    async def scenario(shelf: Shelf) -> None:
        await four_holds(shelf)
        assert await found(shelf) == []
        await shelf.execute(statement)
        wrong = await found(shelf)
        assert [repr(one) for one in wrong] == [finding]
        assert await repair(shelf.engine, wrong, clock=shelf.clock) == []
        assert await found(shelf) == []
        tents = await shelf.holds.available("tent")
        assert (tents.on_hand, tents.held, tents.sold) == after
        assert await shelf.ledger.balance("tent") == Balance(*after)
        (why,) = [
            entry
            for entry in await shelf.ledger.entries(wrong[0].sku)
            if wrong[0].detail in entry.reason
        ]
        assert (why.kind, why.at) in {
            ("repaired", shelf.now),
            ("adjusted", shelf.now),
            ("opened", shelf.now),
        }
        entries = await shelf.ledger.entries()
        assert await repair(shelf.engine, wrong, clock=shelf.clock) == []
        assert await shelf.ledger.entries() == entries, "a second repair finds nothing to do"

    on(database, {"tent": 10}, scenario)


def test_a_hold_deleted_by_hand_gives_its_units_back_and_a_deleted_sale_does_not(
    database: str,
) -> None:
    async def scenario(shelf: Shelf) -> None:
        await four_holds(shelf)
        for name in ("hold-001", "hold-002"):
            await shelf.execute("DELETE FROM hold_lines WHERE hold_id = :name", name=name)
            await shelf.execute("DELETE FROM holds WHERE id = :name", name=name)
        wrong = await found(shelf)
        assert [(one.kind, one.hold_id) for one in wrong] == [("orphan", "hold-001")]
        assert await repair(shelf.engine, wrong, clock=shelf.clock) == [] == await found(shelf)
        assert (await shelf.holds.available("tent")).on_hand == 8
        assert await shelf.ledger.balance("tent") == Balance(8, 0, 2)

    on(database, {"tent": 10}, scenario)


def test_units_that_are_gone_cannot_be_mended_and_are_reported(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await four_holds(shelf)
        await shelf.holds.hold([("tent", 6)], key="all", customer="bob")
        await shelf.execute("UPDATE holds SET status = 'confirmed' WHERE id = 'hold-004'")
        wrong = await found(shelf)
        assert await repair(shelf.engine, wrong, clock=shelf.clock) == wrong == await found(shelf)
        assert (await shelf.holds.available("tent")).on_hand == 0, "nothing was taken from anybody"

    on(database, {"tent": 10}, scenario)


def test_what_nobody_sweeps_is_found_after_a_while_and_expired(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 2), ("mat", 1)], key="k", customer="ada")
        shelf.now += 10 + 59
        assert await found(shelf) == [], "a sweeper may need a minute"
        shelf.now += 1
        wrong = await found(shelf)
        assert [repr(one) for one in wrong] == [
            "<overdue: mat, hold-001: its time is up>",
            "<overdue: tent, hold-001: its time is up>",
        ]
        assert await repair(shelf.engine, wrong, clock=shelf.clock, announce=shelf.announce) == []
        assert (await shelf.holds.get("hold-001")).reason == "its time was up" and len(
            shelf.said
        ) == 2
        await shelf.adds_up(tent=5, mat=5)

    on(database, {"tent": 5, "mat": 5}, scenario)


def test_work_that_was_lost_is_queued_again_and_work_for_the_decided_is_dropped(
    database: str,
) -> None:
    async def scenario(shelf: Shelf) -> None:
        accepts = Accepts(shelf.engine, clock=shelf.clock, ids=shelf.ids)
        await accepts.accept([("tent", 1)], key="lost", customer="ada")
        await shelf.execute("DELETE FROM undecided_holds")
        await accepts.accept([("tent", 1)], key="done", customer="bob")
        await shelf.execute("UPDATE holds SET status = 'cancelled' WHERE key = 'done'")
        wrong = await found(shelf)
        assert [(one.kind, one.detail) for one in wrong] == [
            ("undecided", "nobody will decide it"),
            ("undecided", "it is cancelled already"),
        ]
        assert await repair(shelf.engine, wrong, clock=shelf.clock) == [] == await found(shelf)
        decided = await Validator(shelf.engine, owner="v", clock=shelf.clock).decide()
        assert [(hold.key, hold.status) for hold in decided] == [("lost", "confirmed")]
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_a_direct_sale_is_seen_as_what_it_is_and_the_books_follow(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 2)], key="k", customer="ada")
        await Inventory(shelf.engine).sell("tent", 1)
        wrong = await found(shelf)
        assert [repr(one) for one in wrong] == ["<stock: tent: 2 on the shelf, 3 in the ledger>"]
        assert await repair(shelf.engine, wrong, clock=shelf.clock) == []
        last = (await shelf.ledger.entries("tent"))[-1]
        assert (last.kind, last.delta, last.reason) == (
            "adjusted",
            Balance(-1),
            "stock: 2 on the shelf, 3 in the ledger",
        )

    on(database, {"tent": 5}, scenario)


def test_a_shop_at_work_causes_no_false_alarm_and_a_repair_of_it_no_harm(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        async def customer(number: int) -> None:
            for step in range(4):
                hold = await shelf.holds.hold([("tent", 1)], key=f"{number}-{step}", customer="ada")
                await (shelf.holds.confirm if step % 2 else shelf.holds.release)(hold.id)

        async def auditor() -> None:
            for _ in range(12):
                wrong = await found(shelf)
                assert wrong == []
                doubts = [
                    Inconsistency("stock", "tent", None, "?"),
                    Inconsistency("hold", "tent", "hold-001", "?"),
                ]
                assert await repair(shelf.engine, doubts, clock=shelf.clock) == []

        await asyncio.gather(auditor(), *map(customer, range(6)))
        assert {entry.kind for entry in await shelf.ledger.entries()} == {
            "opened",
            "held",
            "released",
            "confirmed",
        }
        await shelf.adds_up(tent=100)

    on(database, {"tent": 100}, scenario)


def test_two_repairs_at_once_mend_once(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await four_holds(shelf)
        await shelf.execute("UPDATE holds SET status = 'released' WHERE id = 'hold-001'")
        await shelf.execute("UPDATE inventory SET stock = stock + 1")
        wrong = await found(shelf)
        assert [one.kind for one in wrong] == ["hold", "stock"]
        assert (
            await asyncio.gather(
                *(repair(shelf.engine, wrong, clock=shelf.clock) for _ in range(5))
            )
            == [[]] * 5
        )
        assert await found(shelf) == []
        assert (
            len([entry for entry in await shelf.ledger.entries() if entry.kind == "repaired"]) == 2
        )
        await shelf.adds_up(tent=10)

    on(database, {"tent": 10}, scenario)


tampering = st.one_of(
    st.builds(
        lambda status, number: (
            f"UPDATE holds SET status = '{status}' WHERE id = 'hold-00{number}'",
            status,
        ),
        st.sampled_from(["held", "confirmed", "released", "expired"]),
        st.integers(1, 4),
    ),
    st.builds(
        lambda by: (f"UPDATE inventory SET stock = stock + {by}", ""),
        st.integers(-2, 2).filter(bool),
    ),
    st.builds(
        lambda to, number: (
            f"UPDATE hold_lines SET quantity = {to} WHERE hold_id = 'hold-00{number}'",
            "",
        ),
        st.integers(1, 3),
        st.integers(1, 4),
    ),
)


@examples("dear")
@given(st.lists(tampering, min_size=1, max_size=4))
def test_any_tampering_is_mended_or_reported_and_never_promises_more_than_was_there(
    hands: list[tuple[str, Any]],
) -> None:
    async def scenario() -> None:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        shelf = await filled(engine, {"tent": 10})
        await four_holds(shelf)
        async with begin_immediate(engine) as connection:
            for statement, _ in hands:
                await connection.execute(text(statement))
        wrong = await found(shelf)
        left = await repair(engine, wrong, clock=shelf.clock)
        assert await found(shelf) == left
        tents, ledger = await shelf.holds.available("tent"), await shelf.ledger.balance("tent")
        if not left:
            assert ledger == Balance(tents.on_hand, tents.held, tents.sold)
        assert ledger.total <= 10, "no repair makes units"
        await engine.dispose()

    asyncio.run(scenario())
