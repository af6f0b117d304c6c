"""`check` answers with evidence, and survives whatever a reader hands in."""

from __future__ import annotations

import _thread
import importlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

from labkit.check import Verdict
from labkit.course import ExerciseError, Result, check, hint, judge
from tests.course import answers

pytestmark = pytest.mark.usefixtures("registry", "kept")


@pytest.fixture(autouse=True)
def exercises(registry: None) -> None:
    answers.register()


@pytest.mark.parametrize("nothing", [None, ...])
def test_nothing_is_not_attempted_yet(nothing: Any) -> None:
    result = check("99.1-1", nothing)
    assert result.status == "not attempted"
    assert str(result) == "99.1-1: not attempted yet."


@pytest.mark.parametrize(
    ("exercise", "stub", "open_functions"),
    [
        ("99.1-1", answers.Stub, "acquire, release"),
        ("99.1-1", answers.HalfDone, "release"),
        ("99.1-1", answers.Stub(None, "a"), "acquire, release"),  # type: ignore[arg-type]
        ("99.1-2", answers.open_generator, "open_generator"),
    ],
)
def test_a_stub_is_told_kindly_what_is_still_to_write(
    exercise: str, stub: Any, open_functions: str
) -> None:
    assert (
        str(check(exercise, stub))
        == f"{exercise}: not attempted yet. Still to write: {open_functions}."
    )


def test_a_helper_that_is_still_a_stub_is_named_by_its_line() -> None:
    result = check("99.1-1", answers.CallsAnUnwrittenHelper)
    assert result.status == "not attempted"
    assert "in helper:  raise NotImplementedError" in str(result)


def test_a_pass_says_how_much_was_searched() -> None:
    result = check("99.1-1", answers.Right)
    assert result.passed and bool(result)
    assert (
        str(result) == "99.1-1 passed: a unit is sold once.\nHeld on 40 schedules, without faults."
    )
    assert result.run is None and result.figure() is None
    with pytest.raises(ExerciseError, match="replay needs a failing run"):
        result.replay()


def test_the_reader_can_raise_the_budget() -> None:
    assert "Held on 55 schedules" in str(check("99.1-1", answers.Right, budget=55))
    with pytest.raises(ExerciseError, match="budget must be at least 1"):
        check("99.1-1", answers.Right, budget=0)


@pytest.mark.parametrize("wrong", [answers.NotExclusive, answers.CheckThenSet])
def test_a_wrong_answer_is_shown_the_smallest_run_that_breaks_it(wrong: type) -> None:
    result = check("99.1-1", wrong)
    assert result.status == "failed" and not result
    assert "What broke: the one unit was sold to" in str(result)
    assert result.run is not None and result.run.call() in str(result)
    figure = result.figure()
    assert figure is not None
    assert "sold to" in figure.title and "smallest failing run" in figure.alt
    assert "both believe they hold stock" in figure.table()


def test_a_failing_run_is_run_again_by_replay() -> None:
    result = check("99.1-1", answers.CheckThenSet)
    assert result.run is not None
    assert result.replay().history == result.run.history


def test_what_an_answer_prints_is_held_back_until_the_replay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = check("99.1-1", answers.NotExclusive)
    assert capsys.readouterr().out == ""
    assert "held back" in str(result)
    result.replay()
    assert "trying" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("exercise", "printing", "ends"),
    [
        (
            "99.1-1",
            answers.RightAndTalks,
            "Held on 40 schedules, without faults.\nWhat it printed meanwhile was held back.",
        ),
        (
            "99.1-1",
            answers.RaisesAndTalks,
            "What it printed meanwhile was held back; replay() shows it.",
        ),
        ("99.1-2", answers.raises_and_talks, "What it printed meanwhile was held back."),
    ],
)
def test_what_is_held_back_is_said_whatever_came_of_it(
    exercise: str, printing: Any, ends: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = check(exercise, printing)
    assert str(result).endswith(ends)
    assert str(result).count("held back") == 1
    assert capsys.readouterr().out == ""


def test_an_object_that_answers_share_is_explained_to_be_on_no_machine() -> None:
    said = str(check("99.1-1", answers.SharesAPythonLock))
    assert "is bound to a different event loop" in said and "async with PYTHON_LOCK:\n" in said
    assert "The clients are separate machines: they share no Python object." in said


def test_the_same_answer_is_told_the_same_every_time() -> None:
    first, second = (check("99.1-1", answers.CheckThenSet) for _ in range(2))
    assert str(first) == str(second)
    one, other = first.figure(), second.figure()
    assert one is not None and other is not None and one.svg == other.svg


def test_a_notebook_shows_the_text_and_then_the_picture(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(importlib.import_module("labkit.course.exercises"), "display", shown.append)
    result = check("99.1-1", answers.CheckThenSet)
    assert DisplayFormatter().ipython_display_formatter is not None
    result._ipython_display_()
    printed = capsys.readouterr().out
    assert printed.split() == str(result).split() and max(map(len, printed.splitlines())) <= 80
    assert [figure.svg for figure in shown] == [getattr(result.figure(), "svg", None)]


def test_an_exception_is_shown_as_the_readers_with_the_readers_line() -> None:
    result = check("99.1-1", answers.Raises)
    assert result.status == "error"
    first, second = str(result).splitlines()[:2]
    assert first == (
        "99.1-1 stopped: your code raised AttributeError: 'NoneType' object has no attribute "
        "'decode'"
    )
    assert second.endswith("in Raises.release:  holder.decode()")
    assert "labkit" not in str(result) and "/" not in str(result)


def test_no_address_of_an_object_is_ever_shown() -> None:
    assert "cannot release <object object at 0x…>" in str(check("99.1-1", answers.RaisesAnAddress))


def test_an_answer_that_leaves_the_program_does_not() -> None:
    assert "SystemExit: enough" in str(check("99.1-1", answers.Leaves))


def test_an_answer_that_waits_for_ever_is_told_so_by_the_simulated_world() -> None:
    result = check("99.1-1", answers.NeverReleases)
    assert result.status == "error"
    assert "the run with your code cannot go on" in str(result)


def test_an_endless_loop_in_plain_code_is_stopped_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.import_module("labkit.course.exercises"), "PATIENCE", 0.3)
    before = threading.active_count()
    result = check("99.1-2", answers.endless)
    assert result.status == "error"
    assert "your code did not come back" in str(result)
    assert "in endless:" in str(result)
    assert threading.active_count() == before


@pytest.mark.parametrize("wrong", [answers.no_iterator, 3, answers.Right])
def test_an_answer_of_the_wrong_kind_is_an_error_not_a_crash(wrong: Any) -> None:
    result = check("99.1-2", wrong)
    assert result.status == "error"
    assert "TypeError" in str(result)


def test_a_judge_in_plain_code_may_return_a_bare_verdict() -> None:
    assert (
        str(check("99.1-2", answers.three))
        == "99.1-2 passed: it counts to three.\nit yields [1, 2, 3]"
    )
    failed = check("99.1-2", answers.two)
    assert str(failed) == "99.1-2 failed: it counts to three.\nWhat broke: it yields [1, 2]."
    assert failed.figure() is None


def test_an_undecided_verdict_is_not_a_pass() -> None:
    judge("99.1-3", title="t", hints=("a", "b"))(
        lambda answer, budget: Verdict("unknown", "it is linearizable", "out of budget")
    )
    result = check("99.1-3", 1)
    assert result.status == "undecided" and not result.passed
    assert "A larger budget= may decide it." in str(result)


def test_the_stop_button_stops_a_check() -> None:
    def stopped(answer: Any, budget: int) -> Verdict:
        _thread.interrupt_main()
        while True:
            pass

    judge("99.1-3", title="t", hints=("a", "b"))(stopped)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        check("99.1-3", 1)
    assert threading.active_count() == before


def test_hints_come_in_two_levels_and_read_as_text() -> None:
    assert repr(hint("99.1-1")) == "SET has an option."
    assert repr(hint("99.1-1", 2)) == "SET key value NX."
    with pytest.raises(ExerciseError, match="level must be 1 or 2"):
        hint("99.1-1", 3)


def test_an_exercise_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ExerciseError, match=r"no exercise '99\.1-9'.*99\.1-1, 99\.1-2"):
        check("99.1-9", None)


def test_a_check_is_kept_and_an_untouched_stub_is_not(kept: Path) -> None:
    check("99.1-1", answers.Stub)
    assert not kept.exists()
    check("99.1-2", answers.two)
    check("99.1-2", answers.three)
    check("99.1-2", answers.two)
    assert json.loads(kept.read_text())["exercises"] == {"99.1-2": {"passed": True, "tries": 3}}


def test_a_demonstration_is_not_kept(kept: Path) -> None:
    assert not check("99.1-2", answers.two, counts=False)
    assert not kept.exists()


def test_a_broken_progress_file_is_said_and_the_check_goes_on(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.parent.mkdir()
    kept.write_text("{")
    result: Result = check("99.1-2", answers.three)
    assert result.passed
    assert "not what labkit writes; it was set aside" in capsys.readouterr().out
