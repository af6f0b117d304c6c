"""The outbox and its relay on both databases: what is committed is said, in order, at least once,
and by one relay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.claims import create_turns
from labkit.base.transactions import begin_immediate, use_write_ahead_log
from labkit.messaging import BadMessage, Outbox, Relay, create_outbox
from tests.messaging.letters import CATALOG, Answered, Asked, Clock, Refused, numbered
from tests.support.engines import engine_on, lost_commit


class Lines:
    """A bus that writes down what it is given; the `nth` publication breaks, before or after it."""

    def __init__(self, breaks: int = 0, written: bool = False) -> None:
        self.wires: list[str] = []
        self.count, self.breaks, self.written = 0, breaks, written

    async def publish(self, wire: str) -> None:
        self.count += 1
        if self.count != self.breaks or self.written:
            self.wires.append(wire)
        if self.count == self.breaks:
            raise ConnectionResetError("no answer")

    def said(self) -> list[tuple[str, int]]:
        envelopes = [CATALOG.decode(wire) for wire in self.wires]
        return [(envelope.aggregate, envelope.sequence) for envelope in envelopes]


def play(url: str, scenario: Callable[[AsyncEngine, Outbox], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with engine_on(url) as engine:
            await use_write_ahead_log(engine)
            await create_outbox(engine)
            await create_turns(engine)
            return await scenario(engine, Outbox("shop", CATALOG, clock=Clock(5.0), ids=numbered()))

    return asyncio.run(act())


async def say(engine: AsyncEngine, outbox: Outbox, *orders: str, fail: bool = False) -> None:
    async with begin_immediate(engine) as connection:
        for order in orders:
            await outbox.add(connection, Asked(order), aggregate=order)
        if fail:
            raise ZeroDivisionError


def relay_of(engine: AsyncEngine, bus: Any, owner: str = "r1", **options: Any) -> Relay:
    return Relay(engine, "shop", bus, owner=owner, **{"clock": Clock(5.0), **options})


async def waiting(engine: AsyncEngine, outbox: Outbox) -> int:
    async with engine.connect() as connection:
        return await outbox.waiting(connection)


def test_events_are_said_in_the_order_of_their_commits_and_numbered_by_aggregate(
    database: str,
) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines()
        await say(engine, outbox, "a", "b", "a")
        await say(engine, outbox, "a")
        return (
            [await relay_of(engine, bus).relay(batch=3) for _ in range(3)],
            bus.said(),
            await waiting(engine, outbox),
        )

    assert play(database, scenario) == ([3, 1, 0], [("a", 1), ("b", 1), ("a", 2), ("a", 3)], 0)


def test_what_was_rolled_back_is_never_said_and_leaves_no_gap(database: str) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines()
        await say(engine, outbox, "a")
        with pytest.raises(ZeroDivisionError):
            await say(engine, outbox, "a", fail=True)
        await say(engine, outbox, "a")
        await relay_of(engine, bus).relay()
        return bus.said()

    assert play(database, scenario) == [("a", 1), ("a", 2)]


def test_transactions_at_the_same_moment_number_one_aggregate_without_gap_or_double(
    database: str,
) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines()
        await asyncio.gather(*(say(engine, outbox, "a") for _ in range(10)))
        await relay_of(engine, bus).relay()
        return bus.said()

    assert play(database, scenario) == [("a", number) for number in range(1, 11)]


def test_a_cause_hands_its_correlation_on(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        async with begin_immediate(engine) as connection:
            first = await outbox.add(connection, Asked("a"), aggregate="a")
            second = await outbox.add(connection, Answered("a", 3), aggregate="a", cause=first)
            third = await outbox.add(connection, Refused("a"), aggregate="a", cause=second)
            await outbox.add(connection, Asked("b"), aggregate="b")
            assert await outbox.said(connection, first.id) == [first, second, third]
        return [(e.id, e.correlation, e.causation) for e in (first, second, third)]

    assert play(sqlite_url, scenario) == [
        ("event-1", "event-1", None),
        ("event-2", "event-1", "event-1"),
        ("event-3", "event-1", "event-2"),
    ]


def test_what_nobody_could_read_is_refused_where_it_is_said_and_rolls_back(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        with pytest.raises(BadMessage, match=r"data\.cents must be a valid integer, got 'free'"):
            async with begin_immediate(engine) as connection:
                await outbox.add(connection, Asked("a"), aggregate="a")
                await outbox.add(connection, Answered("a", "free"), aggregate="a")  # type: ignore[arg-type]
        return await waiting(engine, outbox)

    assert play(sqlite_url, scenario) == 0


@pytest.mark.parametrize(
    "written", [False, True], ids=["before it was written", "after it was written"]
)
def test_a_bus_that_breaks_gets_the_rest_again_in_order(database: str, written: bool) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines(breaks=3, written=written)
        await say(engine, outbox, *"abcd")
        relay = relay_of(engine, bus)
        with pytest.raises(ConnectionResetError):
            await relay.relay()
        assert await waiting(engine, outbox) == 2  # what was published before is marked
        assert await relay.relay() == 2
        return "".join(order for order, _ in bus.said())

    assert play(database, scenario) == ("abccd" if written else "abcd")


def test_a_relay_that_dies_between_publishing_and_marking_says_it_twice_and_loses_nothing(
    sqlite_url: str,
) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines()
        await say(engine, outbox, *"ab")
        with (
            lost_commit(engine, nth=2, executed=False),
            pytest.raises(Exception, match="not available"),
        ):
            await relay_of(engine, bus).relay()
        await relay_of(engine, bus).relay()
        return "".join(order for order, _ in bus.said())

    assert play(sqlite_url, scenario) == "abab"


def test_a_second_relay_waits_for_the_first_ones_claim_to_end(database: str) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus, clock = Lines(), Clock(5.0)
        first, second = (
            relay_of(engine, bus, owner, clock=clock, lease=10.0) for owner in ("r1", "r2")
        )
        counts = []
        for relay, later in (
            (first, 0.0),
            (second, 9.9),
            (first, 0.0),
            (second, 9.9),
            (second, 0.1),
        ):
            clock.now += later
            await say(engine, outbox, "a")
            counts.append(await relay.relay())
        return counts, [number for _, number in bus.said()]

    assert play(database, scenario) == ([1, 0, 2, 0, 2], [1, 2, 3, 4, 5])


def test_of_two_relays_at_the_same_moment_one_publishes(database: str) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines()
        await say(engine, outbox, *"abcdef")
        counts = await asyncio.gather(
            *(relay_of(engine, bus, f"r{number}").relay() for number in range(4))
        )
        return sorted(counts), "".join(order for order, _ in bus.said())

    assert play(database, scenario) == ([0, 0, 0, 6], "abcdef")


def test_a_relay_stops_when_its_claim_ends(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        clock = Clock(5.0)

        class Slow(Lines):
            async def publish(self, wire: str) -> None:
                await super().publish(wire)
                clock.now += 4.0

        await say(engine, outbox, *"abcdef")
        return await relay_of(engine, Slow(), clock=clock, lease=10.0).relay()

    assert play(sqlite_url, scenario) == 3


def test_a_commit_that_comes_late_with_an_early_place_is_said_all_the_same(
    postgres_url: str,
) -> None:
    """The trap of "everything after the last position": the second transaction commits first."""

    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines()
        relay = relay_of(engine, bus)
        async with begin_immediate(engine) as slow:
            await outbox.add(slow, Asked("a"), aggregate="a")
            await say(engine, outbox, "b")
            await relay.relay()
        await relay.relay()
        async with engine.connect() as connection:
            places = (
                (await connection.execute(text("SELECT aggregate FROM outbox ORDER BY position")))
                .scalars()
                .all()
            )
        return [order for order, _ in bus.said()], places

    assert play(postgres_url, scenario) == (["b", "a"], ["a", "b"])


def test_republish_says_it_again_and_prune_forgets_what_was_published(database: str) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> Any:
        bus = Lines()
        await say(engine, outbox, *"ab")
        await relay_of(engine, bus).relay()
        async with begin_immediate(engine) as connection:
            again = await outbox.republish(connection, since=5.0)
            none = await outbox.prune(connection, before=6.0)  # what waits is not pruned
        await relay_of(engine, bus).relay()
        async with begin_immediate(engine) as connection:
            gone = await outbox.prune(connection, before=6.0)
        await say(engine, outbox, "a")  # its number goes on
        await relay_of(engine, bus).relay()
        return again, none, gone, bus.said()

    assert play(database, scenario) == (2, 0, 2, [("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 2)])


@pytest.mark.parametrize("lease", [0.0, -1.0, float("inf"), float("nan")])
def test_a_turn_needs_a_length(sqlite_url: str, lease: float) -> None:
    async def scenario(engine: AsyncEngine, outbox: Outbox) -> None:
        with pytest.raises(
            ValueError, match=r"lease must be between 0\.001 and 86400 seconds, got"
        ):
            relay_of(engine, Lines(), lease=lease)

    play(sqlite_url, scenario)
