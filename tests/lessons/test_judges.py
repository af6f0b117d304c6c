"""Every judge: right answers pass, the wrong ones that are easy to write are caught by what they
break, and shown by a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from labkit import world
from labkit.course import check
from labkit.course.figures._view import chronicle, view
from labkit.course.judge import find, judges
from labkit.sim import run
from tests.lessons.handed_in import Exercise, exercises
from tests.lessons.kept_runs import checked, kept_runs, told
from tests.support.depth import DEPTH
from tests.support.keeping import PROPERTY, path_of, refresh

pytestmark = pytest.mark.usefixtures("kept")
EXERCISES = tuple(exercises())


def of_each(answers: Callable[[Exercise], Iterable[Any]]) -> Any:
    """A case for each of these answers to each exercise, named by both. The tests of one answer
    stay in one worker, because they look at one result.
    """
    cases = [(it, one, f"{it.id}-{one.__name__}") for it in EXERCISES for one in answers(it)]
    return pytest.mark.parametrize(
        ("exercise", "answer"),
        [
            pytest.param(it, one, id=name, marks=pytest.mark.xdist_group(name))
            for it, one, name in cases
        ],
    )


def test_every_judge_has_its_table() -> None:
    assert [it.id for it in EXERCISES] == [
        id for id in judges() if id != "00-1"
    ]  # which has a test of its own


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda it: it.id)
def test_every_table_has_wrong_answers_and_some_that_raise_or_misunderstand(
    exercise: Exercise,
) -> None:
    assert (
        len(exercise.wrong) >= 4
        and len(exercise.raising) + len(exercise.odd) >= 1
        and exercise.right
    )


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda it: it.id)
def test_the_stub_is_told_kindly(exercise: Exercise) -> None:
    assert (
        str(checked(exercise.id, exercise.stub))
        == f"{exercise.id}: not attempted yet. Still to write: {exercise.to_write}."
    )


@pytest.mark.search
@of_each(lambda it: (*it.right, *it.right_too))
def test_a_right_answer_passes_and_is_told_how_much_was_searched(
    exercise: Exercise, answer: Any
) -> None:
    budget = DEPTH.answers or find(exercise.id).budget
    result = check(exercise.id, answer, budget=budget)
    assert result.passed, str(result)
    held = re.search(r"Held on (\d+) schedules", str(result))
    assert held is not None and int(held[1]) >= budget  # the fixed cases alone may be more


@pytest.mark.search
@of_each(lambda it: it.wrong)
def test_a_wrong_answer_is_caught_by_what_it_breaks(
    exercise: Exercise, answer: Any, record_property: Callable[[str, object], None]
) -> None:
    result = checked(exercise.id, answer)
    assert result.status == "failed", str(result)
    assert exercise.wrong[answer] in str(result)
    assert result.run is not None and len(result.run.faults) <= 2
    if DEPTH.anew:
        record_property(PROPERTY, (exercise.id, answer.__name__, told(result.run, answer)))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda it: it.id)
def test_every_wrong_answer_has_a_kept_run_and_no_other_has_one(exercise: Exercise) -> None:
    kept = set(kept_runs(path_of(exercise.id)).get(exercise.id, {}))
    assert kept == {answer.__name__ for answer in exercise.wrong}, refresh(exercise.id)


@of_each(lambda it: it.wrong)
def test_the_printed_call_repeats_the_failing_run(exercise: Exercise, answer: Any) -> None:
    result = checked(exercise.id, answer)
    assert result.run is not None and result.run.call() in str(result)
    names = {scenario.__name__: scenario for scenario in exercise.scenarios}
    again = eval(result.run.call(), {**vars(world), **names, "run": run, answer.__name__: answer})
    assert again.history == result.replay().history == result.run.history


@of_each(lambda it: it.wrong)
def test_the_picture_of_the_failing_run_is_whole(exercise: Exercise, answer: Any) -> None:
    result = checked(exercise.id, answer)
    assert result.run is not None
    if all(event.node == world.LAB for event in result.run.history.events):
        assert result.figure() is None  # one client alone failed at its first step
        return
    table = chronicle(view(result.run))
    if DEPTH.anew or answer is next(iter(exercise.wrong)):  # drawing takes half a second
        figure = result.figure()
        assert figure is not None and str(figure.table()) == table
    assert "… and" not in table
    if not DEPTH.anew:  # a search may find another run, which is longer
        cut = "left out: everything" in table  # not the noise, such as BEGIN
        assert cut == (answer in exercise.long)


@of_each(lambda it: it.raising)
def test_an_exception_of_the_reader_is_shown_as_theirs_with_their_line(
    exercise: Exercise, answer: Any
) -> None:
    result = checked(exercise.id, answer)
    assert result.status == "error", str(result)
    assert "your code raised" in str(result) and exercise.raising[answer] in str(result)


@of_each(lambda it: it.odd)
def test_an_answer_of_another_kind_is_told_what_is_asked_for(
    exercise: Exercise, answer: Any
) -> None:
    result = checked(exercise.id, answer)
    assert result.status == "error", str(result)
    assert exercise.odd[answer] in str(result)
