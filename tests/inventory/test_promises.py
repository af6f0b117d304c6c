"""Accepted holds are decided once each, in the order (created_at, id), whoever decides them and
whatever crashes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from labkit.base.errors import KeyReused
from labkit.base.transactions import begin_immediate, reading
from labkit.check import Invariant
from labkit.inventory import (
    Accepts,
    Hold,
    HoldCancelled,
    HoldConfirmed,
    Ledger,
    Validator,
    create_reservations,
    reconcile,
)
from labkit.inventory.errors import NotHeld, OutOfStock
from labkit.inventory.model import HoldEvent
from labkit.inventory.stock import create_inventory
from labkit.inventory.tables import holds
from labkit.inventory.transitions import find_where
from labkit.sim import crashes, falsify, lost_replies, pauses, run
from labkit.world import Crash, Run, World
from tests.inventory.shelf import Shelf, filled, moments_of, on
from tests.support.depth import examples, runs, sampled

Cart = list[tuple[str, int]]


def accepts_of(shelf: Shelf, **options: Any) -> Accepts:
    return Accepts(shelf.engine, clock=shelf.clock, ids=shelf.ids, **options)


def validator_of(shelf: Shelf, owner: str = "v", **options: Any) -> Validator:
    return Validator(
        shelf.engine, **{"owner": owner, "clock": shelf.clock, "announce": shelf.announce} | options
    )


async def accepted(shelf: Shelf, *carts: Cart, every: float = 1.0) -> list[Hold]:
    """One hold for each cart, `every` so many seconds."""
    made, accepts = [], accepts_of(shelf)
    for cart in carts:
        made.append(await accepts.accept(cart, key=f"k{next(shelf.numbers)}", customer="ada"))
        shelf.now += every
    return made


async def statuses(engine: AsyncEngine) -> dict[str, str]:
    async with reading(engine) as connection:
        return {
            row.id: row.status
            for row in await connection.execute(select(holds).order_by(holds.c.id))
        }


def served(stock: dict[str, int], wanted: Iterable[tuple[str, Cart]]) -> dict[str, str]:
    """The oracle: first come first served, each who still fits."""
    left, ends = dict(stock), {}
    for name, cart in wanted:
        fits = all(left.get(sku, 0) >= quantity for sku, quantity in cart)
        ends[name] = "confirmed" if fits else "cancelled"
        for sku, quantity in cart if fits else []:
            left[sku] -= quantity
    return ends


@pytest.mark.parametrize(("buyers", "apart"), [(40, 0.0), (20, 3.0)])
def test_as_many_are_confirmed_as_there_are_at_once_or_in_turn(
    database: str, buyers: int, apart: float
) -> None:
    """The guide's validator cancels all forty who come at once (R1), and confirms all twenty who
    come in turn (R2).
    """

    async def scenario(shelf: Shelf) -> None:
        await accepted(shelf, *[[("tent", 1)]] * buyers, every=apart)
        decided = await validator_of(shelf).decide()
        assert [hold.status for hold in decided] == ["confirmed"] * 10 + ["cancelled"] * (
            buyers - 10
        )
        assert decided[-1].reason == "1 of 'tent' wanted, 0 available"
        assert shelf.said[0] == HoldConfirmed(decided[0].id, "ada")
        assert shelf.said[-1] == HoldCancelled(
            decided[-1].id, "ada", "1 of 'tent' wanted, 0 available"
        )
        assert len(shelf.said) == buyers and await validator_of(shelf).decide() == []
        await shelf.adds_up(tent=10)

    on(database, {"tent": 10}, scenario)


def test_accepting_asks_nobody_and_the_same_key_is_the_same_hold(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        accepts = accepts_of(shelf)
        hold = await accepts.accept([("tent", 9), ("nothing", 1)], key="k", customer="ada")
        assert (hold.status, hold.expires_at) == ("accepted", None)
        assert (
            await accepts.accept([("nothing", 1), ("tent", 9)], key="k", customer="ada")
            == hold
            == await accepts.get(hold.id)
        )
        with pytest.raises(KeyReused):
            await accepts.accept([("tent", 1)], key="k", customer="ada")
        for transition in (shelf.holds.confirm, shelf.holds.release, shelf.holds.extend):
            with pytest.raises(NotHeld, match=r"it is accepted$"):
                await transition(hold.id)
        shelf.now += 1e6
        (decided,) = await validator_of(shelf).decide()
        assert (decided.status, decided.reason) == ("cancelled", "no SKU 'nothing'"), (
            "and no tent was taken for it"
        )
        assert (
            await accepts.accept([("tent", 9), ("nothing", 1)], key="k", customer="ada") == decided
        )
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_a_hold_that_does_not_fit_lets_a_smaller_one_behind_it_through(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        made = await accepted(shelf, [("tent", 3)], [("tent", 3)], [("tent", 1), ("tent", 1)])
        await validator_of(shelf).decide()
        ends = served({"tent": 5}, [(hold.id, list(hold.lines)) for hold in made])
        assert await statuses(shelf.engine) == ends and list(ends.values()) == [
            "confirmed",
            "cancelled",
            "confirmed",
        ]
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_overdue_holds_of_the_other_kind_make_room(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 5)], key="abandoned", customer="eve")
        shelf.now += 10
        (hold,) = await accepted(shelf, [("tent", 5)])
        assert [one.status for one in await validator_of(shelf).decide()] == ["confirmed"]
        assert (await shelf.holds.get(hold.id)).status == "confirmed"
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_nobody_is_decided_before_an_earlier_one_who_wants_the_same(database: str) -> None:
    """The first worker claimed the first row and died. Whoever wants other goods is not kept."""

    async def scenario(shelf: Shelf) -> None:
        first, second, other = await accepted(
            shelf, [("tent", 1)], [("mat", 1), ("tent", 1)], [("stove", 1)]
        )
        assert [hold_id for hold_id, _ in await validator_of(shelf, "dead", batch=1)._claim()] == [
            first.id
        ]
        alive = validator_of(shelf, "alive")
        assert [hold.id for hold in await alive.decide()] == [other.id]
        for _ in range(7):  # more often than it may be tried: to wait is no attempt
            shelf.now += 4.0
            assert await alive.decide() == []
        shelf.now += 1.0
        assert await alive.decide() == []
        shelf.now += 1.0
        assert [(hold.id, hold.status) for hold in await alive.decide()] == [
            (first.id, "confirmed")
        ], "it comes alone, tried before"
        assert [(hold.id, hold.reason) for hold in await alive.decide()] == [
            (second.id, "1 of 'tent' wanted, 0 available")
        ]
        await shelf.adds_up(tent=1, mat=1, stove=1)

    on(database, {"tent": 1, "mat": 1, "stove": 1}, scenario)


def test_who_lost_the_claim_decides_nothing(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await accepted(shelf, [("tent", 1)])
        slow, quick = validator_of(shelf, "slow"), validator_of(shelf, "quick")
        ((hold_id, attempt),) = await slow._claim()
        shelf.now += 30.0
        with pytest.raises(Exception, match="the claim of 'hold-002' by 'slow' has ended"):
            await slow._decide(hold_id, attempt)
        assert len(await quick.decide()) == 1
        assert len(shelf.said) == 1

    on(database, {"tent": 1}, scenario)


def test_a_row_that_fails_its_worker_is_given_up_and_costs_the_others_nothing(
    database: str,
) -> None:
    async def scenario(shelf: Shelf) -> None:
        poison, *rest = await accepted(shelf, *[[("tent", 1)]] * 3)

        async def announce(connection: AsyncConnection, event: HoldEvent) -> None:
            if event == HoldConfirmed(poison.id, "ada"):
                raise RuntimeError("cannot be said")
            await shelf.announce(connection, event)

        for number in range(3):
            with pytest.raises(RuntimeError):
                await validator_of(shelf, f"v{number}", attempts=3, announce=announce).decide()
            shelf.now += 30.0
        worker = validator_of(shelf, "v9", attempts=3, announce=announce)
        decided = [hold for _ in range(3) for hold in await worker.decide()]
        assert [hold.status for hold in decided] == ["cancelled", "confirmed", "confirmed"]
        assert decided[0].reason == "not decided in 3 attempts"
        assert [hold.id for hold in decided] == [poison.id, *(hold.id for hold in rest)]
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_who_is_still_settling_may_be_overtaken_by_who_came_before(database: str) -> None:
    """The clock of one node is behind: its hold was created earlier and is committed later. Two
    seconds' grace are enough.
    """

    async def scenario(shelf: Shelf) -> None:
        patient = validator_of(shelf, settle=2.0)
        (later,) = await accepted(shelf, [("tent", 1)], every=0.0)
        shelf.now += 1.5
        assert await patient.decide() == []
        shelf.now -= 2.0
        (earlier,) = await accepted(shelf, [("tent", 1)], every=0.0)
        shelf.now += 2.5
        assert [(hold.id, hold.status) for hold in await patient.decide()] == [
            (earlier.id, "confirmed"),
            (later.id, "cancelled"),
        ]

    on(database, {"tent": 1}, scenario)


def test_three_workers_at_once_on_one_queue_decide_as_one_would(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        carts: list[Cart] = [
            [("a", 1 + i % 2)] if i % 3 else [("a", 1), ("b", 1)] for i in range(12)
        ]
        made = await accepted(shelf, *carts)
        workers = [validator_of(shelf, f"v{number}", batch=2) for number in range(3)]
        for _ in range(20):
            await asyncio.gather(*(worker.decide() for worker in workers))
        assert await statuses(shelf.engine) == served(
            {"a": 7, "b": 3}, [(hold.id, list(hold.lines)) for hold in made]
        )
        assert len(shelf.said) == 12
        await shelf.adds_up(a=7, b=3)

    on(database, {"a": 7, "b": 3}, scenario)


carts = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3)), min_size=1, max_size=2),
        st.sampled_from([0.0, 1.0]),
    ),
    min_size=1,
    max_size=8,
)
turns = st.lists(
    st.tuples(st.sampled_from(["v", "w"]), st.integers(1, 3), st.sampled_from([0.0, 40.0])),
    max_size=8,
)


@examples("dear")
@given(carts=carts, turns=turns, stock=st.integers(0, 6))
def test_any_carts_and_any_turns_of_the_workers_come_out_as_one_queue(
    carts: list[tuple[Cart, float]], turns: list[tuple[str, int, float]], stock: int
) -> None:
    """A worker that dies is one that claims and does nothing; each turn may come after the lease of
    the last.
    """

    async def scenario() -> None:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        shelf = await filled(engine, {"a": stock, "b": stock})
        made = [(await accepted(shelf, cart, every=after))[0] for cart, after in carts]
        for owner, batch, after in turns:
            shelf.now += after
            worker = validator_of(shelf, owner, batch=batch)
            await (worker.decide() if batch != 3 else worker._claim())
        shelf.now += 40.0
        while await validator_of(shelf, "last", attempts=100).decide():
            pass
        made.sort(key=lambda hold: (hold.created_at, hold.id))
        expected = served({"a": stock, "b": stock}, [(hold.id, list(hold.lines)) for hold in made])
        assert await statuses(engine) == dict(sorted(expected.items()))
        await shelf.adds_up(a=stock, b=stock)
        await engine.dispose()

    asyncio.run(scenario())


async def a_queue(
    world: World, workers: int = 1, seconds: int = 3, stock: int = 2
) -> dict[str, Any]:
    """Four accepted holds for two tents and some mats; the event of a decision is a row of a table,
    as in an outbox.
    """
    lab = world.database()
    await create_inventory(lab, {"tent": stock, "mat": 9})
    await create_reservations(lab, clock=world.clock)
    async with begin_immediate(lab) as connection:
        await connection.execute(text("CREATE TABLE told (hold_id TEXT, event TEXT)"))
    accepts = Accepts(lab, clock=world.clock, ids=world.new_id)
    carts: list[Cart] = [[("tent", 1), ("mat", 1)], [("tent", 2)], [("tent", 1)], [("tent", 1)]]
    made = [
        await accepts.accept(cart, key=f"k{number}", customer="ada")
        for number, cart in enumerate(carts)
    ]
    made.sort(key=lambda hold: (hold.created_at, hold.id))

    async def announce(connection: AsyncConnection, event: HoldEvent) -> None:
        row = {"id": event.hold_id, "event": type(event).__name__}
        await connection.execute(
            text("INSERT INTO told (hold_id, event) VALUES (:id, :event)"), row
        )

    async def working(name: str) -> None:
        engine = world.database(timeout=0.5)
        validator = Validator(
            engine,
            owner=name,
            clock=world.clock,
            lease=2.0,
            batch=3,
            announce=announce,
            within=1.0,
            observe=world.record,
        )
        await validator.work(poll=0.5)

    for number in range(workers):
        world.node(f"worker-{number}").boot(working, f"worker-{number}")
    torn = []
    for _ in range(seconds):
        await asyncio.sleep(1.0)
        async with reading(lab) as connection:
            ends = {
                hold.id: hold.status
                for hold in await find_where(
                    connection, holds.c.id == holds.c.id, now=world.clock()
                )
            }
            rows = sorted(
                (await connection.execute(text("SELECT hold_id, event FROM told"))).tuples().all()
            )
        says = {"confirmed": "HoldConfirmed", "cancelled": "HoldCancelled"}
        if rows != sorted(
            (hold_id, says[status]) for hold_id, status in ends.items() if status != "accepted"
        ):
            torn.append((rows, ends))
    return {
        "torn": torn,
        "right": ends
        == served({"tent": stock, "mat": 9}, [(hold.id, list(hold.lines)) for hold in made]),
        "wrong": await reconcile(lab, clock=world.clock),
        "ends": len(
            [
                entry
                for entry in await Ledger(lab).entries("tent")
                if entry.kind in ("confirmed", "cancelled")
            ]
        ),
    }


WELL = {"torn": [], "right": True, "wrong": [], "ends": 4}
DECIDED = Invariant(
    "each is decided once, in order, and told with it",
    lambda run: None if run.result == WELL else f"{run.result}",
)


@pytest.mark.search
def test_a_worker_that_crashes_anywhere_changes_no_decision_and_tears_no_event_from_it() -> None:
    """At every moment of its calm run: after each message it sent or got, so before and after each
    commit.
    """
    calm: Run = run(a_queue, seed=None)
    assert calm.result == WELL
    last = max(event.at for event in calm.history.of("confirmed", "cancelled"))
    when = moments_of(calm.history, "worker-0", until=last + 0.01)
    assert len(when) > 60
    for moment in sampled(when):
        done = run(a_queue, seed=None, faults=[Crash("worker-0", at=moment, restart_after=0.5)])
        assert done.result == WELL, moment


@pytest.mark.search
def test_nor_do_two_workers_with_pauses_crashes_and_lost_answers() -> None:
    nodes = ("worker-0", "worker-1")
    faults = [crashes(*nodes, restart_after=0.5), pauses(*nodes, up_to=4.0), lost_replies(*nodes)]
    assert falsify(
        a_queue,
        DECIDED,
        faults=faults,
        at_most=3,
        runs=runs("dear"),
        args={"workers": 2, "seconds": 8},
    )


def test_a_request_repeated_is_the_same_hold_also_when_the_cache_no_longer_has_its_units(
    database: str,
) -> None:
    async def scenario(shelf: Shelf) -> None:
        first = await accepts_of(shelf).accept([("tent", 2)], key="k", customer="ada")
        knowing = accepts_of(
            shelf,
            cache=OneIsLeft(),
            observe=lambda kind, **facts: heard.append((kind, facts.get("hold"))),
        )
        heard: list[Any] = []
        assert await knowing.accept([("tent", 2)], key="k", customer="ada") == first
        await validator_of(shelf).decide()
        assert (await knowing.accept([("tent", 2)], key="k", customer="ada")).status == "confirmed"
        assert [what for what in heard if what[0] == "accepted"] == [("accepted", first.id)]
        with pytest.raises(OutOfStock):
            await knowing.accept([("tent", 2)], key="another", customer="ada")

    on(database, {"tent": 5}, scenario)


def test_what_makes_no_sense_is_refused(sqlite_url: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        for field in ("batch", "attempts"):
            with pytest.raises(
                ValueError, match=rf"^{field} must be a whole number of at least 1, got 0"
            ):
                validator_of(shelf, **{field: 0})
        with pytest.raises(
            ValueError, match=r"^settle must be between 0 and 86400 seconds, got -1"
        ):
            validator_of(shelf, settle=-1.0)
        with pytest.raises(ValueError, match=r"^quantity must be"):
            await accepts_of(shelf).accept([("tent", 2), ("tent", -1)], key="k", customer="ada")
        with pytest.raises(OutOfStock, match="2 of 'tent' wanted, 1 available"):
            await accepts_of(shelf, cache=OneIsLeft()).accept(
                [("tent", 2)], key="k", customer="ada"
            )
        assert repr(validator_of(shelf)) == "<Validator v, 100 at a time>"
        assert [repr(accepts_of(shelf)), repr(accepts_of(shelf, cache=OneIsLeft()))] == [
            "<Accepts on sqlite, without a cache>",
            "<Accepts on sqlite, with a cache>",
        ]
        assert await statuses(shelf.engine) == {}

    on(sqlite_url, {"tent": 5}, scenario)


class OneIsLeft:
    async def stock(self, sku: str) -> int | None:
        return 1
