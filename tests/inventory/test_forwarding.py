"""A site that is cut off accepts into its own database; every hold reaches home once, and its
decision the site.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import sqlite_engine
from labkit.base.transactions import reading
from labkit.check import Invariant
from labkit.inventory import (
    Accepts,
    Forwarder,
    Hold,
    HoldCancelled,
    Validator,
    create_reservations,
    reconcile,
)
from labkit.inventory.stock import create_inventory
from labkit.inventory.tables import holds, undecided
from labkit.inventory.transitions import find_where
from labkit.sim import crashes, falsify, lost_replies, partitions, pauses, run
from labkit.world import Crash, Partition, World
from tests.inventory.shelf import Shelf, filled, moments_of, on
from tests.support.depth import runs, sampled


def both(database: str, tmp_path: Any, scenario: Any) -> None:
    """Run `scenario(home, site, forwarder)`: home has five tents, the site, which is an SQLite
    file, has none.
    """

    async def within(home: Shelf) -> None:
        engine = sqlite_engine(tmp_path / "site.db")
        try:
            site = await filled(engine, {})
            site.ids = lambda prefix: f"{prefix}west-{next(site.numbers):03}"  # type: ignore[method-assign]
            await scenario(
                home,
                site,
                Forwarder(engine, home.engine, clock=home.clock, announce=site.announce, batch=2),
            )
        finally:
            await (
                engine.dispose()
            )  # before the other one is: that waits for every thread of a connection

    on(database, {"tent": 5}, within)


async def undecided_at(site: AsyncEngine) -> int:
    """Rows of work left at a site. (To reconcile it makes no sense: its units are at home.)"""
    async with reading(site) as connection:
        return len((await connection.execute(select(undecided))).all())


def accepts_of(shelf: Shelf) -> Accepts:
    return Accepts(shelf.engine, clock=shelf.clock, ids=shelf.ids)


def test_holds_travel_home_in_batches_are_decided_there_and_the_decisions_come_back(
    database: str, tmp_path: Any
) -> None:
    async def scenario(home: Shelf, site: Shelf, forwarder: Forwarder) -> None:
        accepts, made = accepts_of(site), []
        for number in range(3):
            made.append(await accepts.accept([("tent", 2)], key=f"k{number}", customer="ada"))
            site.now += 1
        home.now = site.now
        assert [await forwarder.forward() for _ in range(3)] == [2, 1, 0]
        assert await forwarder.collect() == []
        await Validator(home.engine, owner="v", clock=home.clock, announce=home.announce).decide()
        back = [hold for _ in range(3) for hold in await forwarder.collect()]
        assert [(hold.id, hold.status) for hold in back] == [
            (made[0].id, "confirmed"),
            (made[1].id, "confirmed"),
            (made[2].id, "cancelled"),
        ]
        cancelled = await accepts.get(made[2].id)
        assert (cancelled.status, cancelled.reason) == (
            "cancelled",
            "2 of 'tent' wanted, 1 available",
        )
        assert (cancelled.created_at, cancelled.lines) == (made[2].created_at, made[2].lines)
        assert (
            home.said[-1] == HoldCancelled(made[2].id, "ada", "2 of 'tent' wanted, 1 available")
            and not site.said
        )
        assert await undecided_at(site.engine) == 0
        await home.adds_up(tent=5)
        assert repr(forwarder) == "<Forwarder, 2 at a time>"

    both(database, tmp_path, scenario)


def test_a_request_made_at_both_sites_is_one_hold_and_the_double_says_so(
    database: str, tmp_path: Any
) -> None:
    async def scenario(home: Shelf, site: Shelf, forwarder: Forwarder) -> None:
        first = await accepts_of(home).accept([("tent", 1)], key="k", customer="ada")
        double = await accepts_of(site).accept([("tent", 1)], key="k", customer="ada")
        other = await accepts_of(site).accept([("tent", 1)], key="l", customer="ada")
        await accepts_of(home).accept([("tent", 4)], key="l", customer="bob")
        await forwarder.forward()
        await Validator(home.engine, owner="v", clock=home.clock).decide()
        assert await forwarder.forward() == 0 and await forwarder.collect() == []
        ends = [await accepts_of(site).get(hold.id) for hold in (double, other)]
        reasons = [
            f"the same request was taken before, as {first.id}",
            "its key was used for another hold",
        ]
        assert [(end.status, end.reason) for end in ends] == [
            ("cancelled", reason) for reason in reasons
        ]
        assert site.said == [
            HoldCancelled(hold.id, "ada", why)
            for hold, why in zip((double, other), reasons, strict=True)
        ]
        assert (await home.holds.available("tent")).sold == 5
        await home.adds_up(tent=5)

    both(database, tmp_path, scenario)


def test_two_forwarders_with_the_same_keys_in_opposite_order_end(
    postgres_url: str, tmp_path: Any
) -> None:
    keys = [f"k{number:02}" for number in range(30)]

    async def scenario(home: Shelf) -> None:
        engines = [sqlite_engine(tmp_path / f"{name}.db") for name in ("west", "east")]
        forwarders = []
        for engine, wanted in zip(engines, (keys, keys[::-1]), strict=True):
            site = await filled(engine, {})
            site.ids = lambda prefix: f"{prefix}{next(home.numbers):03}"  # type: ignore[method-assign]
            for key in wanted:
                await accepts_of(site).accept([("tent", 1)], key=key, customer="ada")
                site.now += 1
            forwarders.append(Forwarder(engine, home.engine, clock=home.clock))
        assert await asyncio.gather(*(forwarder.forward() for forwarder in forwarders)) == [30, 30]
        assert [await undecided_at(engine) for engine in engines] in ([30, 0], [0, 30])
        for engine in engines:
            await engine.dispose()

    on(postgres_url, {"tent": 5}, scenario)


async def two_sites(world: World, seconds: float = 4.0) -> dict[str, Any]:
    """West accepts three, of which home can keep two, and both sites the same request; a forwarder
    runs between them.
    """
    home, west = world.database("home"), world.database("west-database")
    for engine, stock in ((home, {"tent": 3}), (west, {})):
        await create_inventory(engine, stock)
        await create_reservations(engine, clock=world.clock)
    made: list[Hold] = []
    for number in range(3):
        accepts = Accepts(west, clock=world.clock, ids=world.new_id)
        made.append(await accepts.accept([("tent", 1)], key=f"k{number}", customer="ada"))
    await Accepts(home, clock=world.clock, ids=world.new_id).accept(
        [("tent", 1)], key="k0", customer="ada"
    )
    await Accepts(home, clock=world.clock, ids=world.new_id).accept(
        [("tent", 1)], key="h", customer="bob"
    )

    async def forwarding() -> None:
        site, there = (
            world.database("west-database", timeout=0.5),
            world.database("home", timeout=0.5),
        )
        await Forwarder(
            site, there, clock=world.clock, batch=2, within=1.0, observe=world.record
        ).work(poll=1.0)

    async def deciding() -> None:
        engine = world.database("home", timeout=0.5)
        await Validator(engine, owner="v", clock=world.clock, lease=2.0, within=1.0).work(poll=1.0)

    world.node("west").boot(forwarding)
    world.node("validator").boot(deciding)
    await asyncio.sleep(seconds)
    ends = {}
    for name, engine in (("home", home), ("west", west)):
        async with reading(engine) as connection:
            everybody = await find_where(connection, holds.c.id == holds.c.id, now=world.clock())
        ends[name] = {hold.id: hold.status for hold in everybody}
    wrong = await reconcile(home, clock=world.clock), await undecided_at(west)
    return {
        "home": ends["home"],
        "west": ends["west"],
        "wrong": wrong,
        "made": [hold.id for hold in made],
    }


def _agree(run: Any) -> str | None:
    home, west, made = run.result["home"], run.result["west"], run.result["made"]
    double, *single = made
    if (
        run.result["wrong"] != ([], 0)
        or sorted(west) != sorted(made)
        or len(home) != 4
        or double in home
    ):
        return f"{run.result}"
    if west[double] != "cancelled" or [home[name] for name in single] != [
        west[name] for name in single
    ]:
        return f"home and west disagree: {run.result}"
    return (
        None if sorted(home.values()) == ["cancelled", *["confirmed"] * 3] else f"undecided: {home}"
    )


AGREE = Invariant("every hold is decided once, and both sites say the same", _agree)


@pytest.mark.search
def test_a_forwarder_that_crashes_anywhere_loses_and_doubles_nothing() -> None:
    """At every moment of its calm run until it is done."""
    calm = run(two_sites, seed=None)
    assert _agree(calm) is None
    when = moments_of(
        calm.history, "west", until=max(event.at for event in calm.history.of("committing")) + 0.01
    )
    assert len(when) > 40
    for moment in sampled(when):
        done = run(two_sites, seed=None, faults=[Crash("west", at=moment, restart_after=0.5)])
        assert _agree(done) is None, (moment, _agree(done))


@pytest.mark.search
def test_nor_do_partitions_pauses_and_lost_answers() -> None:
    faults = [
        crashes("west", restart_after=0.5),
        pauses("west", "validator", up_to=3.0),
        lost_replies("west"),
        partitions("west", "home", up_to=4.0),
    ]
    assert falsify(
        two_sites, AGREE, faults=faults, at_most=3, runs=runs("dear"), args={"seconds": 12.0}
    )


def test_a_site_that_is_cut_off_goes_on_accepting() -> None:
    async def scenario(world: World) -> list[str]:
        home, west = world.database("home"), world.database("west-database")
        for engine in (home, west):
            await create_inventory(engine, {"tent": 5} if engine is home else {})
            await create_reservations(engine, clock=world.clock)

        async def shop() -> list[str]:
            accepts = Accepts(west, clock=world.clock, ids=world.new_id)
            made = [
                await accepts.accept([("tent", 1)], key=f"k{number}", customer="ada")
                for number in range(2)
            ]
            return [hold.status for hold in made]

        (came,) = await world.join(world.node("west").start(shop))
        assert isinstance(came, list)
        return came

    cut = [Partition(("west", "west-database"), at=0.0)]
    assert run(scenario, faults=cut).result == ["accepted", "accepted"]
