"""The exercises of lesson 1.1b: right answers pass, the wrong ones that are easy to write are caught by what they break."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from labkit import world
from labkit.course import Result, check
from labkit.course.judge import find
from labkit.course.judges.late_payment import SAFE, TRUE, late_payment
from labkit.course.judges.moving_rights import RIGHTS, SITES, moving_rights
from labkit.course.judges.moving_rights import SAFE as ONE_PLACE
from labkit.course.judges.moving_rights import WHOLE as NONE_LOST
from labkit.course.judges.sweepers import DONE, sweepers
from labkit.course.judges.sweepers import SAFE as ONCE
from labkit.sim import run
from tests.course import answers_1_1b as answers

pytestmark = pytest.mark.usefixtures("kept")
CONFIRM, SWEEP, QUOTA = "1.1b-1", "1.1b-2", "1.1b-3"


@pytest.mark.parametrize(
    ("exercise", "stub", "open_functions"),
    [
        (CONFIRM, answers.confirm_stub, "confirm_stub"),
        (SWEEP, answers.sweep_stub, "sweep_stub"),
        (QUOTA, answers.QuotaStub, "rights, take, give, state, merge"),
    ],
)
def test_the_stub_is_told_kindly(exercise: str, stub: Any, open_functions: str) -> None:
    assert str(check(exercise, stub)) == f"{exercise}: not attempted yet. Still to write: {open_functions}."


@pytest.mark.parametrize(
    ("exercise", "right"),
    [(CONFIRM, answers.confirm_guarded), (SWEEP, answers.sweep_one_by_one), (QUOTA, answers.BoundedCounter)],
)
def test_a_right_answer_passes_and_is_told_how_much_was_searched(exercise: str, right: Any) -> None:
    result = check(exercise, right)
    assert result.passed, str(result)
    assert f"Held on {find(exercise).budget} schedules" in str(result)


@pytest.mark.parametrize(
    ("exercise", "right"),
    [(CONFIRM, answers.confirm_looking_first), (SWEEP, answers.sweep_at_once), (QUOTA, answers.TellsOnlyItsOwn)],
)
def test_another_way_to_be_right_passes_too(exercise: str, right: Any) -> None:
    assert check(exercise, right, budget=60).passed


@cache
def checked(exercise: str, answer: Any) -> Result:
    return check(exercise, answer)


WRONG = [
    (
        CONFIRM,
        answers.confirm_without_a_guard,
        "given to ben when anna's hold was expired, and then that hold became confirmed",
    ),
    (
        CONFIRM,
        answers.confirm_look_then_write,
        "given to ben when anna's hold was expired, and then that hold became confirmed",
    ),
    (CONFIRM, answers.confirm_by_time_alone, "given to ben when anna's hold was released, and then that hold became confirmed"),
    (CONFIRM, answers.confirm_by_status_alone, "anna was told True, and her hold had ended 500 ms before she paid"),
    (CONFIRM, answers.confirm_whatever_was_changed, "anna was told True, and the stove is ben's"),
    (CONFIRM, answers.confirm_once_only, "anna asked twice, was told True and then False, and the stove is hers"),
    (CONFIRM, answers.confirm_every_hold, "cleo has another hold, did nothing, and it is confirmed"),
    (CONFIRM, answers.confirm_or_expire, "nobody ended her hold, and it is expired: False must change nothing"),
    (CONFIRM, answers.confirm_or_delete, "nobody ended her hold, and it is gone: False must change nothing"),
    (CONFIRM, answers.confirm_nothing, "anna was told False, and the stove was hers for another 1 s"),
    (SWEEP, answers.sweep_status_first, "1 stove did not come back"),
    (SWEEP, answers.sweep_by_marking, "1 stove did not come back"),
    (SWEEP, answers.sweep_units_first, "1 stove came back twice"),
    (SWEEP, answers.sweep_without_a_guard, "carl had paid, and his hold is expired"),
    (SWEEP, answers.sweep_without_looking_at_the_count, "1 stove came back twice"),
    (SWEEP, answers.sweep_all_that_are_expired, "3 stoves came back twice"),
    (SWEEP, answers.sweep_one_unit_each, "1 stove did not come back"),
    (SWEEP, answers.sweep_everybody, "hold-fred was not due for an hour, and it is expired"),
    (SWEEP, answers.sweep_those_before, "was due, and after the last sweep it is held"),
    (SWEEP, answers.sweep_the_first, "hold-emil was due, and after the last sweep it is held"),
    (QUOTA, answers.AddsWhatItHears, "after east merged what it was told, east 8"),
    (QUOTA, answers.NumbersItsGifts, "when everybody has told everybody, east 5, north 1 and west 2 may be sold"),
    (QUOTA, answers.AddsAndForgets, "when everybody has told everybody, east 5, north 0 and west 4 may be sold"),
    (QUOTA, answers.MaximumOfWhatIsLeft, "after north merged what it was told, east 6, north 1 and west 4 may be sold"),
    (QUOTA, answers.Overwrites, "may be sold: with"),
    (QUOTA, answers.OverwritesOthers, "north merged what it was told, and its rights went from 1 to 0"),
    (QUOTA, answers.Sums, "after east merged what it was told"),
    (QUOTA, answers.GivesWhatItHasNot, "north had 0, and give(1) returned True"),
    (QUOTA, answers.SellsWhatIsAnywhere, "after east gave 1 to north, east 10"),
]


@pytest.mark.parametrize(("exercise", "wrong", "what_broke"), WRONG, ids=[wrong.__name__ for _, wrong, _ in WRONG])
def test_a_wrong_answer_is_caught_by_what_it_breaks(exercise: str, wrong: Any, what_broke: str) -> None:
    result = checked(exercise, wrong)
    assert result.status == "failed", str(result)
    assert what_broke in str(result)
    assert result.run is not None and len(result.run.faults) <= 1
    assert result.replay().history == result.run.history


@pytest.mark.parametrize(
    ("exercise", "raising", "line"),
    [
        (CONFIRM, answers.confirm_expecting_a_row, "in confirm_expecting_a_row:  return bool((await db.ask("),
        (SWEEP, answers.sweep_into_a_column_that_is_not_there, "in sweep_into_a_column_that_is_not_there:  await connection"),
        (QUOTA, answers.ForgetsAKey, 'in ForgetsAKey.merge:  super().merge((state[0], {"south": state[1]["south"]}))'),
    ],
)
def test_an_exception_of_the_reader_is_shown_as_theirs_with_their_line(exercise: str, raising: Any, line: str) -> None:
    result = checked(exercise, raising)
    assert result.status == "error"
    assert "your code raised" in str(result) and line in str(result)


@pytest.mark.parametrize(
    ("exercise", "odd", "says"),
    [
        (CONFIRM, answers.confirm_and_return_nothing, "confirm must return True or False, it returned None"),
        (QUOTA, answers.SaysNothing, "take must return True or False, it returned None"),
        (QUOTA, answers.RightsInWords, "rights must return an int, it returned '6'"),
    ],
)
def test_an_answer_of_another_kind_is_told_what_is_asked_for(exercise: str, odd: Any, says: str) -> None:
    result = checked(exercise, odd)
    assert result.status == "error"
    assert says in str(result)


def test_a_hold_that_does_not_exist_and_raises_is_told_which_call_it_was() -> None:
    said = str(checked(CONFIRM, answers.confirm_expecting_a_row))
    assert "This was a hold that does not exist, 'hold-nobody', and must return False." in said


def caught(exercise: str, wrong: Any) -> Result:
    result = checked(exercise, wrong)
    assert result.run is not None
    return result


@pytest.mark.parametrize(
    ("exercise", "wrong", "names"),
    [
        (CONFIRM, answers.confirm_look_then_write, {"late_payment": late_payment}),
        (SWEEP, answers.sweep_status_first, {"sweepers": sweepers}),
        (QUOTA, answers.AddsWhatItHears, {"moving_rights": moving_rights}),
    ],
)
def test_the_printed_call_repeats_the_failing_run_and_its_picture_is_whole(
    exercise: str, wrong: Any, names: dict[str, Any]
) -> None:
    result = caught(exercise, wrong)
    assert result.run is not None and result.run.call() in str(result)
    again = eval(result.run.call(), {**vars(world), **names, "run": run, wrong.__name__: wrong})
    assert again.history == result.run.history
    figure = result.figure()
    assert figure is not None and "left out" not in figure.table() and "… and" not in figure.table()


@pytest.mark.parametrize("ends", [0.5, 1.001, 1.003, 1.004, 2.0])
@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize(
    "faults", [[], [world.Pause("anna", after="pays", for_=2.0)], [world.Pause("database", at=1.001, for_=2.0)]]
)
def test_a_guarded_confirm_is_never_blamed_for_what_could_have_been_right(
    ends: float, released: bool, faults: list[Any]
) -> None:
    args = {"confirm": answers.confirm_guarded, "ends": ends, "released": released, "again": True}
    made = run(late_payment, faults=faults, args=args)
    assert SAFE.check(made) and TRUE.check(made)


@pytest.mark.parametrize("at", [1.0, 1.004, 1.007, 1.012, 1.02])
@pytest.mark.parametrize(
    "fault", [world.Crash("anna", at=1.0), world.Pause("anna", at=1.0, for_=3.0), world.LoseReply("anna", at=1.0)]
)
@pytest.mark.parametrize("sweep", [answers.sweep_one_by_one, answers.sweep_at_once])
def test_a_sweep_in_transactions_brings_everything_back_whatever_strikes_it(at: float, fault: Any, sweep: Any) -> None:
    made = run(sweepers, faults=[replace(fault, at=at)], args={"sweep": sweep, "second": 0.003, "pays": 0.001})
    assert ONCE.check(made) and DONE.check(made)


def test_the_rights_of_a_bounded_counter_are_those_of_the_script_whatever_the_network_does() -> None:
    script = (("east", "give", "west", 2), ("east", "tell", "west"), ("west", "take", 6), ("west", "give", "north", 1))
    faults = [world.Duplication(1.0, src="east", at=0.0), world.Loss(1.0, src="west", at=0.0, for_=5.0)]
    made = run(moving_rights, faults=faults, args={"quota": answers.BoundedCounter, "script": script})
    assert ONE_PLACE.check(made) and NONE_LOST.check(made)
    (counted,) = made.history.of("counted")
    assert counted.data["rights"] == {"east": 4, "north": 0, "west": 0}
    assert [event.data["said"] for event in made.history.of("takes", "gives")] == [True, True, False]
    assert set(SITES) == set(RIGHTS)
