"""What is special to the judges of lesson 1.2a: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

from typing import Any

import pytest

from labkit import world
from labkit.lessons.l1_2a.taken_up import BY_THE_LOG, FINISHED, KINDS, taken_up
from labkit.lessons.l1_2a.unanswered import CALLS, IN_ORDER, SETTLED, unanswered
from labkit.lessons.shared.desks import KEEPS, UNDO, left, told
from labkit.sim import run
from labkit.world import Crash, Event, LoseReply, Pause, Slow
from tests.lessons import answers_1_2a as answers

pytestmark = pytest.mark.usefixtures("kept")


@pytest.mark.parametrize("refuses", [None, *CALLS])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Pause("payments", at=0.001, for_=3.0)],
        [Pause("stock", at=0.0, for_=0.3), Pause("orchestrator", at=0.15, for_=1.0)],
        [Slow(src="orchestrator", factor=400, for_=2.0, at=0.0)],
        [LoseReply(src="orchestrator", after="asks", nth=n) for n in (1, 2, 3)],
    ],
)
@pytest.mark.parametrize("right", [answers.place_started_or_done, answers.place_asking_again])
def test_a_right_place_is_never_blamed(right: Any, faults: list[Any], refuses: str | None) -> None:
    for seed in (None, 1, 2):
        made = run(
            unanswered,
            seed=seed,
            faults=[f for f in faults if _strikes(f, refuses)],
            args={"place": right, "refuses": refuses},
        )
        assert SETTLED.check(made) and IN_ORDER.check(made)


def _strikes(fault: Any, refuses: str | None) -> bool:
    """Whether this fault has an event to wait for when the very first step is refused."""
    return not (isinstance(fault, LoseReply) and refuses == "reserve" and fault.nth > 2)


@pytest.mark.parametrize("refuses", [None, "charge", "book"])
@pytest.mark.parametrize("first", ["asks", "logged", "reserve"])
@pytest.mark.parametrize(
    "right", [answers.drive_by_the_log, answers.drive_turning_back_before_the_pivot]
)
def test_a_right_drive_survives_two_crashes_wherever_they_strike(
    right: Any, first: str, refuses: str | None
) -> None:
    for second in range(2, 8):
        faults = [
            Crash("orchestrator", after=first, restart_after=1.0),
            Crash("orchestrator", after="logged", nth=second, restart_after=1.0),
        ]
        try:
            made = run(taken_up, faults=faults, args={"drive": right, "refuses": refuses})
        except world.FaultError:  # it had come to its end before
            continue
        assert FINISHED.check(made) and BY_THE_LOG.check(made)
        assert len(left(made.history.events)) == (len(KINDS) if refuses is None else 0)


def test_what_is_left_is_told_in_words() -> None:
    events = [
        Event(n, 0.0, "desk", kind)
        for n, kind in enumerate(("charge", "book", "refund", "reserve"))
    ]
    assert left(events) == ["reserve", "book"]
    assert [told(verbs) for verbs in ([], ["charge"], ["reserve", "charge"], [*UNDO])] == [
        "nothing",
        "the money",
        "the goods and the money",
        "the money, the goods, a parcel and a mail",
    ]
    assert set(KEEPS) == set(UNDO)
