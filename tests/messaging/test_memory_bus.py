"""The bus in memory: what any bus must do with what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from labkit.messaging import BadMessage, Delivery, Early, MemoryBus


def failing(*errors: Exception | None) -> tuple[list[str], Callable[[str], Awaitable[None]]]:
    """A receiver that raises these, one a delivery, and then nothing; and what it was given."""
    seen: list[str] = []

    async def receive(wire: str) -> None:
        seen.append(wire)
        error = errors[len(seen) - 1] if len(seen) <= len(errors) else None
        if error is not None:
            raise error

    return seen, receive


async def published(bus: MemoryBus, *wires: str) -> None:
    for wire in wires:
        await bus.publish(wire)


def test_every_subscriber_gets_every_message_in_order_when_all_goes_well() -> None:
    bus = MemoryBus()
    (one, first), (two, second) = failing(), failing()
    bus.subscribe("one", first)
    bus.subscribe("two", second)
    asyncio.run(published(bus, "a", "b"))
    assert (one, two) == ([], [])  # nothing is delivered before it is asked for
    assert asyncio.run(bus.drain()) == 4
    assert (one, two, bus.pending, bus.dead) == (["a", "b"], ["a", "b"], [], [])


def test_the_failure_of_one_is_not_the_failure_of_another_and_the_rest_goes_on() -> None:
    bus = MemoryBus(deliveries=3)
    (bad, poisoned), (good, fine) = failing(*[ZeroDivisionError("a mistake")] * 3), failing()
    bus.subscribe("bad", poisoned)
    bus.subscribe("good", fine)
    asyncio.run(published(bus, "a", "b"))
    assert asyncio.run(bus.drain()) == 4
    assert good == ["a", "b"]
    assert bad == [
        "a",
        "b",
        "a",
        "b",
        "a",
    ]  # a fails, b fails, a fails once more; both come through
    assert bus.dead == []


def test_a_message_that_never_succeeds_is_dead_after_so_many_deliveries_with_its_reason() -> None:
    bus = MemoryBus(deliveries=3)
    seen, receive = failing(*[ZeroDivisionError("a\n mistake")] * 3)
    bus.subscribe("bad", receive)
    asyncio.run(published(bus, "a"))
    assert asyncio.run(bus.drain()) == 1
    assert seen == ["a"] * 3
    (letter,) = bus.dead
    assert (letter.group, letter.wire, letter.reason, letter.deliveries) == (
        "bad",
        "a",
        "ZeroDivisionError: a mistake",
        3,
    )


def test_what_is_no_message_is_dead_at_once() -> None:
    bus = MemoryBus()
    seen, receive = failing(BadMessage("type", "x", "one of A"))
    bus.subscribe("one", receive)
    asyncio.run(published(bus, "a"))
    asyncio.run(bus.drain())
    assert seen == ["a"] and bus.dead[0].reason == "BadMessage: type must be one of A, got 'x'"


def test_an_early_message_waits_for_the_other_however_often_it_comes() -> None:
    bus = MemoryBus(deliveries=2)
    known: list[str] = []

    async def receive(wire: str) -> None:
        if wire == "second" and "first" not in known:
            raise Early("first is not here")
        known.append(wire)

    bus.subscribe("one", receive)
    asyncio.run(published(bus, "second", "second"))
    assert asyncio.run(bus.drain()) == 0  # nothing can move: it gives up and keeps them
    assert [delivery.attempt for delivery in bus.pending] == [1, 1]
    assert bus.pending[0].failed == "Early: first is not here"
    asyncio.run(published(bus, "first"))
    assert asyncio.run(bus.drain()) == 3
    assert known == ["first", "second", "second"] and bus.dead == []


def test_the_caller_chooses_what_is_delivered_next() -> None:
    bus = MemoryBus()
    seen, receive = failing()
    bus.subscribe("one", receive)
    asyncio.run(published(bus, *"abc"))
    asyncio.run(bus.deliver(Delivery("one", "b")))
    assert asyncio.run(bus.drain(choose=lambda pending: pending[-1])) == 2
    assert seen == ["b", "c", "a"]


def test_a_name_subscribes_once_and_a_delivery_counts_from_one() -> None:
    bus = MemoryBus()
    bus.subscribe("one", failing()[1])
    with pytest.raises(ValueError, match="'one' has subscribed already"):
        bus.subscribe("one", failing()[1])
    with pytest.raises(ValueError, match="deliveries must be a whole number of at least 1, got 0"):
        MemoryBus(deliveries=0)
    assert repr(bus) == "<MemoryBus, 1 subscribers, 0 pending, 0 dead>"
