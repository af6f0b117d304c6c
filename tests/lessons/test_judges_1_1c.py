"""What is special to the judges of lesson 1.1c: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labkit import world
from labkit.lessons.l1_1c.late_payment import SAFE, TRUE, late_payment
from labkit.lessons.l1_1c.sweepers import DONE, sweepers
from labkit.lessons.l1_1c.sweepers import SAFE as ONCE
from labkit.sim import run
from tests.lessons import answers_1_1c as answers
from tests.lessons.kept_runs import checked

pytestmark = pytest.mark.usefixtures("kept")
CONFIRM, SWEEP = "1.1c-1", "1.1c-2"


def test_a_hold_that_does_not_exist_and_raises_is_told_which_call_it_was() -> None:
    said = str(checked(CONFIRM, answers.confirm_expecting_a_row))
    assert "This was a hold that does not exist, 'hold-nobody', and must return False." in said


def test_a_second_call_that_is_told_something_else_is_a_lie_on_one_device_too() -> None:
    made = run(late_payment, args={"confirm": answers.confirm_once_only, "ends": 2, "again": True})
    verdict = TRUE.check(made)
    assert verdict.status == "broken"
    assert "asked twice, was told True and then False" in str(verdict)


@pytest.mark.parametrize("ends", [0.5, 1.001, 1.003, 1.004, 2.0])
@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [world.Pause("anna", after="pays", for_=2.0)],
        [world.Pause("database", at=1.001, for_=2.0)],
    ],
)
def test_a_guarded_confirm_is_never_blamed_for_what_could_have_been_right(
    ends: float, released: bool, devices: int, faults: list[Any]
) -> None:
    args = {
        "confirm": answers.confirm_guarded,
        "ends": ends,
        "released": released,
        "devices": devices,
        "again": True,
    }
    made = run(late_payment, faults=faults, args=args)
    assert SAFE.check(made) and TRUE.check(made)


@pytest.mark.parametrize("at", [1.0, 1.004, 1.007, 1.012, 1.02])
@pytest.mark.parametrize(
    "fault",
    [
        world.Crash("anna", at=1.0),
        world.Pause("anna", at=1.0, for_=3.0),
        world.LoseReply("anna", at=1.0),
    ],
)
@pytest.mark.parametrize("sweep", [answers.sweep_one_by_one, answers.sweep_at_once])
def test_a_sweep_in_transactions_brings_everything_back_whatever_strikes_it(
    at: float, fault: Any, sweep: Any
) -> None:
    made = run(
        sweepers,
        faults=[replace(fault, at=at)],
        args={"sweep": sweep, "second": 0.003, "pays": 0.001},
    )
    assert ONCE.check(made) and DONE.check(made)
