"""The order saga over HTTP in the simulated world: whatever crashes, pauses or gets lost, all four
effects or none, each once.

`tests/sagas/test_crash_points.py` has every pair of crashes, in memory. Here the crashes are real
ones (no finally block runs), the participants are the shop's own behind a network, and requests may
arrive twice, or long after their undo."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest

from labkit.check import Invariant
from labkit.sim import crashes, falsify, lost_replies, partitions, pauses, run, sweep
from labkit.world import Crash, Duplication, Fault, LoseReply, Loss, Pause, Run, Slow
from tests.shop.saga_world import LEASE, all_or_nothing, orders
from tests.support.depth import runs, sampled

STORIES: dict[str, dict[str, Any]] = {
    "all is well": {},
    "the payment is declined": {"customer": "poor"},
    "the parcel is refused": {"country": "XX"},
}
EVENTS = ("saving", "saved", "applied", "calling", "called", "effect")
WHOLE = Invariant(
    "all four effects or none, each at most once", lambda run: all_or_nothing(run.result) or None
)
every_story = pytest.mark.parametrize("args", STORIES.values(), ids=STORIES)


def points(args: dict[str, Any]) -> list[tuple[str, int]]:
    """Every event of the calm run, as a fault names it: (kind, which of them)."""
    history = run(orders, args=args).history
    return [(kind, nth) for kind in EVENTS for nth in range(1, len(history.of(kind)) + 1)]


def crash(point: tuple[str, int], node: str = "worker0", later: int = 0) -> Fault:
    return Crash(node, after=point[0], nth=point[1] + later, restart_after=0.5)


def assert_whole(plans: Sequence[Sequence[Fault]], args: dict[str, Any]) -> None:
    """Each plan of faults, on a schedule of its own, ends whole."""
    made = sweep(
        orders, seeds=range(len(plans)), faults=lambda seed: plans[seed], invariant=WHOLE, args=args
    )
    broken = [
        (run.seed, run.faults, run.error or all_or_nothing(run.result)) for run in made.broken
    ]
    assert not broken, broken


@pytest.mark.search
@every_story
def test_the_worker_crashes_at_every_point(args: dict[str, Any]) -> None:
    known = points(args)
    assert len(known) >= 18  # the saga and its first step are one commit, that of the order
    assert_whole([[crash(point)] for point in sampled(known)], args)


@every_story
def test_the_worker_crashes_twice(args: dict[str, Any]) -> None:
    """A sample of the pairs, drawn from a seed; the second counts on from the first."""
    rng, known = random.Random(7), points(args)
    pairs = [sorted(rng.sample(known, 2)) for _ in range(6)]
    assert_whole([[crash(first), crash(second, later=1)] for first, second in pairs], args)


@every_story
@pytest.mark.parametrize("node", ["payments", "database"])
def test_another_node_crashes_at_some_points(node: str, args: dict[str, Any]) -> None:
    assert_whole([[crash(point, node)] for point in points(args)[::5]], args)


SLOW_FOR = 4.0  # seconds: the fourth and last attempt at an undo always comes later
FAULTS: dict[str, list[Fault]] = {
    "the answer to the charge is lost": [LoseReply(dst="payments", at=0.0)],
    "every answer of shipping is lost for a while": [Loss(0.9, src="shipping", at=0.0, for_=3.0)],
    "every request arrives twice": [Duplication(1.0, at=0.0)],
    "payments is slower than the time-out": [
        Slow(600.0, src="worker0", dst="payments", at=0.0, for_=SLOW_FOR)
    ],
    "shipping is slower than the time-out": [
        Slow(600.0, src="worker0", dst="shipping", at=0.0, for_=SLOW_FOR)
    ],
    "the answer to a commit is lost": [
        LoseReply(src="worker0", dst="database", label="COMMIT", after="called")
    ],
    "a worker stops for longer than its claim": [
        Pause("worker0", after="calling", nth=2, for_=3 * LEASE)
    ],
}


@every_story
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_what_is_lost_late_or_twice(faults: list[Fault], args: dict[str, Any]) -> None:
    assert_whole([faults], {**args, "workers": 2})


def test_a_payment_that_is_never_answered_is_given_back() -> None:
    """The source document keeps it: a time-out is no result, so there is nothing to compensate."""
    silent = [Loss(1.0, src="payments", dst="worker0", at=0.0, for_=9.0)]
    made = run(orders, faults=silent, args={"patience": 20.0})
    charge = next(step for step in made.result["steps"] if step["name"] == "charge_payment")
    assert (made.result["status"], charge["status"]) == ("compensated", "unknown")
    assert made.result["accounts"][0] == (36700, 36700)


def test_an_undo_waits_for_a_participant_that_is_away_for_a_minute() -> None:
    away = [Loss(1.0, src="payments", dst="worker0", at=0.0, for_=60.0)]
    made = run(orders, faults=away, args={"retry": None})
    assert made.result["status"] == "compensated" and not all_or_nothing(made.result)


@pytest.mark.search
def test_two_workers_under_pauses_crashes_and_losses() -> None:
    faults = [
        pauses("worker0", "worker1", up_to=4 * LEASE),
        crashes("worker0", "worker1", "payments", restart_after=1.0),
        lost_replies("worker0", "worker1"),
        partitions("worker0", "payments", up_to=2 * LEASE),
    ]
    found = falsify(orders, WHOLE, faults=faults, at_most=3, args={"workers": 2}, runs=runs("dear"))
    assert found, found


def test_one_crash_is_enough_without_an_inbox() -> None:
    """So the sweeps above can fail."""
    made = run(orders, faults=[crash(("effect", 2))], args={"inbox": False})
    assert "charged=73400" in all_or_nothing(made.result)


def in_flight_twice(run: Run) -> str | None:
    """Whether two workers were in a call of one step at once, neither of which had been stopped in
    the midst of it.
    """
    calls: dict[tuple[str, str], list[tuple[str, float, float]]] = {}
    open_: dict[tuple[str, str, str], float] = {}
    for event in run.history.events:
        if event.kind in ("calling", "called"):
            step = (event.data["step"], event.data["direction"])
            if event.kind == "calling":
                open_[event.node, *step] = event.at
            elif (began := open_.pop((event.node, *step), None)) is not None:
                calls.setdefault(step, []).append((event.node, began, event.at))
    pauses = [
        (span.node, span.start, span.end or math.inf)
        for span in run.history.spans
        if span.kind == "pause"
    ]
    for step, made in calls.items():
        awake = [
            (node, began, ended)
            for node, began, ended in made
            if not any(
                who == node and start <= ended and began <= end for who, start, end in pauses
            )
        ]
        for (node, began, ended), (other, other_began, other_ended) in combinations(awake, 2):
            if node != other and began < other_ended and other_began < ended:
                return f"{step} was called by {node} and {other} at once"
    return None


ONE_AT_A_TIME = Invariant("no step is called by two workers at once", in_flight_twice)


@pytest.mark.search
def test_two_workers_never_call_one_step_at_once() -> None:
    slow = [Slow(60.0, dst="payments", at=0.0)]
    made = sweep(orders, seeds=range(6), faults=slow, invariant=ONE_AT_A_TIME, args={"workers": 3})
    assert not made.broken, made.broken[:1]
    asleep = pauses("worker0", "worker1", "worker2", up_to=4 * LEASE)
    found = falsify(orders, ONE_AT_A_TIME, faults=[asleep], args={"workers": 3}, runs=runs("dear"))
    assert found, found


def test_a_worker_that_slept_through_its_claim_is_refused() -> None:
    asleep = [Pause("worker0", after="calling", nth=2, for_=3 * LEASE)]
    told = [
        event.data["why"]
        for seed in range(4)
        for event in run(orders, seed=seed, faults=asleep, args={"workers": 2}).history.of("let go")
        if event.node == "worker0" and event.at > 3 * LEASE
    ]
    assert told and all(why.startswith("ClaimLost") for why in told), told
