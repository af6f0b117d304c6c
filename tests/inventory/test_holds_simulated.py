"""Holds under searches for the schedule and the faults that break them; and proof that the searches
can find something.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import DatabaseUnavailable
from labkit.base.transactions import reading
from labkit.check import Invariant
from labkit.inventory import (
    Balance,
    Hold,
    Holds,
    Ledger,
    Sweeper,
    create_reservations,
    reconcile,
    transitions,
)
from labkit.inventory.errors import NotHeld, OutOfStock
from labkit.inventory.stock import create_inventory, inventory
from labkit.sim import crashes, falsify, lost_replies, partitions, pauses, run, sweep
from labkit.world import Crash, Run, World
from tests.inventory.shelf import moments_of
from tests.support.depth import UNTIL_FOUND, runs, sampled

STOCK = 2
TTL = 2.0
BUYERS = ("a", "b", "c")
THEN = {"a": ("confirm",), "b": ("extend", "confirm"), "c": ("release",)}
"""What each does after it holds; the fourth buyer, "d", holds and is never seen again."""


async def shop(world: World, sweepers: int = 1, holds: type[Holds] = Holds) -> dict[str, Any]:
    """Four buyers want two tents; each repeats what was left unanswered, with the same key, and
    goes on after a crash.
    """
    lab = world.database()
    await create_inventory(lab, {"tent": STOCK})
    await create_reservations(lab, clock=world.clock)

    def made() -> Holds:
        return holds(
            world.database(timeout=0.5),
            clock=world.clock,
            ids=world.new_id,
            ttl=TTL,
            within=1.0,
            observe=world.record,
        )

    async def buyer(name: str, then: tuple[str, ...], start: float) -> None:
        mine = made()
        await asyncio.sleep(start)
        while True:
            try:
                hold = await mine.hold([("tent", 1)], key=f"cart-{name}", customer=name)
                for transition in then:
                    await getattr(mine, transition)(hold.id)
                world.record("told", status=(await mine.get(hold.id)).status)
                return
            except NotHeld:
                return
            except OutOfStock:
                if world.now() > 5 * TTL:
                    return
                await asyncio.sleep(1.0)
            except DatabaseUnavailable:
                await asyncio.sleep(0.5)

    async def sweeping(name: str) -> None:
        await Sweeper(made(), owner=name, lease=2.0, batch=1).work(poll=1.0)

    for number, (name, then) in enumerate([*THEN.items(), ("d", ())]):
        world.node(name).boot(buyer, name, then, number / 500)
    for number in range(sweepers):
        world.node(f"sweeper-{number}").boot(sweeping, f"sweeper-{number}")
    totals = set()
    for _ in range(5):
        await asyncio.sleep(2.0)
        await answering(lab)
        state = await Holds(lab, clock=world.clock, ids=world.new_id).available("tent")
        totals |= {state.total, (await Ledger(lab).balance("tent")).total}
    await asyncio.sleep(5 * TTL)  # whoever was late is over by now
    await answering(lab)
    left = asdict(await Holds(lab, clock=world.clock, ids=world.new_id).available("tent"))
    wrong = await reconcile(lab, clock=world.clock, grace=1000.0)
    return {
        "totals": sorted(totals),
        "left": left,
        "wrong": wrong,
        "ledger": await Ledger(lab).balance("tent"),
    }


async def answering(lab: AsyncEngine) -> None:
    """The experimenter's connections do not survive the database's crash either."""
    while True:
        with suppress(DatabaseUnavailable):
            async with reading(lab) as connection:
                await connection.execute(select(inventory))
                return


def _books(run: Run) -> str | None:
    left, ledger = run.result["left"], run.result["ledger"]
    if run.result["totals"] != [STOCK] or run.result["wrong"]:
        return f"totals {run.result['totals']}, {run.result['wrong']}"
    return (
        None
        if ledger == Balance(left["on_hand"], left["held"], left["sold"])
        else f"{ledger} is not {left}"
    )


def _oversold(run: Run) -> str | None:
    told = {event.node for event in run.history.of("told") if event.data["status"] == "confirmed"}
    return (
        f"{told} were told"
        if len(told) > run.result["left"]["sold"] or run.result["left"]["sold"] > STOCK
        else None
    )


def _back(run: Run) -> str | None:
    left = run.result["left"]
    return None if left["available"] + left["sold"] == STOCK else f"not all is back: {left}"


BOOKS = Invariant(
    "on hand + held + sold is what there was, at every look, by the books and by the ledger", _books
)
NEVER = Invariant("whoever was told so has bought, and no more was sold than there was", _oversold)
BACK = Invariant("what nobody confirmed can be had again", _back)
EVERYBODY = (*BUYERS, "d", "sweeper-0")
FAULTS = [
    crashes(*EVERYBODY, restart_after=1.0),
    pauses(*EVERYBODY, up_to=2 * TTL),
    lost_replies(*EVERYBODY),
    partitions(*EVERYBODY, up_to=3.0),
    st.integers(1, 35).map(lambda step: Crash("database", at=step / 50, restart_after=0.2)),
]


@pytest.mark.search
def test_no_schedule_and_no_fault_oversells_or_breaks_the_books() -> None:
    both = Invariant(
        "nothing is oversold, lost or made", lambda run: _books(run) or _oversold(run) or _back(run)
    )
    assert falsify(
        shop,
        both,
        faults=FAULTS,
        at_most=3,
        runs=runs("dear"),
        args={"sweepers": st.sampled_from([0, 1, 2])},
    )


class TwoSteps(Holds):
    """Looks in one transaction and writes in another, as the guide does."""

    async def hold(self, lines: Any, *, key: str, customer: str, ttl: float | None = None) -> Hold:
        async with reading(self.engine, within=self.within) as connection:
            stock = await connection.scalar(select(inventory.c.stock))
        if stock is None or stock < 1:
            raise OutOfStock("tent", 1, 0)
        async with self._write("hold") as connection:
            now = self.clock()
            fresh = Hold(
                self._ids("hold-"), key, customer, "held", (("tent", 1),), now, now + self.ttl
            )
            await transitions.enter(connection, fresh, now=now)
            await connection.execute(inventory.update().values(stock=stock - 1))
        return fresh


def test_the_search_finds_what_looks_first_and_writes_later() -> None:
    found = falsify(shop, BOOKS, args={"sweepers": 0, "holds": TwoSteps}, runs=UNTIL_FOUND)
    assert found.verdict.status == "broken"


@pytest.mark.parametrize("sweepers", [0, 1])
def test_abandoned_units_come_back_with_and_without_a_sweeper(sweepers: int) -> None:
    """Without one, those who wait for a tent take the abandoned one back themselves."""
    done = sweep(shop, seeds=range(5), args={"sweepers": sweepers}, invariant=BACK)
    assert not done.broken
    assert {one.result["left"]["sold"] for one in done.runs} == {STOCK}


async def a_confirmation_at_the_last_moment(world: World, early: float) -> str:
    """The customer confirms as the time runs out, and so does the sweeper, on another node."""
    lab = world.database()
    await create_inventory(lab, {"tent": 1})
    await create_reservations(lab, clock=world.clock)

    def made() -> Holds:
        return Holds(
            world.database(), clock=world.clock, ids=world.new_id, ttl=TTL, observe=world.record
        )

    hold = await made().hold([("tent", 1)], key="k", customer="ada")
    assert hold.expires_at is not None
    end = hold.expires_at - world.clock() + world.now()

    async def confirm() -> str:
        await asyncio.sleep(end - early - world.now())
        try:
            return (await made().confirm(hold.id)).status
        except NotHeld as refused:
            return f"refused: {refused.status}"

    async def expire() -> int:
        await asyncio.sleep(end - early - world.now())
        while not (swept := await Sweeper(made(), owner="s").sweep()) and world.now() < end + 1:
            await asyncio.sleep(0.0005)
        return swept

    told, swept = await world.join(
        world.node("customer").start(confirm), world.node("sweeper").start(expire)
    )
    (won,) = [entry.kind for entry in (await Ledger(lab).entries(hold_id=hold.id))[1:]]
    assert (told, swept) == {"confirmed": ("confirmed", 0), "expired": ("refused: expired", 1)}[won]
    assert (await made().available("tent")).total == 1 and not await reconcile(
        lab, clock=world.clock
    )
    return won


def test_of_a_confirmation_and_an_expiry_at_one_instant_the_ledger_says_which_won() -> None:
    early = [step / 2000 for step in range(0, 13)]
    wins = {
        one: set(
            sweep(a_confirmation_at_the_last_moment, seeds=range(3), args={"early": one}).results()
        )
        for one in early
    }
    assert set.union(*wins.values()) == {"confirmed", "expired"}
    assert wins[0.0] == {"expired"}, "at the instant itself it is too late"


async def three_overdue(world: World) -> dict[str, Any]:
    """One sweeper at work on three overdue holds of four, one at a time; it comes back after a
    crash.
    """
    lab = world.database()
    await create_inventory(lab, {"tent": 4})
    await create_reservations(lab, clock=world.clock)
    customers = Holds(lab, clock=world.clock, ids=world.new_id, ttl=0.5)
    for number in range(3):
        await customers.hold([("tent", 1)], key=f"k{number}", customer="ada")
    live = await customers.hold([("tent", 1)], key="live", customer="bob", ttl=60.0)
    await asyncio.sleep(1.0)

    async def sweeping() -> None:
        holds = Holds(
            world.database(timeout=0.5), clock=world.clock, ids=world.new_id, observe=world.record
        )
        await Sweeper(holds, owner="sweeper", lease=2.0, batch=1).work(poll=1.0)

    world.node("sweeper").boot(sweeping)
    await asyncio.sleep(5.0)
    entries = await Ledger(lab).entries("tent")
    return {
        "left": (await customers.available("tent")).on_hand,
        "live": (await customers.get(live.id)).status,
        "expired": sorted(entry.hold_id or "" for entry in entries if entry.kind == "expired"),
        "wrong": await reconcile(lab, clock=world.clock),
    }


@pytest.mark.search
def test_a_sweeper_that_crashes_anywhere_loses_nothing_and_expires_nothing_twice() -> None:
    """At every moment of its calm run: after each message it sent or got, so before and after each
    commit.
    """
    calm = run(three_overdue, seed=None)
    when = moments_of(
        calm.history, "sweeper", until=max(event.at for event in calm.history.of("expired")) + 0.01
    )
    assert len(when) > 30
    kinds = [event.kind for event in calm.history.events if event.kind in ("committing", "expired")]
    crashing = [Crash("sweeper", at=moment, restart_after=0.5) for moment in when]
    crashing += [
        Crash("sweeper", after=kind, nth=nth, restart_after=0.5)
        for kind in ("committing", "expired")
        for nth in range(1, min(4, kinds.count(kind)) + 1)
    ]
    for crash in sampled(crashing):
        done = run(three_overdue, seed=None, faults=[crash]).result
        assert done["left"] == 3 and len(done["expired"]) == len(set(done["expired"])) == 3, crash
        assert (done["live"], done["wrong"]) == ("held", []), crash
