"""The sweeper: batches, turns, and nothing but the overdue."""

from __future__ import annotations

import asyncio

import pytest

from labkit.base.claims import Turn
from labkit.base.errors import DatabaseUnavailable
from labkit.base.transactions import begin_immediate
from labkit.inventory import HoldExpired, Holds, Sweeper, create_reservations
from labkit.inventory.stock import create_inventory
from labkit.sim import run
from labkit.world import Crash, World
from tests.inventory.shelf import Shelf, on


async def three_overdue_and_one_live(shelf: Shelf) -> None:
    for number in range(3):
        await shelf.holds.hold(
            [("tent", 1)], key=f"k{number}", customer=f"c{number}", ttl=5.0 - number
        )
    await shelf.holds.hold([("tent", 1)], key="live", customer="ada", ttl=60.0)
    shelf.now += 10


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_it_expires_the_overdue_and_nothing_else_the_longest_overdue_first(
    database: str, batch: int
) -> None:
    async def scenario(shelf: Shelf) -> None:
        await three_overdue_and_one_live(shelf)
        sweeper = Sweeper(shelf.holds, owner="s", batch=batch)
        assert [await sweeper.sweep(), await sweeper.sweep()] == [3, 0]
        expired = [event.customer for event in shelf.said if isinstance(event, HoldExpired)]
        assert expired == ["c2", "c1", "c0"]
        found = await shelf.holds.available("tent")
        assert (found.on_hand, found.held, found.overdue) == (9, 1, 0)
        await shelf.adds_up(tent=10)

    on(database, {"tent": 10}, scenario)


def test_one_at_a_time_and_the_next_after_the_lease_or_when_the_first_is_done(
    database: str,
) -> None:
    async def scenario(shelf: Shelf) -> None:
        await three_overdue_and_one_live(shelf)
        async with begin_immediate(
            shelf.engine
        ) as connection:  # a sweeper that took its turn and died
            await Turn("sweeper", "dead", lease=30.0).take(connection, shelf.now)
        second, third = (Sweeper(shelf.holds, owner=name) for name in ("second", "third"))
        assert await second.sweep() == 0
        shelf.now += 29.0
        assert await second.sweep() == 0
        shelf.now += 1.0
        assert await second.sweep() == 3
        await shelf.holds.hold([("tent", 1)], key="new", customer="bob", ttl=1.0)
        shelf.now += 1.0
        assert await third.sweep() == 1, "whoever is done lets the next one in"
        await shelf.adds_up(tent=10)

    on(database, {"tent": 10}, scenario)


def test_two_sweepers_at_the_same_moment_expire_each_hold_once(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        for number in range(10):
            await shelf.holds.hold([("tent", 1)], key=f"k{number}", customer="ada")
        shelf.now += 10
        sweepers = [
            Sweeper(shelf.holds, owner=owner, batch=2, lease=0.001) for owner in ("a", "b", "a")
        ]
        assert sum(await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))) == 10
        assert len(shelf.said) == 20
        await shelf.adds_up(tent=10)

    on(database, {"tent": 10}, scenario)


def test_its_loop_outlives_the_database() -> None:
    async def scenario(world: World) -> int:
        lab = world.database()
        await create_inventory(lab, {"tent": 1})
        await create_reservations(lab, clock=world.clock)
        holds = Holds(
            world.database(timeout=0.5),
            clock=world.clock,
            ids=world.new_id,
            ttl=3.0,
            observe=world.record,
        )
        await holds.hold([("tent", 1)], key="k", customer="ada")
        world.node("sweeper").boot(Sweeper(holds, owner="s").work, 1.0)
        await asyncio.sleep(8.0)
        return len(world.history.of("expired"))

    assert run(scenario, faults=[Crash("database", at=0.5, restart_after=4.0)]).result == 1


def test_a_failure_of_the_database_is_not_hidden_from_who_sweeps_by_hand() -> None:
    async def scenario(world: World) -> None:
        lab = world.database()
        await create_inventory(lab, {})
        await create_reservations(lab, clock=world.clock)
        await asyncio.sleep(1.0)
        with pytest.raises(DatabaseUnavailable):
            await Sweeper(Holds(lab, clock=world.clock, ids=world.new_id), owner="s").sweep()

    run(scenario, faults=[Crash("database", at=0.5)])


def test_what_makes_no_sense_is_refused(sqlite_url: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        for batch in (0, True, 1.5):
            with pytest.raises(
                ValueError, match=r"^batch must be a whole number of at least 1, got"
            ):
                Sweeper(shelf.holds, owner="s", batch=batch)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^owner must have 1 to 64 printable characters"):
            Sweeper(shelf.holds, owner="")
        with pytest.raises(
            ValueError, match=r"^lease must be between 0.001 and 86400 seconds, got 0"
        ):
            Sweeper(shelf.holds, owner="s", lease=0)
        with pytest.raises(ValueError, match=r"^poll must be between"):
            await Sweeper(shelf.holds, owner="s").work(0)
        assert repr(Sweeper(shelf.holds, owner="s")) == "<Sweeper s, 100 at a time>"

    on(sqlite_url, {}, scenario)
