"""The exercises of lesson 1.2a: right answers pass, the wrong ones that are easy to write are caught by what they break."""

from __future__ import annotations

from typing import Any

import pytest

from labkit import world
from labkit.course import check
from labkit.course.judge import find
from labkit.course.judges.desks import KEEPS, UNDO, left, told
from labkit.course.judges.going_back import IN_REVERSE, going_back
from labkit.course.judges.taken_up import BY_THE_LOG, FINISHED, KINDS, taken_up
from labkit.course.judges.unanswered import CALLS, IN_ORDER, SETTLED, unanswered
from labkit.sim import run
from labkit.world import Crash, Event, LoseReply, Pause, Slow
from tests.course import answers_1_2a as answers

pytestmark = pytest.mark.usefixtures("kept")
BACK, UNKNOWN, CRASH = "1.2a-1", "1.2a-2", "1.2a-3"


@pytest.mark.parametrize(
    ("exercise", "stub"),
    [(BACK, answers.compensate_stub), (UNKNOWN, answers.place_stub), (CRASH, answers.drive_stub)],
)
def test_the_stub_is_told_kindly(exercise: str, stub: Any) -> None:
    assert str(check(exercise, stub)) == f"{exercise}: not attempted yet. Still to write: {stub.__name__}."


@pytest.mark.parametrize(
    ("exercise", "right"),
    [
        (BACK, answers.compensate_in_reverse),
        (BACK, answers.compensate_by_popping),
        (UNKNOWN, answers.place_started_or_done),
        (UNKNOWN, answers.place_asking_again),
        (CRASH, answers.drive_by_the_log),
        (CRASH, answers.drive_turning_back_before_the_pivot),
        (CRASH, answers.drive_announcing_everything_first),
    ],
)
def test_a_right_answer_passes_and_is_told_how_much_was_searched(exercise: str, right: Any) -> None:
    result = check(exercise, right)
    assert result.passed, str(result)
    assert f"Held on {find(exercise).budget} schedules" in str(result)


WRONG = [
    (BACK, answers.compensate_forwards, "payments, stock were done in this order, and undone as payments, stock"),
    (BACK, answers.compensate_until_one_fails, "payments was done, and never undone: stock was down, and compensate stopped"),
    (BACK, answers.compensate_and_let_it_out, "payments is down, and compensate raised that instead of returning"),
    (BACK, answers.compensate_and_keep_quiet, "payments could not be undone, and compensate returned []"),
    (BACK, answers.compensate_with_the_last_result, "payments was undone with the result of stock, and not with what it had"),
    (BACK, answers.compensate_all_at_once, "payments was undone before stock had answered"),
    (BACK, answers.compensate_a_failure_twice, "payments was undone 2 times"),
    (BACK, answers.compensate_catching_everything, "compensate was cancelled while it waited for payments, and took that for"),
    (
        UNKNOWN,
        answers.place_undoing_what_finished,
        "left the goods behind: reserve was not answered in time, and that does not",
    ),
    (UNKNOWN, answers.place_undoing_once, "place said 'cancelled' before the goods had been given back"),
    (UNKNOWN, answers.place_letting_the_undo_raise, "place raised TimeoutError (no answer to release)"),
    (UNKNOWN, answers.place_taking_silence_for_yes, "place said 'placed', without the goods: reserve was not answered in time"),
    (
        UNKNOWN,
        answers.place_catching_refusals_only,
        "place raised TimeoutError (no answer to reserve) and left the goods behind",
    ),
    (UNKNOWN, answers.place_undoing_forwards, "reserve, charge, book come in this order, and were undone as release, refund"),
    (UNKNOWN, answers.place_undoing_in_the_background, "place said 'cancelled' before the goods had been given back"),
    (UNKNOWN, answers.place_all_at_once, "place asked to charge before reserve had succeeded"),
    (UNKNOWN, answers.place_in_reverse_order, "place asked to book before charge had succeeded"),
    (UNKNOWN, answers.place_going_on_after_a_refusal, "place asked to charge before reserve had succeeded"),
    (UNKNOWN, answers.place_nothing, "everything was answered in time, and place cancelled the order"),
    (CRASH, answers.drive_once, "drive said 'completed' after a crash, without the goods, the money, a parcel and a mail"),
    (CRASH, answers.drive_taking_started_for_done, "drive said 'completed' after a crash, without the goods"),
    (CRASH, answers.drive_undoing_what_is_done, "drive said 'cancelled' after a crash and left the goods behind"),
    (CRASH, answers.drive_writing_done_too_early, "drive said 'completed' after a crash, without the goods"),
    (CRASH, answers.drive_turning_back_after_every_crash, "nothing was refused, and drive cancelled the order"),
    (CRASH, answers.drive_giving_up_on_silence, "drive said 'cancelled' after a lost answer and left a mail behind"),
    (CRASH, answers.drive_forgetting_the_direction, "drive said 'completed' after a crash, without the goods and the money"),
    (CRASH, answers.drive_back_over_the_pivot, "left a mail behind"),
    (CRASH, answers.drive_without_the_log, "drive asked for reserve with no word of it in the log"),
    (CRASH, answers.drive_writing_nothing_ahead, "drive asked for reserve with no word of it in the log"),
    (CRASH, answers.drive_charging_first, "drive asked to charge before reserve had succeeded"),
    (CRASH, answers.drive_asking_for_everything_again, "the log said that reserve is done, and drive started it again"),
]


@pytest.mark.parametrize(("exercise", "wrong", "what_broke"), WRONG, ids=[wrong.__name__ for _, wrong, _ in WRONG])
def test_a_wrong_answer_is_caught_by_what_it_breaks(exercise: str, wrong: Any, what_broke: str) -> None:
    result = check(exercise, wrong)
    assert result.status == "failed", str(result)
    assert what_broke in str(result)
    assert result.run is not None and len(result.run.faults) <= 1
    assert result.replay().history == result.run.history


@pytest.mark.parametrize(
    ("exercise", "odd", "says"),
    [
        (BACK, answers.compensate_and_return_nothing, "compensate must return a list of the names of steps, it returned None"),
        (BACK, answers.compensate_a_step_without_its_result, "your code raised AttributeError"),
        (UNKNOWN, answers.place_and_say_true, "place must return 'placed' or 'cancelled', it returned True"),
        (CRASH, answers.drive_with_statuses_of_its_own, "one of started, done, undone, got 'reserve' and 'begun'"),
        (CRASH, answers.drive_undoing_a_mail, "send is retriable: it is never undone, it is asked until it is done"),
    ],
)
def test_an_answer_of_another_kind_is_told_what_is_asked_for(exercise: str, odd: Any, says: str) -> None:
    result = check(exercise, odd)
    assert result.status == "error"
    assert says in str(result)


@pytest.mark.parametrize(
    ("exercise", "wrong", "names"),
    [
        (BACK, answers.compensate_forwards, {"going_back": going_back}),
        (UNKNOWN, answers.place_undoing_what_finished, {"unanswered": unanswered}),
        (CRASH, answers.drive_taking_started_for_done, {"taken_up": taken_up}),
    ],
)
def test_the_printed_call_repeats_the_failing_run_and_its_picture_is_whole(
    exercise: str, wrong: Any, names: dict[str, Any]
) -> None:
    result = check(exercise, wrong)
    assert result.run is not None and result.run.call() in str(result)
    again = eval(result.run.call(), {**vars(world), **names, "run": run, wrong.__name__: wrong})
    assert again.history == result.run.history
    figure = result.figure()
    assert figure is not None and "left out" not in figure.table() and "… and" not in figure.table()


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
            unanswered, seed=seed, faults=[f for f in faults if _strikes(f, refuses)], args={"place": right, "refuses": refuses}
        )
        assert SETTLED.check(made) and IN_ORDER.check(made)


def _strikes(fault: Any, refuses: str | None) -> bool:
    """Whether there is an event for this fault to wait for, when the first step is refused already."""
    return not (isinstance(fault, LoseReply) and refuses == "reserve" and fault.nth > 2)


@pytest.mark.parametrize("refuses", [None, "charge", "book"])
@pytest.mark.parametrize("first", ["asks", "logged", "reserve"])
@pytest.mark.parametrize("right", [answers.drive_by_the_log, answers.drive_turning_back_before_the_pivot])
def test_a_right_drive_survives_two_crashes_wherever_they_strike(right: Any, first: str, refuses: str | None) -> None:
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


def test_every_step_that_is_done_can_be_undone_in_any_number() -> None:
    for done in ((), ("carrier",), ("stock", "payments", "carrier")):
        made = run(going_back, args={"compensate": answers.compensate_in_reverse, "done": done, "down": ()})
        assert IN_REVERSE.check(made) and left(made.history.events) == []


def test_what_is_left_is_told_in_words() -> None:
    events = [Event(n, 0.0, "desk", kind) for n, kind in enumerate(("charge", "book", "refund", "reserve"))]
    assert left(events) == ["reserve", "book"]
    assert [told(verbs) for verbs in ([], ["charge"], ["reserve", "charge"], [*UNDO])] == [
        "nothing",
        "the money",
        "the goods and the money",
        "the money, the goods, a parcel and a mail",
    ]
    assert set(KEEPS) == set(UNDO)
