"""One shop by events and by an orchestrator: the same orders end alike, and what is measured is
what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from labkit.base import Retry
from labkit.check import Invariant
from labkit.lessons.l1_2d.night import (
    ORDERS,
    QUESTIONS,
    ask_events,
    ask_orchestrator,
    behind,
    night,
)
from labkit.lessons.l1_2d.night import by_events as by_events_that_tell
from labkit.lessons.shared.four_stores import End
from labkit.lessons.shared.two_ways import (
    by_events,
    by_orchestrator,
    crossings,
    last_parcel,
    settled,
)
from labkit.sim import falsify, lost_replies, run
from labkit.world import Crash, Fault, Pause, Run, World
from tests.support.depth import runs

Wish = dict[str, str]
GOOD, FAR, POOR = Wish(), Wish(country="AQ"), Wish(customer="bob")
WAYS: dict[str, dict[str, Any]] = {
    "orchestrator": {"shop": by_orchestrator},
    "events": {"shop": by_events},
    "polled": {"shop": by_events, "at_once": False, "relay_every": 0.1},
    "one database": {"shop": by_events, "apart": False},
    "orchestrator, one database": {"shop": by_orchestrator, "apart": False},
}


async def shopping(
    world: World,
    shop: Any,
    stock: int,
    wishes: Sequence[Wish],
    every: float = 0.6,
    within: float = 3.0,
    **wiring: Any,
) -> End:
    place, end = await shop(world, stock, **wiring)

    async def customer(number: int, wish: Wish) -> None:
        await asyncio.sleep(number * every)
        await place(f"order-{number}", **wish)

    customers = [
        world.node("orders").start(customer, number, wish) for number, wish in enumerate(wishes)
    ]
    await world.join(*customers, return_exceptions=True)
    await asyncio.sleep(within)
    found: End = await end()
    return found


def expected(stock: int, wishes: Sequence[Wish]) -> End:
    """One order after the other, by the rules alone: stock, then the card, then the parcel."""
    states, charged, refunded, left = [], 0, 0, stock
    for wish in wishes:
        paid = left > 0 and wish is not POOR
        sent = paid and wish is not FAR
        states.append("completed" if sent else "cancelled")
        charged, refunded, left = charged + paid, refunded + (paid and not sent), left - sent
    words = [f"{states.count(state)} {state}" for state in sorted(set(states))]
    return End(states[0] if len(states) == 1 else ", ".join(words), charged, refunded, stock - left)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "wishes",
    [[GOOD], [FAR], [POOR], [GOOD, FAR, POOR, GOOD, GOOD]],
    ids=lambda wishes: str(len(wishes)),
)
def test_orders_end_as_the_rules_say_either_way(way: str, wishes: list[Wish]) -> None:
    made = run(shopping, seed=3, args=WAYS[way] | {"stock": 2, "wishes": wishes})
    assert made.result == expected(2, wishes)
    assert len(settled(made)) == len(wishes) == len(made.history.of("placed"))


@pytest.mark.parametrize("way", ["orchestrator", "events"])
def test_nothing_in_stock_cancels_and_charges_nobody(way: str) -> None:
    assert run(shopping, args=WAYS[way] | {"stock": 0, "wishes": [GOOD]}).result == End(
        "cancelled", 0, 0, 0
    )


@pytest.mark.parametrize("way", ["orchestrator", "events"])
@pytest.mark.parametrize(
    "down", ["orders", "warehouse", "payments", "shipping", "orders db", "payments db"]
)
def test_an_order_under_way_survives_the_crash_of_any_part(way: str, down: str) -> None:
    fault = Crash(down, at=0.12, restart_after=0.4)
    made = run(
        shopping,
        seed=5,
        args=WAYS[way] | {"stock": 3, "wishes": [GOOD, GOOD], "within": 8.0},
        faults=[fault],
    )
    placed = len(made.history.of("placed"))
    assert placed >= 1 and made.result.charged == made.result.taken == placed == len(settled(made))


def test_the_orchestrator_needs_no_broker_and_events_wait_for_theirs() -> None:
    still: list[Fault] = [Pause("redis", at=0.1, for_=2.0)]
    made = run(shopping, args=WAYS["events"] | {"stock": 1, "wishes": [GOOD]}, faults=still)
    assert made.result == End("completed", 1, 0, 1) and 2.0 < settled(made)["order-0"] < 3.0
    made = run(shopping, args=WAYS["orchestrator"] | {"stock": 1, "wishes": [GOOD]})
    assert crossings(made)["broker"] == 0


def whole(done: Run) -> bool:
    end = done.result
    if end.status == "completed":
        return bool((end.charged, end.refunded, end.taken) == (1, 0, 1))
    return (
        end.status in ("cancelled", "never placed")
        and end.charged == end.refunded
        and end.taken == 0
    )


@pytest.mark.search
@pytest.mark.parametrize("way", ["orchestrator", "events"])
def test_lost_answers_lose_and_repeat_nothing(way: str) -> None:
    lost = [lost_replies("orders", "payments", "shipping")]
    args = WAYS[way] | {"stock": 1, "wishes": [GOOD], "within": 6.0}
    assert falsify(shopping, Invariant("whole", whole), args=args, faults=lost, runs=runs("dear"))


def test_a_hasty_orchestrator_gives_up_where_a_patient_one_waits() -> None:
    down: list[Fault] = [Crash("payments", at=0.05, restart_after=5.0)]
    args = WAYS["orchestrator"] | {"stock": 1, "wishes": [GOOD], "within": 8.0}
    assert run(shopping, args=args, faults=down).result == End("completed", 1, 0, 1)
    hasty = args | {"retry": Retry(attempts=2, first=0.1)}
    assert run(shopping, args=hasty, faults=down).result == End("cancelled", 0, 0, 0)


def test_every_message_is_counted_once_and_a_calm_order_takes_three_calls() -> None:
    made = run(shopping, seed=None, args=WAYS["orchestrator"] | {"stock": 1, "wishes": [GOOD]})
    kinds = crossings(made)
    assert kinds.total() == len(made.history.messages)
    assert kinds["services"] == 6


NIGHT: dict[str, dict[str, Any]] = {
    "orchestrator": {"shop": by_orchestrator, "ask": ask_orchestrator},
    "events": {"shop": by_events_that_tell, "ask": ask_events},
}


def asked(way: str, *faults: Fault, seed: int = 12) -> list[tuple[list[str], list[str]]]:
    answers: list[tuple[list[str], list[str]]] = run(
        night, seed=seed, args=NIGHT[way], faults=faults
    ).result
    assert len(answers) == len(QUESTIONS) == len(ORDERS)
    return answers


@pytest.mark.parametrize("seed", [12, 1, 2, 3])
def test_at_night_both_know_why_and_the_orchestrator_also_where(seed: int) -> None:
    dark = Crash("payments", at=1.9)
    with_one, without = (asked(way, dark, seed=seed) for way in ("orchestrator", "events"))
    assert [len(places) for _, places in with_one] == [1, 1, 1]
    assert [len(places) for _, places in without] == [5, 1, 1]
    assert with_one[0][0][-1] == "charge_payment is started"
    assert without[0][0][-2] == "payments does not answer"
    assert without[0][0][-1] in [f"payments has {n} events to read" for n in (2, 3)]
    assert "undone: refund_payment, release_stock, cancel_order; because: " in with_one[1][0][0]
    assert "PaymentRefunded" in without[1][0][0] and "StockReleased" in without[1][0][0]
    for answers in (with_one, without):
        assert "AQ" in answers[1][0][-1] and answers[2][0] == ["order-3"]


def test_without_orders_the_orchestrator_says_nothing_and_the_others_what_they_know() -> None:
    dark = Crash("orders", at=2.1)
    assert [answer for answer, _ in asked("orchestrator", dark)] == [["orders does not answer"]] * 3
    where, why, which = asked("events", dark)
    assert "shipping said ParcelBooked" in where[0] and "orders does not answer" in where[0]
    assert "PaymentRefunded" in why[0][0] and "StockReleased" in why[0][0]
    assert why[0][0].endswith("; because: no parcels to 'AQ'")
    assert which[0] == ["orders does not answer"]


def test_when_nothing_is_down_nobody_is_behind_and_nothing_is_open() -> None:
    where, _, which = asked("events")
    assert where[0][-1] == "shipping said ParcelBooked" and which[0] == []


@pytest.mark.parametrize(
    ("lag", "pending", "said"),
    [
        (0, 0, None),
        (1, 2, "shipping has 3 events to read"),
        (None, 2, "shipping has 2 events in hand, and nobody knows"),
    ],
)
def test_who_is_behind_is_said_also_when_redis_has_lost_count(
    lag: int | None, pending: int, said: str | None
) -> None:
    found = behind({"name": b"shipping", "lag": lag, "pending": pending})
    assert (found is None) if said is None else str(found).startswith(said)


def test_with_events_a_parcel_is_booked_while_orders_is_down() -> None:
    down = Crash("orders", at=0.15, restart_after=2.0)
    for way, soon in (("events", True), ("orchestrator", False)):
        made = run(
            shopping,
            seed=12,
            args=WAYS[way] | {"stock": 1, "wishes": [GOOD], "within": 6.0},
            faults=[down],
        )
        assert made.result == End("completed", 1, 0, 1)
        assert (last_parcel(made) < 1.0) is soon
