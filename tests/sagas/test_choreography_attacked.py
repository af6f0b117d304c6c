"""What an attack on the choreography's parts found: each of these once lost something, or ended
what should have gone on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit import sim
from labkit.base import claims
from labkit.base.transactions import begin_immediate, use_write_ahead_log
from labkit.messaging import (
    BadMessage,
    Catalog,
    Deadlines,
    DeadlineWorker,
    Envelope,
    Inbox,
    MemoryBus,
    Outbox,
    RedisStreams,
    Relay,
    Service,
    Subscriber,
    create_deadlines,
    create_outbox,
    deadlines,
    inbox,
    outbox,
)
from labkit.messaging.bus import Receive
from labkit.messaging.inbox import create_inbox
from labkit.shop import choreography
from labkit.shop.choreography import open_choreography
from labkit.shop.events import StockRefused, order_catalog
from labkit.world import World
from tests.messaging.letters import CATALOG, Asked, Clock, Refused, asked, numbered
from tests.support.engines import engine_on


class Wordless(Exception):
    """An error that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


async def awaits_what_somebody_cancelled() -> None:
    other = asyncio.create_task(asyncio.sleep(10))
    other.cancel()
    await other


def raising(error: Exception | None) -> Receive:
    """Fails on "bad": with `error`, or with a cancellation that is not the consumer's."""

    async def receive(wire: str) -> None:
        if wire == "bad":
            if error is not None:
                raise error
            await awaits_what_somebody_cancelled()

    return receive


POISON: dict[str, tuple[Exception | None, str]] = {
    "half a character": (ValueError("x\ud800"), "ValueError: x?"),
    "a zero": (ValueError("x\0"), "ValueError: x?"),
    "no text at all": (Wordless(), "Wordless"),
    "several": (
        ExceptionGroup("many", [ValueError("one")]),
        "ExceptionGroup: many (1 sub-exception)",
    ),
    "a cancellation born inside": (
        None,
        "RuntimeError: something that the subscriber waited for was cancelled",
    ),
}


@pytest.mark.parametrize(("error", "reason"), POISON.values(), ids=POISON)
def test_no_error_of_a_handler_ends_a_consumer_or_is_lost(
    error: Exception | None, reason: str
) -> None:
    async def scenario(world: World) -> Any:
        streams = RedisStreams(world.redis(timeout=2.0), deliveries=2, retry_after=0.05, wait=0.02)
        await streams.publish("bad")
        working = asyncio.create_task(streams.work("g", "c1", raising(error)))
        await asyncio.sleep(2.0)
        alive = not working.done()
        working.cancel()
        await asyncio.wait([working])
        memory = MemoryBus(deliveries=2)
        memory.subscribe("g", raising(error))
        await memory.publish("bad")
        await memory.drain()
        return (
            alive,
            [letter.reason for letter in await streams.dead.read()],
            [letter.reason for letter in memory.dead],
        )

    assert sim.run(scenario, seed=None).result == (True, [reason], [reason])


def test_a_delivery_from_memory_that_is_cancelled_is_pending_again() -> None:
    async def scenario(world: World) -> Any:
        bus, seen = MemoryBus(), []

        async def receive(wire: str) -> None:
            await asyncio.sleep(10)
            seen.append(wire)

        bus.subscribe("g", receive)
        await bus.publish("one")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await bus.drain()
        left = len(bus.pending)
        await bus.drain()
        return left, seen

    assert sim.run(scenario, seed=None).result == (1, ["one"])


def test_of_two_who_redrive_one_letter_one_does_and_the_other_hears_that_it_is_gone() -> None:
    async def scenario(world: World) -> Any:
        bus = RedisStreams(world.redis(timeout=2.0), deliveries=1, wait=0.02)
        await bus.publish("bad")
        while not await bus.deliver("g", "c1", raising(ValueError())):
            pass
        (letter,) = await bus.dead.read()
        return await asyncio.gather(bus.dead.redrive(letter), bus.dead.redrive(letter))

    assert sorted(sim.run(scenario, seed=None).result) == [False, True]


def test_what_is_not_text_is_dead_with_a_client_that_decodes_and_replaces(valkey_url: str) -> None:
    """A strict one raises while it reads the answer, every time: nobody could handle the rest."""

    async def act() -> list[str]:
        client = Redis.from_url(valkey_url, decode_responses=True, encoding_errors="replace")
        await client.flushall()
        bus, done = RedisStreams(client, wait=0.02), 0
        await client.xadd("events", {"wire": b"\xff"})
        await bus.publish(asked())

        async def receive(wire: str) -> None:
            CATALOG.decode(wire)

        while done < 2:
            done += await bus.deliver("g", "c1", receive)
        letters = await bus.dead.read()
        await client.aclose()
        return [letter.reason.partition(" (")[0] for letter in letters]

    assert asyncio.run(act()) == ["BadMessage: message must be a JSON object in UTF-8"]


@dataclass(frozen=True)
class Good:
    name: str


@dataclass(frozen=True)
class Heavy(Good):
    grams: int


@dataclass(frozen=True)
class Priced:
    goods: tuple[Good, ...]
    price: float | None = None


PRICED = Envelope("e1", "shop", "o1", 1, "e1", None, 0.0, Priced((Good("tent"),)))
LOSSES = {
    "infinite, on the wire null": Priced((), float("inf")),
    "a subclass with more in it": Priced((Heavy("stove", 900),)),
    "a list for a tuple": Priced([Good("tent")]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("event", LOSSES.values(), ids=LOSSES)
def test_what_would_come_back_as_something_else_is_not_said(event: Priced) -> None:
    catalog = Catalog(Priced)
    assert catalog.decode(catalog.encode(PRICED)) == PRICED
    with pytest.raises(BadMessage, match="data must be what comes back the same"):
        catalog.encode(replace(PRICED, event=event))


def test_an_event_that_does_not_compare_by_value_is_refused() -> None:
    @dataclass(frozen=True, eq=False)
    class Same:
        name: str

    with pytest.raises(
        TypeError, match="an event must be a frozen dataclass that compares by value"
    ):
        Catalog(Same)


def test_a_reason_that_postgresql_could_not_store_is_no_message() -> None:
    good = order_catalog().encode(replace(PRICED, event=StockRefused("o1", "none left")))
    with pytest.raises(BadMessage, match=r"data\.reason"):
        order_catalog().decode(good.replace("none left", r"none\u0000left"))


@pytest.mark.parametrize(
    ("error", "raised"), [(ZeroDivisionError, ZeroDivisionError), (FileNotFoundError, RuntimeError)]
)
def test_a_deadline_that_cannot_fire_does_not_hold_up_the_others(
    error: type[Exception], raised: type[Exception]
) -> None:
    async def scenario(world: World) -> Any:
        engine, deadlines, fired = world.database(), Deadlines("shop"), []
        await create_deadlines(engine)
        await create_outbox(engine)

        async def when_due(connection: AsyncConnection, process: str) -> list[Any]:
            if process == "bad":
                raise error(process)
            fired.append(process)
            return [Refused(process)]

        async with begin_immediate(engine) as connection:
            for number, process in enumerate(("bad", "good", "better")):
                await deadlines.set(
                    connection, process, float(number), cause=CATALOG.decode(asked())
                )
        said = Outbox("shop", CATALOG, clock=world.clock, ids=world.new_id)
        with pytest.raises(raised, match="bad"):
            await DeadlineWorker(engine, deadlines, said, when_due, clock=world.clock).fire()
        async with engine.connect() as connection:
            return fired, await said.waiting(connection)

    assert sim.run(scenario, seed=None).result == (["good", "better"], 2)


def test_a_file_that_a_reaction_misses_is_not_taken_for_a_missing_database(sqlite_url: str) -> None:
    service = Service("payments")

    @service.on(Asked)
    async def charge(connection: AsyncConnection, event: Asked, envelope: Envelope) -> list[Any]:
        raise FileNotFoundError("no such file: rates.csv")

    async def scenario() -> MemoryBus:
        async with engine_on(sqlite_url) as engine:
            await create_inbox(engine)
            await create_outbox(engine)
            mine = Outbox("payments", CATALOG, clock=Clock(), ids=numbered())
            subscriber = Subscriber(
                service, CATALOG, engine, inbox=Inbox("payments", Clock()), outbox=mine
            )
            bus = MemoryBus(deliveries=2)
            bus.subscribe("payments", subscriber.receive)
            await bus.publish(asked())
            for _ in range(2):
                await bus.deliver(bus.pending[0])
            return bus

    bus = asyncio.run(scenario())
    assert bus.pending == [] and "no such file: rates.csv" in bus.dead[0].reason


@pytest.mark.parametrize("due_at", [float("inf"), float("nan")])
def test_a_deadline_that_would_never_come_is_refused(sqlite_url: str, due_at: float) -> None:
    async def act() -> None:
        async with engine_on(sqlite_url) as engine:
            await create_deadlines(engine)
            async with begin_immediate(engine) as connection:
                await Deadlines("shop").set(connection, "o1", due_at, cause=CATALOG.decode(asked()))

    with pytest.raises(
        ValueError, match=f"due_at must be finite, in seconds since 1970, got {due_at!r}"
    ):
        asyncio.run(act())


@pytest.mark.parametrize("number", [0, -1])
def test_a_round_that_could_do_nothing_is_refused_by_name(sqlite_url: str, number: int) -> None:
    """A batch of none was an error of Redis, which a worker takes for a trouble that passes: it
    turned for ever.
    """

    async def act() -> None:
        async with engine_on(sqlite_url) as engine:
            said = Outbox("shop", CATALOG, clock=Clock(), ids=numbered())
            bus = RedisStreams(None)  # type: ignore[arg-type]  # not asked
            worker = DeadlineWorker(engine, Deadlines("shop"), said, None, clock=Clock())  # type: ignore[arg-type]  # nor this
            publisher = Relay(engine, "shop", bus, owner="r", clock=Clock())
            with pytest.raises(
                ValueError, match=f"batch must be a whole number of at least 1, got {number}"
            ):
                await bus.deliver("g", "c1", raising(None), batch=number)
            with pytest.raises(
                ValueError, match=f"batch must be a whole number of at least 1, got {number}"
            ):
                await publisher.relay(batch=number)
            with pytest.raises(
                ValueError, match=f"limit must be a whole number of at least 1, got {number}"
            ):
                await worker.fire(limit=number)

    asyncio.run(act())


def test_processes_that_start_at_once_all_find_their_tables(postgres_url: str) -> None:
    """Two CREATE TABLE of one name at once are an error on PostgreSQL, with IF NOT EXISTS too."""
    parts = (
        choreography.metadata,
        inbox.metadata,
        outbox.metadata,
        claims.metadata,
        deadlines.metadata,
    )
    each = (create_inbox, create_outbox, claims.create_turns, create_deadlines)

    async def act() -> list[Any]:
        async with engine_on(postgres_url) as engine:
            found: list[Any] = []
            for _ in range(5):
                async with engine.begin() as connection:
                    for part in parts:
                        await connection.run_sync(part.drop_all)
                starts = [start(engine) for start in (open_choreography, *each) for _ in range(3)]
                found += await asyncio.gather(*starts, return_exceptions=True)
            await use_write_ahead_log(engine)
            said = Outbox("shop", CATALOG, clock=Clock(), ids=numbered())
            async with begin_immediate(engine) as connection:
                await said.add(connection, Asked("o1"), aggregate="o1")
            return [error for error in found if error is not None]

    assert asyncio.run(act()) == []
