"""Take one mechanism away, and exactly its anomaly comes back: the table of the lesson, asserted.

The trades of these runs do what they are told each time they are told (`EACH_TIME`), so that what
protects the effect is the mechanism and not the trade. Nobody's patience ends, except where a
deadline is the point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from labkit.sim import run
from labkit.world import Crash, Fault
from tests.shop.ablations import EACH_TIME
from tests.shop.choreographed import GOOD, Wire, Wiring, choreographed, wrong

FULL = Wiring(trades=EACH_TIME)
NO_INBOX = Wiring(inbox=False, trades=EACH_TIME)
AFTER = Wiring(outbox="after", trades=EACH_TIME)
WITHIN = Wiring(outbox="within", trades=EACH_TIME)
WHOLE: list[str] = []

RESERVED, CHARGED, BOOKED = 1, 2, 3
"""Which message it is, of an order that goes well: 0 is OrderPlaced."""

FAULTS: dict[str, tuple[Wire, Sequence[Fault]]] = {
    "none": (Wire(), ()),
    "StockReserved comes twice": (Wire(twice=[RESERVED]), ()),
    "OrderPlaced comes twice": (Wire(twice=[0]), ()),
    "payments dies when it has charged": (
        Wire(),
        [Crash("payments", after="handled", nth=4, restart_after=1.0)],
    ),
    "the front dies when it has said it": (Wire(), [Crash("front", after="said directly")]),
    "the front dies when it has placed it": (Wire(), [Crash("front", after="placed")]),
}

PENDING_AND_PAID = "order-good is pending with stock reserved, payment charged, parcel None"
TABLE: dict[tuple[str, str], list[str]] = {
    ("full", "none"): WHOLE,
    ("full", "StockReserved comes twice"): WHOLE,
    ("full", "OrderPlaced comes twice"): WHOLE,
    ("full", "payments dies when it has charged"): WHOLE,
    ("full", "the front dies when it has placed it"): WHOLE,
    ("no inbox", "none"): WHOLE,
    ("no inbox", "payments dies when it has charged"): [  # what was not acknowledged comes again
        "charged is {'ada': 40000, 'bob': 0}, and should be {'ada': 20000, 'bob': 0}",
    ],
    ("no inbox", "StockReserved comes twice"): [
        "charged is {'ada': 40000, 'bob': 0}, and should be {'ada': 20000, 'bob': 0}",
    ],
    ("no inbox", "OrderPlaced comes twice"): [
        "stock is {'mat': 1, 'tent': 6}, and should be {'mat': 3, 'tent': 7}",
        "charged is {'ada': 40000, 'bob': 0}, and should be {'ada': 20000, 'bob': 0}",
    ],
    ("after", "none"): WHOLE,
    ("after", "StockReserved comes twice"): WHOLE,
    ("after", "OrderPlaced comes twice"): WHOLE,
    ("after", "payments dies when it has charged"): [PENDING_AND_PAID, "1 deadlines left"],
    ("after", "the front dies when it has placed it"): [
        "order-good is pending with stock None, payment None, parcel None",
        "1 deadlines left",
    ],
    ("within", "none"): WHOLE,
    ("within", "the front dies when it has said it"): [
        "order-good is never placed with stock reserved, payment charged, parcel booked",
    ],
}
WIRINGS = {"full": FULL, "no inbox": NO_INBOX, "after": AFTER, "within": WITHIN}


def ended(wiring: Wiring, wire: Wire, faults: Sequence[Fault], **args: Any) -> list[str]:
    given = {
        "orders": [GOOD],
        "wiring": wiring,
        "wire": wire,
        "patience": 1e6,
        "until": 12.0,
        **args,
    }
    return wrong(run(choreographed, seed=None, faults=faults, args=given).result, given["orders"])


@pytest.mark.parametrize(
    ("wiring", "fault"), TABLE, ids=[f"{wiring}, {fault}" for wiring, fault in TABLE]
)
def test_without_a_mechanism_this_fault_does_this(wiring: str, fault: str) -> None:
    wire, faults = FAULTS[fault]
    assert ended(WIRINGS[wiring], wire, faults) == TABLE[wiring, fault]


def test_the_deadline_ends_what_a_lost_event_left_pending_and_undoes_it() -> None:
    """Publishing after the commit loses the event; the deadline does not bring it back, and does
    cancel the order.
    """
    wire, faults = FAULTS["payments dies when it has charged"]
    given = {"orders": [GOOD], "wiring": AFTER, "wire": wire, "patience": 10.0, "until": 30.0}
    found = run(choreographed, seed=None, faults=faults, args=given).result
    assert wrong(found, [GOOD]) == WHOLE
    assert (found["orders"], found["payments"]) == (
        {GOOD.order: "cancelled"},
        {GOOD.order: "refunded"},
    )


LATE = Wire(dropped=[("payments", "StockReserved")])  # it comes again when the order has timed out


def test_without_a_tombstone_what_comes_after_its_own_undoing_is_done() -> None:
    late = ended(FULL, LATE, (), patience=1.0)
    assert late == ["order-good is cancelled with stock released, payment charged, parcel booked"]
    assert ended(Wiring(), LATE, (), patience=1.0) == WHOLE
