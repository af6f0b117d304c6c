"""What is special to the judges of lesson 1.2c: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

import pytest

from labkit import world
from labkit.course import check
from labkit.lessons.l1_2c.once_only import DONE, ONCE, once_only
from labkit.lessons.l1_2c.patient_relay import IN_ORDER, NO_MORE, patient_relay
from labkit.sim import run
from tests.lessons import answers_1_2c as answers

pytestmark = pytest.mark.usefixtures("kept")
RELAY = "1.2c-2"


def test_an_event_that_is_never_marked_is_named() -> None:
    made = run(patient_relay, args={"relay": answers.relay_unmarked, "events": 1, "gap": 0})
    assert "event 1 was published and is still marked as unsent" in str(NO_MORE.check(made))


def test_a_relay_that_never_comes_to_an_end_is_stopped() -> None:
    result = check(RELAY, answers.relay_for_ever, budget=4)
    assert result.status in ("error", "failed")


@pytest.mark.parametrize("at", [0.005, 0.009, 0.011, 0.013, 0.2])
@pytest.mark.parametrize("busy", [False, True])
def test_an_idempotent_consumer_survives_a_crash_anywhere(at: float, busy: bool) -> None:
    args = {
        "consume": answers.consume_in_one_transaction,
        "deliveries": ("m1", "m2", "m1"),
        "busy": busy,
    }
    made = run(once_only, args=args, faults=[world.Crash("anna", at=at, restart_after=0.2)])
    assert made.result == {"m1": (1, 1), "m2": (1, 1)}
    assert ONCE.check(made) and DONE.check(made)


def test_a_message_whose_worker_never_comes_back_is_not_blamed_on_a_right_answer_but_said() -> None:
    args = {"consume": answers.consume_in_one_transaction, "deliveries": ("m1",), "busy": False}
    made = run(once_only, seed=None, args=args, faults=[world.Crash("anna", at=0.005)])
    assert ONCE.check(made)
    assert "m1 was delivered once, and never acknowledged" in str(DONE.check(made))


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("after", ["publishes", "published"])
def test_a_patient_relay_repeats_at_most_what_it_could_not_know(after: str, nth: int) -> None:
    args = {"relay": answers.relay_one_by_one, "events": 3, "gap": 0}
    made = run(
        patient_relay,
        args=args,
        faults=[world.Crash("relay", after=after, nth=nth, restart_after=0.2)],
    )
    numbers, unsent = made.result
    assert list(dict.fromkeys(numbers)) == [1, 2, 3] and unsent == []
    assert len(numbers) == (3 if after == "publishes" else 4)
    assert IN_ORDER.check(made) and NO_MORE.check(made)
