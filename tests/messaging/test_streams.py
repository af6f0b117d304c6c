"""The bus on Redis Streams, in the simulated world and on a real Valkey: nothing is lost, nothing
bad stops the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from labkit import real, sim
from labkit.base.claims import create_turns
from labkit.base.transactions import begin_immediate
from labkit.messaging import (
    Early,
    Later,
    Outbox,
    RedisStreams,
    Relay,
    create_outbox,
)
from labkit.messaging.envelope import MAX_BYTES
from labkit.world import Crash, Pause, Run, World
from tests.messaging.letters import CATALOG, asked

WORLDS = pytest.mark.parametrize("run", [sim.run, real.run], ids=["simulated", "Valkey"])
QUICK = {"retry_after": 0.05, "wait": 0.02}


def bus_of(world: World, **options: Any) -> RedisStreams:
    return RedisStreams(world.redis(timeout=2.0), observe=world.record, **{**QUICK, **options})


async def until_done(
    bus: RedisStreams, group: str, receive: Callable[[str], Awaitable[Any]], count: int
) -> None:
    """Deliver until `count` messages are done with."""
    while count > 0:
        count -= await bus.deliver(group, "c1", receive)


def failing(
    on: str, error: Exception, times: int = 10**9
) -> tuple[list[str], Callable[[str], Awaitable[None]]]:
    """A receiver that raises `error` the first `times` times it gets `on`, and what it got."""
    seen: list[str] = []

    async def receive(wire: str) -> None:
        seen.append(wire)
        if wire == on and seen.count(on) <= times:
            raise error

    return seen, receive


async def two_groups(world: World) -> Any:
    bus = bus_of(world)
    await bus.publish("first")  # before there is anybody
    seen: dict[str, list[str]] = {}

    async def consume(group: str, consumer: str) -> None:
        async def receive(wire: str) -> None:
            seen.setdefault(group, []).append(wire)
            seen.setdefault(consumer, []).append(wire)
            await asyncio.sleep(0.01)

        await bus_of(world).work(group, consumer, receive, batch=1)

    for group, consumer in (("a", "a1"), ("a", "a2"), ("b", "b1")):
        world.node(consumer).start(consume, group, consumer, daemon=True)
    for number in range(20):
        await bus.publish(f"m{number}")
    while (
        len(seen.get("a", ())) < 21
        or len(seen.get("b", ())) < 21
        or await bus.pending("a")
        or await bus.pending("b")
    ):
        await asyncio.sleep(0.01)
    return seen


@WORLDS
def test_every_group_gets_every_message_and_the_consumers_of_a_group_share_them(
    run: Callable[..., Run],
) -> None:
    seen = run(two_groups).result
    everything = ["first", *(f"m{number}" for number in range(20))]
    assert sorted(seen["a"]) == sorted(everything) and seen["b"] == everything
    assert sorted(seen.get("a1", []) + seen.get("a2", [])) == sorted(everything)


async def a_consumer_dies(world: World) -> Any:
    bus, handled = bus_of(world), []
    await bus.subscribe("g")

    async def consume() -> None:
        async def receive(wire: str) -> None:
            handled.append((world.here(), wire))
            world.record("handled")
            await asyncio.sleep(0)

        await bus_of(world).work("g", world.here(), receive)

    world.node("c1").start(consume, daemon=True)
    for wire in ("one", "two"):
        await bus.publish(wire)
    while not world.history.of("handled"):
        await asyncio.sleep(0.01)
    world.node("c2").start(consume, daemon=True)
    while len({wire for _, wire in handled}) < 2 or await bus.pending("g"):
        await asyncio.sleep(0.01)
    return handled


@WORLDS
def test_what_a_dead_consumer_left_pending_another_takes_over(run: Callable[..., Run]) -> None:
    handled = run(a_consumer_dies, faults=[Crash("c1", after="handled", nth=1)]).result
    assert handled == [("c1", "one"), ("c2", "one"), ("c2", "two")]


def test_what_failed_comes_again_when_it_has_been_pending_for_so_long_in_virtual_time() -> None:
    async def scenario(world: World) -> list[float]:
        bus, times = bus_of(world, retry_after=60.0), []

        async def receive(wire: str) -> None:
            times.append(world.now())
            if len(times) == 1:
                raise ZeroDivisionError("a mistake")

        await bus.publish("one")
        while len(times) < 2:
            await bus.deliver("g", "c1", receive)
        return times

    first, second = sim.run(scenario, seed=None).result
    assert first < 1.0 and 60.0 <= second - first <= 90.1  # it looks every 30 seconds


async def poison(world: World) -> Any:
    bus = bus_of(world, deliveries=3)
    seen, receive = failing("bad", ZeroDivisionError("a mistake"))
    for wire in ("good", "bad", "better"):
        await bus.publish(wire)
    await until_done(bus, "g", receive, 3)
    return seen, await bus.dead.read(), await bus.pending("g")


@WORLDS
def test_a_poison_message_lands_in_dead_letters_with_its_reason_and_the_rest_goes_on(
    run: Callable[..., Run],
) -> None:
    seen, (letter,), pending = run(poison).result
    assert seen == ["good", "bad", "better", "bad", "bad"]
    assert (letter.group, letter.wire, letter.reason) == (
        "g",
        "bad",
        "ZeroDivisionError: a mistake",
    )
    assert (letter.deliveries, pending) == (3, 0)


def test_a_message_that_ends_every_consumer_is_dead_too() -> None:
    """No exception reaches anybody: only the count of its deliveries tells."""

    async def scenario(world: World) -> Any:
        seen: list[str] = []

        async def consume() -> None:
            async def receive(wire: str) -> None:
                world.record("killing" if wire == "killer" else "handled")
                await asyncio.sleep(0)
                seen.append(wire)

            await bus_of(world, deliveries=3, retry_after=1.0).work("g", "c1", receive, batch=1)

        world.node("c1").boot(consume)
        for wire in ("killer", "good"):
            await bus_of(world).publish(wire)
        await asyncio.sleep(30.0)
        return (
            seen,
            [(letter.wire, letter.reason) for letter in await bus_of(world).dead.read()],
            len(world.history.of("killing")),
        )

    kills = [Crash("c1", after="killing", nth=number, restart_after=0.1) for number in range(1, 4)]
    why = "NeverFinished: delivered 3 times, and each consumer ended before it had handled it"
    assert sim.run(scenario, seed=None, faults=kills).result == (["good"], [("killer", why)], 3)


@WORLDS
def test_what_had_to_wait_has_all_its_deliveries_left(run: Callable[..., Run]) -> None:
    async def scenario(world: World) -> Any:
        bus, seen = bus_of(world, deliveries=2), []

        async def receive(wire: str) -> None:
            seen.append(wire)
            raise (
                Later("the database is away") if len(seen) <= 5 else ZeroDivisionError("a mistake")
            )

        await bus.publish("one")
        await until_done(bus, "g", receive, 1)
        return len(seen), [letter.deliveries for letter in await bus.dead.read()]

    assert run(scenario).result == (7, [2])


async def mended(world: World) -> Any:
    bus = bus_of(world, deliveries=1)
    _, broken = failing("bad", ZeroDivisionError("a mistake"))
    await bus.publish("bad")
    await until_done(bus, "g", broken, 1)
    (letter,) = await bus.dead.read()
    again = [await bus.dead.redrive(letter) for _ in range(2)]
    seen, receive = failing("none", ZeroDivisionError())
    await until_done(bus, "g", receive, 1)
    return again, seen, await bus.dead.read()


async def buried_by_two(world: World) -> Any:
    bus = bus_of(world)
    seen, receive = failing("bad", RuntimeError("no"))
    await bus.publish("bad")
    while not seen:
        await bus.deliver("g", "c1", receive)
    redis = world.redis()
    ((entry, _),) = await redis.xrange("events")
    for _ in range(2):  # a slow one, whose message was taken over meanwhile
        await bus.dead.bury("g", entry.decode(), {"wire": "bad"}, "too often", 5)
    return [letter.reason for letter in await bus.dead.read()], await bus.pending("g")


@WORLDS
def test_a_message_that_two_consumers_give_up_is_one_letter(run: Callable[..., Run]) -> None:
    assert run(buried_by_two).result == (["too often"], 0)


@WORLDS
def test_a_dead_letter_is_redriven_once_when_the_mistake_is_mended(run: Callable[..., Run]) -> None:
    assert run(mended).result == ([True, False], ["bad"], [])


GARBAGE: dict[str, tuple[dict[Any, Any], str]] = {
    "not JSON": ({"wire": "nonsense"}, "BadMessage: message must be a JSON object in UTF-8"),
    "not UTF-8": ({"wire": b"\xff"}, r"BadMessage: message must be text in UTF-8, got b'\xff'"),
    "no field of that name": (
        {"data": "{}"},
        "BadMessage: wire must be a field of the entry, got ['data']",
    ),
    "an unknown type": (
        {"wire": '{"type": "X"}'},
        "BadMessage: type must be one of Answered, Asked, Refused, got 'X'",
    ),
    "wrong field types": (
        {"wire": asked().replace('"o1"}', "1}")},
        "BadMessage: data.order must be a valid string, got 1",
    ),
    "too long": (
        {"wire": "x" * (MAX_BYTES + 1)},
        "BadMessage: message must be at most 65536 bytes, 65537 are too many",
    ),
}


async def garbage(world: World) -> Any:
    bus, client, seen = bus_of(world), world.redis(timeout=2.0), []

    async def receive(wire: str) -> None:
        seen.append(CATALOG.decode(wire).id)

    for fields, _ in GARBAGE.values():
        await client.xadd("events", fields)
    await bus.publish(asked(1))
    await until_done(bus, "g", receive, len(GARBAGE) + 1)
    return (
        seen,
        [(letter.reason, letter.deliveries) for letter in await bus.dead.read()],
        await bus.pending("g"),
    )


@WORLDS
def test_bad_wire_data_goes_to_dead_letters_at_once_and_never_stops_the_consumer(
    run: Callable[..., Run],
) -> None:
    seen, reasons, pending = run(garbage).result
    assert seen == ["event-1"] and pending == 0
    for (reason, deliveries), (_, expected) in zip(reasons, GARBAGE.values(), strict=True):
        assert reason.startswith(expected) and deliveries == 1


def test_what_must_wait_waits_for_ever_and_what_is_early_until_its_time_is_over() -> None:
    async def scenario(world: World) -> Any:
        bus = bus_of(world, deliveries=2, early_for=10.0, retry_after=1.0)

        async def receive(wire: str) -> None:
            raise (
                Early("the first has not come")
                if wire == "early"
                else Later("the database is away")
            )

        await bus.publish("early")
        await bus.publish("later")
        while world.now() < 9.5:
            await bus.deliver("g", "c1", receive)
        before = await bus.dead.read(), await bus.pending("g")
        while world.now() < 60.0:
            await bus.deliver("g", "c1", receive)
        return (
            before,
            [(letter.wire, letter.reason) for letter in await bus.dead.read()],
            await bus.pending("g"),
        )

    assert sim.run(scenario, seed=None).result == (
        ([], 2),
        [("early", "Early: the first has not come")],
        1,
    )


def test_a_server_that_forgets_loses_what_was_published_and_the_outbox_says_it_again() -> None:
    """The limit of the bus, and the remedy: it was marked as published, so nobody but an operator
    would say it once more.
    """

    async def scenario(world: World) -> Any:
        engine, bus = world.database(), bus_of(world)
        await create_outbox(engine)
        await create_turns(engine)
        outbox = Outbox("shop", CATALOG, clock=world.clock, ids=world.new_id)
        seen: list[str] = []

        async def consume() -> None:
            async def receive(wire: str) -> None:
                seen.append(CATALOG.decode(wire).aggregate)

            await bus_of(world).work("g", "c1", receive)

        async with begin_immediate(engine) as connection:
            await outbox.add(connection, CATALOG.decode(asked()).event, aggregate="o1")
        await Relay(engine, "shop", bus, owner="r", clock=world.clock).relay()
        world.record("published all")  # the server dies here, before anybody has read
        await asyncio.sleep(1.0)
        world.node("c1").start(consume, daemon=True)
        await asyncio.sleep(5.0)
        lost = list(seen)
        async with begin_immediate(engine) as connection:
            await outbox.republish(connection, since=0.0)
        await Relay(engine, "shop", bus, owner="r", clock=world.clock).relay()
        await asyncio.sleep(1.0)
        return lost, seen

    forgets = [Crash("redis", after="published all", restart_after=0.5)]
    assert sim.run(scenario, seed=None, faults=forgets).result == ([], ["o1"])
    assert sim.run(scenario, seed=None).result == (["o1"], ["o1", "o1"])


async def an_outage(world: World) -> Any:
    seen: list[str] = []

    async def consume() -> None:
        async def receive(wire: str) -> None:
            seen.append(wire)

        await RedisStreams(world.redis(timeout=0.2), observe=world.record, **QUICK).work(
            "g", "c1", receive, poll=0.05
        )

    world.node("c1").start(consume, daemon=True)
    while not world.history.of("group missing"):
        await asyncio.sleep(0.01)
    world.record("now")
    bus = bus_of(world)
    while not seen:
        try:
            await bus.publish("after it")
        except RedisError:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
    return seen[0], bool(world.history.of("trouble"))


@WORLDS
def test_a_consumer_survives_a_server_that_stands_still(run: Callable[..., Run]) -> None:
    assert run(an_outage, faults=[Pause("redis", after="now", for_=1.0)]).result == (
        "after it",
        True,
    )


def test_a_consumer_survives_a_server_that_crashes_and_comes_back_empty() -> None:
    made = sim.run(an_outage, faults=[Crash("redis", after="now", restart_after=1.0)])
    assert made.result == ("after it", True) and len(made.history.of("group missing")) >= 2


async def trimmed(world: World) -> Any:
    bus = bus_of(world, max_length=1)
    seen, receive = failing("one", ZeroDivisionError("a mistake"), times=1)
    await bus.publish("one")
    await bus.deliver("g", "c1", receive)
    await bus.deliver("g", "c1", receive)
    await world.redis(timeout=2.0).xtrim("events", maxlen=0, approximate=False)
    while not world.history.of("trimmed"):
        await bus.deliver("g", "c1", receive)
    return seen, await bus.pending("g")


@WORLDS
def test_what_was_trimmed_before_it_was_handled_is_reported(run: Callable[..., Run]) -> None:
    assert run(trimmed).result == (["one"], 0)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode", [False, True], ids=["bytes", "text"])
def test_any_client_of_a_real_server_will_do(valkey_url: str, protocol: int, decode: bool) -> None:
    async def scenario() -> Any:
        client = Redis.from_url(valkey_url, protocol=protocol, decode_responses=decode)
        await client.flushall()
        bus = RedisStreams(client, deliveries=2, **QUICK)
        seen, receive = failing("bad", ZeroDivisionError("a mistake"))
        for wire in ("good", "bad"):
            await bus.publish(wire)
        await until_done(bus, "g", receive, 2)
        letters = await bus.dead.read()
        await client.aclose()
        return seen, [(letter.wire, letter.deliveries) for letter in letters]

    assert asyncio.run(scenario()) == (["good", "bad", "bad"], [("bad", 2)])


WRONG: dict[str, Any] = {
    "retry_after": 0.0,
    "early_for": float("nan"),
    "wait": float("inf"),
    "deliveries": 0,
    "max_length": -1,
}


@pytest.mark.parametrize(("field", "value"), WRONG.items())
def test_what_makes_no_sense_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(
        ValueError,
        match=f"{field} must be (a whole number of at least 1|at least .*), got {value!r}",
    ):
        RedisStreams(Redis(), **{field: value})
