"""The choreographed order in the simulated world: a crash at every point, and a search over what a
broker may do.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.sim import crashes, falsify, lost_replies, partitions, pauses, run
from labkit.world import Crash, Fault, LoseReply, Partition, Pause, Run
from tests.shop.choreographed import (
    ENDS,
    FAR,
    GOOD,
    SERVICES,
    TOO_MANY,
    UNPAID,
    Wire,
    choreographed,
    wrong,
)
from tests.support.depth import runs, sampled

ALL = (GOOD, UNPAID, FAR, TOO_MANY)
PATIENT = {"patience": 1e6}
POINTS = ("placed", "published", "marked", "delivered", "handled", "acknowledged", "deadline fired")


@cache
def points(order: Any, patience: float) -> list[tuple[str, str, int]]:
    """Every point of the calm run at which something has just become true: (node, event, which one
    of its kind).
    """
    seen: Counter[str] = Counter()
    before: dict[str, str] = {}
    found = []
    for event in run(
        choreographed, seed=None, args={"orders": [order], "patience": patience}
    ).history.of(*POINTS):
        seen[event.kind] += 1
        if (
            event.kind != "acknowledged" or before.get(event.node) == "handled"
        ):  # else the service had nothing to do with it
            found.append((event.node, event.kind, seen[event.kind]))
        before[event.node] = event.kind
    return found


def ended(faults: list[Fault], **args: Any) -> dict[str, Any]:
    found: dict[str, Any] = run(choreographed, seed=None, faults=faults, args=args).result
    return found


def test_in_the_calm_world_each_order_ends_as_it_must() -> None:
    found = ended([], orders=ALL)
    assert found["orders"] == ENDS
    assert wrong(found, ALL) == [] and found["dead"] == []


def the_same_so_far() -> int:
    """Up to the answer of shipping, the two orders' runs are one."""
    pairs = zip(points(FAR, 1e6), points(GOOD, 1e6), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@pytest.mark.search
@pytest.mark.parametrize(
    ("order", "since"),
    [(FAR, lambda: 0), (GOOD, the_same_so_far)],
    ids=["an order that is undone", "an order that goes well"],
)
def test_a_crash_at_any_point_ends_as_if_there_had_been_none(
    order: Any, since: Callable[[], int]
) -> None:
    bad = {}
    for node, kind, nth in sampled(points(order, 1e6)[since() :]):
        found = ended(
            [Crash(node, after=kind, nth=nth, restart_after=1.0)], orders=[order], **PATIENT
        )
        if (
            found["orders"] != {order.order: ENDS[order.order]}
            or wrong(found, [order])
            or found["dead"]
        ):
            bad[node, kind, nth] = found["orders"], wrong(found, [order]), found["dead"]
    assert not bad


CUT: dict[str, list[Fault]] = {
    "the relay stands still for longer than its claim": [
        Pause("relay", after="published", nth=2, for_=5.0)
    ],
    "payments stands still in the middle of a delivery": [
        Pause("payments", after="delivered", nth=4, for_=5.0)
    ],
    "the database is away for a while": [
        Partition(("database",), after="published", nth=3, for_=6.0)
    ],
    "the broker is away for a while": [Partition(("redis",), after="handled", nth=5, for_=6.0)],
    "an answer to COMMIT is lost": [
        LoseReply(src="payments", dst="database", label="COMMIT", after="delivered", nth=4)
    ],
    "an answer to XADD is lost": [
        LoseReply(src="relay", dst="redis", label="XADD", after="published", nth=1)
    ],
    "an answer to XACK is lost": [
        LoseReply(src="shipping", dst="redis", label="XACK", after="handled", nth=6)
    ],
    "a message read by nobody who lives": [
        LoseReply(src="warehouse", dst="redis", label="XREADGROUP", at=0.0)
    ],
    "a service is gone for a long time": [Crash("shipping", at=0.0, restart_after=8.0)],
}


@pytest.mark.parametrize("faults", CUT.values(), ids=CUT)
def test_under_this_fault_every_effect_is_there_once(faults: list[Fault]) -> None:
    second = "relay" in repr(faults)  # one to take over
    found = ended(faults, orders=ALL, relays=1 + second, **PATIENT)
    assert found["orders"] == ENDS
    assert wrong(found, ALL) == [] and found["dead"] == []


def test_two_relays_publish_what_one_does_and_one_takes_over_from_the_dead() -> None:
    both = run(choreographed, seed=None, args={"orders": ALL, "relays": 2, **PATIENT})
    messages = [event.data["id"] for event in both.history.of("published")]
    assert len(messages) == len(set(messages)) and wrong(both.result, ALL) == []
    dead = run(
        choreographed,
        seed=None,
        faults=[Crash("relay", after="published", nth=1)],
        args={"orders": ALL, "relays": 2, **PATIENT},
    )
    assert dead.result["orders"] == ENDS and wrong(dead.result, ALL) == []
    assert {event.data["by"] for event in dead.history.of("published")} == {"relay", "relay1"}


some = st.lists(st.integers(0, 30), max_size=3, unique=True).map(tuple)
wires = st.builds(Wire, twice=some, dropped=some, unacknowledged=some)
NODES = (*SERVICES, "relay", "front")
SPACES = [
    crashes(*NODES, restart_after=1.0),
    pauses(*NODES, "redis", "database", up_to=5.0),
    lost_replies(*NODES),
    partitions(*NODES, up_to=5.0),
]


def as_it_must(run: Run) -> str | None:
    """Each effect once; and the one end it must have, unless the deadline may strike."""
    orders = run.args["orders"]
    ends = (
        {order.order: ENDS[order.order] for order in orders}
        if run.args["patience"] == PATIENT["patience"]
        else {}
    )
    bad = [
        f"{order} is not {end}"
        for order, end in ends.items()
        if run.result["orders"].get(order) != end
    ]
    return "; ".join(bad + wrong(run.result, orders)) or None


@pytest.mark.search
def test_a_search_over_duplicates_reorderings_losses_faults_and_deadlines_finds_nothing() -> None:
    """A sample of what was searched by hand: 1,600 runs of up to three faults, with the deadline
    and without.
    """
    args = {
        "orders": st.sampled_from([(GOOD,), (FAR,), (GOOD, FAR)]),
        "wire": wires,
        "relays": st.sampled_from([1, 2]),
        "patience": st.sampled_from([PATIENT["patience"], 0.05, 0.2, 0.5, 1.0, 2.0, 5.0]),
    }
    found = falsify(
        choreographed,
        Invariant("each effect exactly once", as_it_must),
        faults=SPACES,
        at_most=2,
        args=args,
        runs=runs("dear"),
    )
    assert found, found
