"""The exercises of lesson 1.2b: right answers pass, the wrong ones that are easy to write are caught by what they break."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from labkit import world
from labkit.course import Result, check
from labkit.course.judge import find
from labkit.course.judges.late_events import MEANS, TRUE_TO_EVENTS, TRUE_WORD, late_events
from labkit.course.judges.once_only import DONE, ONCE, once_only
from labkit.course.judges.patient_relay import IN_ORDER, NO_MORE, patient_relay
from labkit.sim import run
from tests.course import answers_1_2b as answers

pytestmark = pytest.mark.usefixtures("kept")
APPLY, CONSUME, RELAY = "1.2b-1", "1.2b-2", "1.2b-3"


@pytest.mark.parametrize(
    ("exercise", "stub"), [(APPLY, answers.apply_stub), (CONSUME, answers.consume_stub), (RELAY, answers.relay_stub)]
)
def test_the_stub_is_told_kindly(exercise: str, stub: Any) -> None:
    assert str(check(exercise, stub)) == f"{exercise}: not attempted yet. Still to write: {stub.__name__}."


@pytest.mark.parametrize(
    ("exercise", "right"),
    [(APPLY, answers.apply_guarded), (CONSUME, answers.consume_in_one_transaction), (RELAY, answers.relay_one_by_one)],
)
def test_a_right_answer_passes_and_is_told_how_much_was_searched(exercise: str, right: Any) -> None:
    result = check(exercise, right)
    assert result.passed, str(result)
    assert f"Held on {find(exercise).budget} schedules" in str(result)


@pytest.mark.parametrize(
    ("exercise", "right"),
    [
        (APPLY, answers.apply_by_version),
        (CONSUME, answers.consume_immediately),
        (RELAY, answers.relay_in_a_batch),
        (RELAY, answers.relay_the_next),
    ],
)
def test_another_way_to_do_it_right_passes_too(exercise: str, right: Any) -> None:
    assert check(exercise, right, budget=40).passed


WRONG = [
    (APPLY, answers.apply_unconditionally, "the order was completed, and PaymentProcessed, which came later, made it paid"),
    (APPLY, answers.apply_after_a_look, "the order was completed, and PaymentProcessed, which came later, made it paid"),
    (APPLY, answers.apply_only_to_pending, "InventoryReserved was heard, and in the end the order is still paid"),
    (APPLY, answers.apply_only_to_paid, "InventoryReserved was heard, and in the end the order is still pending"),
    (APPLY, answers.apply_unless_cancelled, "the order was completed, and PaymentProcessed, which came later, made it paid"),
    (APPLY, answers.apply_to_every_order, "PaymentProcessed is about order-1, and it made order-2 paid"),
    (APPLY, answers.apply_paying_for_the_lost, "PaymentProcessed made the order 'completed'; it means 'paid'"),
    (APPLY, answers.apply_and_say_true, "apply said True of PaymentProcessed, and the order had not changed"),
    (APPLY, answers.apply_comparing_once, "PaymentProcessed"),
    (CONSUME, answers.consume_trying_again, "m1's effect raised, and consume did not let the error out"),
    (CONSUME, answers.consume_every_time, "m1 was delivered twice, and its effect is there twice"),
    (CONSUME, answers.consume_after_a_look, "m1 was delivered twice, and its effect is there twice"),
    (CONSUME, answers.consume_entered_first, "m1 was acknowledged, and its effect is not there"),
    (CONSUME, answers.consume_entered_last, "m1 was delivered twice, and its effect is there twice"),
    (CONSUME, answers.consume_and_swallow, "m1's effect raised, and half of it was committed: a charge, and no receipt"),
    (CONSUME, answers.consume_remembering, "m1 was acknowledged, and its effect is not there"),
    (CONSUME, answers.consume_nothing, "m1 was acknowledged, and its effect is not there"),
    (RELAY, answers.relay_marked_first, "event 1 was committed and never published"),
    (RELAY, answers.relay_marking_all, "event 1 was committed and never published"),
    (RELAY, answers.relay_whatever_happens, "event 1 was committed and never published"),
    (RELAY, answers.relay_unmarking, "was marked as sent, and published once more"),
    (RELAY, answers.relay_in_any_order, "event 1 was published after event 3: the stream has 3, 1, 2"),
    (RELAY, answers.relay_at_once, "event 1 was published after event 2: the stream has 2, 1"),
    (RELAY, answers.relay_skipping, "event 1 was published after event 2: the stream has 2, 1"),
    (RELAY, answers.relay_twice, "nothing went wrong, and event 1 was published more than once: the stream has 1, 1"),
]


@pytest.mark.parametrize(("exercise", "wrong", "what_broke"), WRONG, ids=[wrong.__name__ for _, wrong, _ in WRONG])
def test_a_wrong_answer_is_caught_by_what_it_breaks(exercise: str, wrong: Any, what_broke: str) -> None:
    answers.SEEN.clear()
    result = check(exercise, wrong)
    assert result.status == "failed", str(result)
    assert what_broke in str(result)
    assert result.run is not None and len(result.run.faults) <= 1
    figure = result.figure()
    assert figure is not None and "… and" not in figure.table()


@pytest.mark.parametrize(
    ("exercise", "raising", "line"),
    [
        (APPLY, answers.apply_misspelt, "in apply_misspelt:  return bool(await do("),
        (CONSUME, answers.consume_with_a_typo, "in consume_with_a_typo:  await effect(connection.conection)"),
        (CONSUME, answers.consume_without_conflict, "in consume_without_conflict:  await connection.execute(text("),
        (RELAY, answers.relay_of_rows, "in relay_of_rows:  await publish(row)"),
        (RELAY, answers.relay_misspelt, "in unsent:  return list((await connection.execute(statement)).scalars())"),
    ],
)
def test_an_exception_of_the_reader_is_shown_as_theirs_with_their_line(exercise: str, raising: Any, line: str) -> None:
    result = check(exercise, raising)
    assert result.status == "error"
    assert "your code raised" in str(result) and line in str(result)


def test_an_answer_of_another_kind_is_told_what_is_asked_for() -> None:
    assert "apply must return True or False, it returned None" in str(check(APPLY, answers.apply_and_return_nothing))


def test_an_event_that_is_never_marked_is_named() -> None:
    made = run(patient_relay, args={"relay": answers.relay_unmarked, "events": 1, "gap": 0})
    assert "event 1 was published and is still marked as unsent" in str(NO_MORE.check(made))


def test_a_relay_that_never_comes_to_an_end_is_stopped() -> None:
    result = check(RELAY, answers.relay_for_ever, budget=4)
    assert result.status in ("error", "failed")


def caught(exercise: str, wrong: Any) -> Result:
    result = check(exercise, wrong)
    assert result.run is not None
    return result


@pytest.mark.parametrize(
    ("exercise", "wrong", "names"),
    [
        (APPLY, answers.apply_after_a_look, {"late_events": late_events}),
        (CONSUME, answers.consume_entered_last, {"once_only": once_only}),
        (RELAY, answers.relay_marked_first, {"patient_relay": patient_relay}),
        (RELAY, answers.relay_skipping, {"patient_relay": patient_relay}),
    ],
)
def test_the_printed_call_repeats_the_failing_run(exercise: str, wrong: Any, names: dict[str, Any]) -> None:
    result = caught(exercise, wrong)
    assert result.run is not None and result.run.call() in str(result)
    again = eval(result.run.call(), {**vars(world), **names, "run": run, wrong.__name__: wrong})
    assert again.history == result.run.history == result.replay().history


def expected(told: tuple[str, ...]) -> str:
    """One worker, one delivery after the other: the first end there is stays."""
    ends = [MEANS[event] for event in told if MEANS[event] != "paid"]
    return ends[0] if ends else "paid"


@pytest.mark.parametrize("told", [told for size in (1, 2, 3) for told in permutations(MEANS, size)], ids="-".join)
def test_a_guarded_order_ends_as_it_must_in_every_order_of_its_events(told: tuple[str, ...]) -> None:
    made = run(late_events, args={"apply": answers.apply_guarded, "told": told, "workers": 1})
    assert TRUE_TO_EVENTS.check(made) and TRUE_WORD.check(made)
    assert made.history.of("becomes")[-1].data["now"] == expected(told)


@pytest.mark.parametrize("at", [0.005, 0.009, 0.011, 0.013, 0.2])
@pytest.mark.parametrize("busy", [False, True])
def test_an_idempotent_consumer_survives_a_crash_anywhere(at: float, busy: bool) -> None:
    args = {"consume": answers.consume_in_one_transaction, "deliveries": ("m1", "m2", "m1"), "busy": busy}
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
    made = run(patient_relay, args=args, faults=[world.Crash("relay", after=after, nth=nth, restart_after=0.2)])
    numbers, unsent = made.result
    assert list(dict.fromkeys(numbers)) == [1, 2, 3] and unsent == []
    assert len(numbers) == (3 if after == "publishes" else 4)
    assert IN_ORDER.check(made) and NO_MORE.check(made)
