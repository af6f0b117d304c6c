"""Each transition of a hold, one at a time, on both databases: what it moves, whom it refuses, and
what its repetition does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.errors import KeyReused
from labkit.base.transactions import begin_immediate, reading
from labkit.inventory import (
    Balance,
    Hold,
    HoldConfirmed,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
    Holds,
    adjust,
    create_reservations,
    transitions,
)
from labkit.inventory.errors import NotHeld, OutOfStock, UnknownHold, UnknownSku
from labkit.inventory.stock import Inventory
from labkit.inventory.transitions import confirm, release
from labkit.messaging import Catalog, Outbox
from labkit.messaging.outbox import create_outbox
from labkit.messaging.outbox import outbox as outbox_table
from tests.inventory.shelf import Shelf, on

Transition = Callable[[Holds, str], Awaitable[Hold]]
TRANSITIONS: dict[str, Transition] = {
    "extend": lambda holds, hold_id: holds.extend(hold_id),
    "confirm": lambda holds, hold_id: holds.confirm(hold_id),
    "release": lambda holds, hold_id: holds.release(hold_id),
}
every_transition = pytest.mark.parametrize(
    "transition", TRANSITIONS.values(), ids=list(TRANSITIONS)
)


def test_a_hold_sets_units_aside_and_a_confirmation_sells_them(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 2)], key="k", customer="ada")
        assert (hold.status, hold.lines, hold.created_at, hold.expires_at) == (
            "held",
            (("tent", 2),),
            1000.0,
            1010.0,
        )
        assert repr(await shelf.holds.available("tent")).endswith(
            "on_hand=3, held=2, sold=0, available=3)"
        )
        confirmed = await shelf.holds.confirm(hold.id)
        assert confirmed.status == "confirmed" == (await shelf.holds.get(hold.id)).status
        assert repr(await shelf.holds.available("tent")).endswith(
            "on_hand=3, held=0, sold=2, available=3)"
        )
        assert shelf.said == [HoldPlaced(hold.id, "ada", 1010.0), HoldConfirmed(hold.id, "ada")]
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_a_release_puts_them_back_and_keeps_the_reason(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 2)], key="k", customer="ada")
        released = await shelf.holds.release(hold.id, "changed her mind")
        assert (released.status, released.reason) == ("released", "changed her mind")
        assert (await shelf.holds.available("tent")).on_hand == 5
        assert shelf.said[1:] == [HoldReleased(hold.id, "ada", "changed her mind")]
        assert [entry.reason for entry in await shelf.ledger.entries(hold_id=hold.id)] == [
            "",
            "changed her mind",
        ]
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_two_lines_of_one_sku_are_one_demand_and_a_cart_is_held_whole_or_not_at_all(
    database: str,
) -> None:
    async def scenario(shelf: Shelf) -> None:
        for cart in (
            [("tent", 3), ("mat", 1), ("tent", 3)],
            [("mat", 9), ("tent", 1)],
            [("mat", 1), ("nothing", 1)],
        ):
            with pytest.raises((OutOfStock, UnknownSku)):
                await shelf.holds.hold(cart, key="k", customer="ada")
        assert await shelf.ledger.entries(hold_id="hold-001") == () == tuple(shelf.said)
        hold = await shelf.holds.hold(
            [("tent", 3), ("mat", 1), ("tent", 2)], key="k", customer="ada"
        )
        assert hold.lines == (("mat", 1), ("tent", 5)), "the key is free after a refusal"
        await shelf.adds_up(tent=5, mat=5)

    on(database, {"tent": 5, "mat": 5}, scenario)


def test_the_refusal_says_what_was_there(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 2)], key="a", customer="ada")
        with pytest.raises(OutOfStock, match=r"^4 of 'tent' wanted, 3 available$"):
            await shelf.holds.hold([("tent", 4)], key="b", customer="bob")
        with pytest.raises(UnknownHold, match=r"^no hold 'hold-77'$"):
            await shelf.holds.get("hold-77")
        with pytest.raises(UnknownSku, match=r"^no SKU 'nothing'$"):
            await shelf.holds.available("nothing")

    on(database, {"tent": 5}, scenario)


def test_the_same_key_is_the_same_hold_whatever_became_of_it(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        cart = [("tent", 1), ("tent", 1)]
        hold = await shelf.holds.hold(cart, key="k", customer="ada")
        shelf.now += 1
        assert await shelf.holds.hold([("tent", 2)], key="k", customer="ada", ttl=99.0) == hold
        await shelf.holds.confirm(hold.id)
        assert (await shelf.holds.hold(cart, key="k", customer="ada")).status == "confirmed"
        for other in (
            {"lines": [("tent", 3)], "customer": "ada"},
            {"lines": cart, "customer": "bob"},
        ):
            with pytest.raises(KeyReused, match=r"^key 'k' was used for another hold$"):
                await shelf.holds.hold(key="k", **other)
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


@every_transition
def test_a_transition_repeated_is_answered_as_the_first_time_and_moves_nothing(
    database: str, transition: Transition
) -> None:
    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 2)], key="k", customer="ada")
        shelf.now += 5
        first = await transition(shelf.holds, hold.id)
        before = await shelf.ledger.entries(), list(shelf.said)
        assert await transition(shelf.holds, hold.id) == first
        assert (await shelf.ledger.entries(), shelf.said) == before
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


@every_transition
@pytest.mark.parametrize("end", ["confirm", "release", "expire", "sweep"])
def test_what_has_ended_stays_ended(sqlite_url: str, transition: Transition, end: str) -> None:
    """Cancelling what is confirmed (R6), stealing back what has expired (R11): refused, and said
    how it ended.
    """

    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 2)], key="k", customer="ada")
        if end in TRANSITIONS:
            await TRANSITIONS[end](shelf.holds, hold.id)
        else:
            shelf.now = 1010.0
        if end == "sweep":
            await shelf.holds.hold([("tent", 1)], key="other", customer="bob")
        ended = await shelf.holds.get(hold.id)
        if TRANSITIONS.get(end) is transition:
            return
        with pytest.raises(NotHeld, match=rf"^hold 'hold-001' is not held, it is {ended.status}$"):
            await transition(shelf.holds, hold.id)
        assert await shelf.holds.get(hold.id) == ended
        await shelf.adds_up(tent=5)

    on(sqlite_url, {"tent": 5}, scenario)


def test_a_hold_lives_until_its_end_and_not_at_it(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        first = await shelf.holds.hold([("tent", 5)], key="a", customer="ada")
        shelf.now = 1010.0 - 2**-20
        with pytest.raises(OutOfStock):
            await shelf.holds.hold([("tent", 1)], key="b", customer="bob")
        assert (await shelf.holds.get(first.id)).status == "held"
        shelf.now = 1010.0
        assert repr(await shelf.holds.available("tent")).endswith(
            "on_hand=0, held=5, sold=0, available=5)"
        )
        assert (await shelf.holds.get(first.id)).status == "expired", (
            "it counts for nothing, swept or not"
        )
        second = await shelf.holds.hold([("tent", 5)], key="b", customer="bob")
        assert shelf.said[1:] == [
            HoldExpired(first.id, "ada"),
            HoldPlaced(second.id, "bob", 1020.0),
        ]
        assert [entry.kind for entry in await shelf.ledger.entries("tent")] == [
            "opened",
            "held",
            "expired",
            "held",
        ]
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_a_refusal_takes_nothing_back_and_a_hold_on_another_sku_leaves_the_overdue_alone(
    database: str,
) -> None:
    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 5), ("mat", 1)], key="a", customer="ada")
        shelf.now += 10
        with pytest.raises(OutOfStock, match="5 available"):
            await shelf.holds.hold([("tent", 6)], key="b", customer="bob")
        await shelf.holds.hold([("stove", 1)], key="c", customer="eve")
        assert (await shelf.holds.available("tent")).overdue == 5
        await shelf.holds.hold([("mat", 2)], key="d", customer="eve")
        assert (await shelf.holds.available("tent")).overdue == 0, "all of that cart is back"
        assert (await shelf.holds.get(hold.id)).reason == "its time was up"
        await shelf.adds_up(tent=5, mat=2, stove=1)

    on(database, {"tent": 5, "mat": 2, "stove": 1}, scenario)


def test_more_overdue_holds_than_a_statement_names_come_back_together(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 13
    monkeypatch.setattr(transitions, "CHUNK", 5)

    async def scenario(shelf: Shelf) -> None:
        for number in range(many):
            await shelf.holds.hold([("tent", 1)], key=f"k{number}", customer="ada")
        shelf.now += 10
        await shelf.holds.hold([("tent", many)], key="all", customer="bob")
        await shelf.adds_up(tent=many)

    on(sqlite_url, {"tent": many}, scenario)


def test_an_extension_never_shortens_and_each_one_is_in_the_ledger(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 1)], key="k", customer="ada")
        assert (await shelf.holds.extend(hold.id, 3.0)).expires_at == 1010.0
        shelf.now += 9
        assert (await shelf.holds.extend(hold.id)).expires_at == 1019.0
        assert (await shelf.holds.extend(hold.id, 60.0)).expires_at == 1069.0
        kinds = [
            (entry.kind, entry.delta.total) for entry in await shelf.ledger.entries(hold_id=hold.id)
        ]
        assert kinds == [("held", 0), ("extended", 0), ("extended", 0)]
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_holds_and_direct_sales_share_one_stock(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 3)], key="k", customer="ada")
        with pytest.raises(OutOfStock, match="2 available"):
            await Inventory(shelf.engine).sell("tent", 3)
        await Inventory(shelf.engine).sell("tent", 2)
        with pytest.raises(OutOfStock, match="0 available"):
            await shelf.holds.hold([("tent", 1)], key="b", customer="bob")

    on(database, {"tent": 5}, scenario)


def test_a_transition_can_be_part_of_anothers_transaction(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 1)], key="k", customer="ada")
        with pytest.raises(ZeroDivisionError):
            async with begin_immediate(shelf.engine) as connection:
                await confirm(connection, hold.id, now=shelf.now)
                raise ZeroDivisionError
        assert (await shelf.holds.get(hold.id)).status == "held"
        async with begin_immediate(shelf.engine) as connection:
            await confirm(connection, hold.id, now=shelf.now)
            with pytest.raises(NotHeld):
                async with connection.begin_nested():
                    await release(connection, hold.id, "late", now=shelf.now)
        assert (await shelf.holds.get(hold.id)).status == "confirmed"
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_an_announcement_that_fails_undoes_what_it_announces(database: str) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("the outbox is full")

    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 1)], key="k", customer="ada")
        deaf = shelf.again(announce=broken)
        for attempt in (
            deaf.confirm(hold.id),
            deaf.release(hold.id),
            deaf.hold([("tent", 1)], key="b", customer="bob"),
        ):
            with pytest.raises(RuntimeError, match="outbox"):
                await attempt
        assert (await shelf.holds.get(hold.id)).status == "held"
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_goods_come_and_go_with_a_reason(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        async with begin_immediate(shelf.engine) as connection:
            assert await adjust(connection, "tent", 3, reason="a delivery", now=shelf.now) == 8
            assert await adjust(connection, "tent", -1, reason="torn", now=shelf.now) == 7
            with pytest.raises(OutOfStock, match=r"^9 of 'tent' wanted, 7 available$"):
                await adjust(connection, "tent", -9, reason="stolen", now=shelf.now)
            with pytest.raises(UnknownSku):
                await adjust(connection, "nothing", 1, reason="?", now=shelf.now)
            with pytest.raises(
                ValueError, match=r"^by must be a whole number .*other than 0, got 0"
            ):
                await adjust(connection, "tent", 0, reason="?", now=shelf.now)
        assert [entry.reason for entry in await shelf.ledger.entries("tent")] == [
            "",
            "a delivery",
            "torn",
        ]
        await shelf.adds_up(tent=7)

    on(database, {"tent": 5}, scenario)


def test_opening_twice_opens_once_and_a_new_sku_later(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 1)], key="k", customer="ada")
        await shelf.execute("INSERT INTO inventory (sku, stock) VALUES ('mat', 4)")
        for _ in range(2):
            await create_reservations(shelf.engine, clock=shelf.clock)
        assert [
            entry.delta for entry in await shelf.ledger.entries() if entry.kind == "opened"
        ] == [Balance(5), Balance(4)]
        await shelf.adds_up(tent=5, mat=4)

    on(database, {"tent": 5}, scenario)


def test_a_database_that_sorts_otherwise_changes_no_hold(sqlite_url: str) -> None:
    """As PostgreSQL does in most languages: "a" before "B"."""

    async def scenario(shelf: Shelf) -> None:
        await shelf.execute("ALTER TABLE hold_lines RENAME TO old_lines")
        await shelf.execute(
            "CREATE TABLE hold_lines (hold_id TEXT, sku TEXT COLLATE NOCASE, quantity INTEGER)"
        )
        lines = [("a", 1), ("B", 2), ("c", 1)]
        hold = await shelf.holds.hold(lines, key="k", customer="ada")
        assert await shelf.holds.hold(lines[::-1], key="k", customer="ada") == hold
        assert hold.lines == (("B", 2), ("a", 1), ("c", 1))

    on(sqlite_url, {"a": 5, "B": 5, "c": 5}, scenario)


def test_what_is_announced_can_go_into_an_outbox_as_the_module_shows_it(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await create_outbox(shelf.engine)
        outbox = Outbox(
            "stock", Catalog(HoldPlaced, HoldReleased), clock=shelf.clock, ids=shelf.ids
        )

        async def announce(connection: AsyncConnection, event: Any) -> None:
            await outbox.add(connection, event, aggregate=event.hold_id)

        holds = shelf.again(announce=announce)
        hold = await holds.hold([("tent", 1)], key="k", customer="ada")
        await holds.release(hold.id, "changed her mind")
        async with reading(shelf.engine) as connection:
            said = (
                await connection.execute(select(outbox_table.c.aggregate, outbox_table.c.wire))
            ).all()
        assert [row.aggregate for row in said] == [hold.id] * 2
        assert [type(outbox.catalog.decode(row.wire).event) for row in said] == [
            HoldPlaced,
            HoldReleased,
        ]

    on(database, {"tent": 5}, scenario)


def test_units_of_a_sku_that_the_inventory_has_lost_are_not_lost(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        hold = await shelf.holds.hold([("tent", 2)], key="k", customer="ada")
        await shelf.execute("DELETE FROM inventory")
        await shelf.holds.release(hold.id)
        assert (await shelf.holds.available("tent")).on_hand == 2

    on(database, {"tent": 5}, scenario)


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"lines": []}, ValueError, "lines must name at least one SKU, got none"),
        (
            {"lines": [("tent", 0)]},
            ValueError,
            "quantity must be a whole number of at least 1, got 0",
        ),
        (
            {"lines": [("tent", 3), ("tent", -2)]},
            ValueError,
            "quantity must be a whole number of at least 1, got -2",
        ),
        (
            {"lines": [("tent", True)]},
            ValueError,
            "quantity must be a whole number of at least 1, got True",
        ),
        (
            {"lines": [("tent", 2**31)]},
            ValueError,
            "quantity must be at most 2147483647 of one SKU",
        ),
        ({"lines": ["tent"]}, TypeError, r"a line must be a pair \(sku, quantity\), got 'tent'"),
        ({"lines": [("", 1)]}, ValueError, "sku must have 1 to 64 printable characters, got ''"),
        ({"lines": [(7, 1)]}, TypeError, "sku must be a str, got 7"),
        ({"key": ""}, ValueError, "key must have 1 to 255 printable characters"),
        ({"customer": "a\0b"}, ValueError, "customer must have 1 to 64 printable characters"),
        (
            {"customer": "\ud800"},
            ValueError,
            "customer must have 1 to 64 printable characters, got",
        ),
        ({"ttl": 0.0}, ValueError, "ttl must be between 0.001 and 2.592e.06 seconds, got 0.0"),
        ({"ttl": "10"}, TypeError, "ttl must be a number of seconds, got '10'"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    sqlite_url: str, asked: Any, error: type[Exception], says: str
) -> None:
    async def scenario(shelf: Shelf) -> None:
        with pytest.raises(error, match=rf"^{says}"):
            await shelf.holds.hold(
                **{"lines": [("tent", 1)], "key": "k", "customer": "ada"} | asked
            )
        assert len(await shelf.ledger.entries()) == 1
        with pytest.raises(ValueError, match=r"^reason must have 1 to 255 printable characters"):
            await shelf.holds.release("hold-001", "")

    on(sqlite_url, {"tent": 5}, scenario)


def test_an_id_that_comes_twice_is_the_factorys_mistake(sqlite_url: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        same = shelf.again(ids=lambda prefix: "same")
        await same.hold([("tent", 1)], key="a", customer="ada")
        with pytest.raises(
            ValueError, match=r"^ids must give a fresh id each time, got 'same' again"
        ):
            await same.hold([("tent", 1)], key="b", customer="ada")
        await shelf.adds_up(tent=5)

    on(sqlite_url, {"tent": 5}, scenario)


def test_what_is_printed_says_facts(sqlite_url: str) -> None:
    async def scenario(shelf: Shelf) -> list[str]:
        hold = await shelf.holds.hold([("tent", 2), ("mat", 1)], key="k", customer="ada")
        released = await shelf.holds.release(hold.id, "no money")
        entries = await shelf.ledger.entries()
        return [*map(repr, (hold, released, shelf.holds, shelf.ledger, entries[0], entries[-1]))]

    assert on(sqlite_url, {"tent": 5, "mat": 1}, scenario) == [
        "<Hold hold-001 of ada, 1 mat, 2 tent, held>",
        "<Hold hold-001 of ada, 1 mat, 2 tent, released: no money>",
        "<Holds on sqlite, for 10 s>",
        "<Ledger on sqlite>",
        "<LedgerEntry 1: nobody's, opened, mat, on hand +1>",
        "<LedgerEntry 6: hold-001, released, tent, on hand +2, held -2>",
    ]
