"""What an attacker found: outages that cost a customer the goods, work in the way of others, values
of every kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from labkit.base.errors import DatabaseUnavailable
from labkit.base.transactions import begin_immediate
from labkit.inventory import (
    Accepts,
    Escrow,
    Forwarder,
    HoldCancelled,
    Quotas,
    Validator,
    adjust,
    create_quotas,
    promises,
    reconcile,
)
from labkit.inventory.errors import OutOfStock, QuotaSpent
from labkit.inventory.model import MAX_QUANTITY, MAX_SKUS
from tests.inventory.shelf import Shelf, filled, on

LEASE = 30.0


def accepts_of(shelf: Shelf) -> Accepts:
    return Accepts(shelf.engine, clock=shelf.clock, ids=shelf.ids)


def validator_of(shelf: Shelf, **options: Any) -> Validator:
    return Validator(shelf.engine, owner="v", clock=shelf.clock, lease=LEASE, **options)


async def down(*_: object) -> None:
    raise OSError("the database went away")


def test_outages_while_deciding_cost_nobody_an_attempt_and_so_not_the_goods(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each comes in the middle of a batch of three; at every other one, the next claim meets it
    too.
    """

    async def scenario(shelf: Shelf) -> None:
        for number in range(3):
            await accepts_of(shelf).accept([("tent", 1)], key=f"k{number}", customer="ada")
        validator = validator_of(shelf, attempts=2)
        for outage in range(6):
            with monkeypatch.context() as patched:
                patched.setattr(promises, "take_all", down)
                with pytest.raises(DatabaseUnavailable):
                    await validator.decide()
                if outage % 2:
                    patched.setattr(promises, "begin_immediate", broken)
                    with pytest.raises(DatabaseUnavailable):
                        await validator.decide()
            shelf.now += LEASE
        assert [hold.status for hold in await validator.decide()] == ["confirmed"] * 3
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def broken(*_: object, **__: object) -> None:
    raise DatabaseUnavailable("failed", "the database is not available")


def test_work_for_a_hold_that_somebody_decided_by_hand_keeps_nobody_waiting(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        by_hand = await accepts_of(shelf).accept([("tent", 1)], key="k", customer="ada")
        await shelf.execute("UPDATE holds SET status = 'cancelled' WHERE id = :id", id=by_hand.id)
        shelf.now += 1.0
        behind = await accepts_of(shelf).accept([("tent", 1)], key="l", customer="ada")
        validator = validator_of(shelf)
        decided = await validator.decide() + await validator.decide()
        assert [(hold.id, hold.status) for hold in decided] == [(behind.id, "confirmed")]
        assert (await shelf.holds.get(by_hand.id)).status == "cancelled"
        assert await reconcile(shelf.engine, clock=shelf.clock) == []

    on(database, {"tent": 5}, scenario)


def test_an_id_that_two_sites_gave_costs_the_second_its_hold_and_nothing_behind_it(
    database: str, tmp_path: Any
) -> None:
    async def scenario(home: Shelf) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/site.db")
        try:
            site = await filled(engine, {})
            there = await accepts_of(home).accept([("tent", 1)], key="home", customer="bob")
            same_id = await accepts_of(site).accept([("tent", 1)], key="west", customer="ada")
            fresh = await accepts_of(site).accept([("tent", 1)], key="west-2", customer="ada")
            assert there.id == same_id.id
            forwarder = Forwarder(engine, home.engine, clock=home.clock, announce=site.announce)
            assert [await forwarder.forward(), await forwarder.forward()] == [2, 0]
            await validator_of(home).decide()
            assert [hold.id for hold in await forwarder.collect()] == [fresh.id]
            end = await accepts_of(site).get(same_id.id)
            assert (end.status, end.reason) == ("cancelled", "its id is another hold's")
            assert site.said == [HoldCancelled(same_id.id, "ada", "its id is another hold's")]
            assert (await home.holds.get(there.id)).customer == "bob"
            await home.adds_up(tent=5)
        finally:
            await (
                engine.dispose()
            )  # before the other one is: that waits for every thread of a connection

    on(database, {"tent": 5}, scenario)


def test_a_key_whose_hold_is_not_held_is_not_reported_as_held(sqlite_url: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        seen: list[str] = []
        holds = shelf.again(observe=lambda kind, /, **facts: seen.append(kind))
        accepted = await accepts_of(shelf).accept([("tent", 1)], key="k", customer="ada")
        assert await holds.hold([("tent", 1)], key="k", customer="ada") == accepted
        assert "held" not in seen
        for _ in range(2):
            await holds.hold([("tent", 1)], key="l", customer="ada")
        assert seen.count("held") == 2, "a request repeated is answered again"

    on(sqlite_url, {"tent": 5}, scenario)


NO_TEXTS = [
    ("\ud800", ValueError),
    ("x\0", ValueError),
    ("", ValueError),
    ("x" * 65, ValueError),
    (5, TypeError),
]


@pytest.mark.parametrize(("value", "error"), [*NO_TEXTS, (None, TypeError), (b"x", TypeError)])
def test_what_is_no_id_and_no_sku_is_refused_with_its_name(
    database: str, value: Any, error: type[Exception]
) -> None:
    async def scenario(shelf: Shelf) -> None:
        calls = [getattr(shelf.holds, name) for name in ("get", "extend", "confirm", "release")]
        for call in [*calls, accepts_of(shelf).get]:
            with pytest.raises(error, match=r"^hold_id must "):
                await call(value)
        with pytest.raises(error, match=r"^sku must "):
            await shelf.holds.available(value)

    on(database, {"tent": 5}, scenario)


def test_a_hold_names_no_more_skus_than_a_statement_can(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        most = [(f"s{number}", 1) for number in range(MAX_SKUS)]
        for take in (shelf.holds.hold, accepts_of(shelf).accept):
            with pytest.raises(ValueError, match=r"^lines must name at most 1000 SKUs, got more$"):
                await take([*most, ("one more", 1)], key="k", customer="ada")
        held = await shelf.holds.hold([*most, *most], key="k", customer="ada")
        shelf.now = held.expires_at or 0.0
        assert len((await shelf.holds.hold(most, key="l", customer="bob")).lines) == MAX_SKUS, (
            "and it comes back"
        )

    on(database, {f"s{number}": 2 for number in range(MAX_SKUS)}, scenario)


@pytest.mark.parametrize(
    ("sku", "by", "reason", "error", "match"),
    [
        (
            "tent",
            2**40,
            "r",
            ValueError,
            r"^by must be a whole number from -2147483647 to 2147483647 other than 0",
        ),
        ("tent", -(2**31), "r", ValueError, r"^by must be a whole number from -2147483647"),
        (
            "many",
            1,
            "r",
            ValueError,
            r"^by must leave at most 2147483647 on hand, got 1 with 2147483647 there$",
        ),
        ("tent", -6, "r", OutOfStock, r"^6 of 'tent' wanted, 5 available$"),
        ("tent", 1, "x" * 256, ValueError, r"^reason must have 1 to 255"),
        ("tent", 1, "x\0", ValueError, r"^reason must have"),
        ("x\0", 1, "r", ValueError, r"^sku must have"),
    ],
)
def test_an_adjustment_that_cannot_be_kept_is_refused(
    database: str, sku: str, by: int, reason: str, error: type[Exception], match: str
) -> None:
    async def scenario(shelf: Shelf) -> None:
        with pytest.raises(error, match=match):
            async with begin_immediate(shelf.engine) as connection:
                await adjust(connection, sku, by, reason=reason, now=shelf.now)
        await shelf.adds_up(tent=5, many=MAX_QUANTITY)

    on(database, {"tent": 5, "many": MAX_QUANTITY}, scenario)


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ([1], "^state must be a mapping"),
        ("abc", "^state must be a mapping"),
        ({"tent": None}, r"^state\['tent'\] must be a list"),
        ({"tent": "abc"}, r"^state\['tent'\] must be a list"),
        ({"tent": [["west", "west", 9], ["west"]]}, "^a move must be a triple"),
        ({"tent": [["west", "west", 9], 5]}, "^a move must be a triple"),
        ({1: [["west", "west", 9]], "tent": []}, "^sku must be a str"),
        ({"tent": [["west", "west", 9], ["\ud800", "", 1]]}, "^giver must have"),
    ],
)
def test_of_what_is_no_state_a_site_learns_nothing(sqlite_url: str, state: Any, match: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await create_quotas(shelf.engine, {"tent": {"east": 3, "west": 2}})
        quotas = Quotas(shelf.engine, "west")
        with pytest.raises((ValueError, TypeError), match=match):
            await quotas.merge(state)
        assert await quotas.rights("tent") == 2

    on(sqlite_url, {}, scenario)


KNOWN = Escrow.split({"east": 5, "west": 5})
WHOLE = r"^units must be a whole number of at least 1, got "


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (lambda: KNOWN.take("east", -3), WHOLE),
        (lambda: KNOWN.take("east", 0), WHOLE),
        (lambda: KNOWN.take("east", 1.5), WHOLE),
        (lambda: KNOWN.take("east", float("nan")), WHOLE),
        (lambda: KNOWN.take("east", True), WHOLE),
        (lambda: KNOWN.add("east", -9), WHOLE),
        (lambda: KNOWN.add("", 1), r"^giver must have 1 to 64"),
        (
            lambda: KNOWN.give("east", "east", 5),
            r"^receiver must be another than the giver, got 'east'$",
        ),
        (lambda: KNOWN.take("east", 5).give("", "east", 5), r"^giver must have 1 to 64"),
        (lambda: KNOWN.take("", 1), r"^receiver must be another than the giver, got ''$"),
        (lambda: Escrow.split({"": 5}), r"^giver must have 1 to 64"),
        (lambda: Escrow.split({"a": -3}), r"^units must be a whole number of at least 0, got -3$"),
        (
            lambda: Escrow.of([("a", "b", float("nan"))]),
            r"^units must be a whole number of at least 0, got nan$",
        ),
    ],
)
def test_no_step_of_the_escrow_makes_a_right_or_loses_one(
    step: Callable[[], Escrow], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        step()


def test_the_escrow_still_says_first_who_has_too_few_rights() -> None:
    with pytest.raises(QuotaSpent):
        KNOWN.give("east", "west", 6)
