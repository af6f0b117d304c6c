"""Every small change of a right answer is caught by its judge, or is explained.

`mutants_explained.toml` says of each change that a judge lets pass why the answer is still right.
The deep profile tries all of them: `make deep ARGS="--keep"` also writes a sample of the runs that
break them to `failing_runs/mutants/`, and the quick profile repeats that sample."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from labkit.course import Result, check
from tests.lessons.handed_in import Exercise, exercises
from tests.lessons.kept_runs import kept_runs, replaying, told, unshrunk
from tests.support.depth import DEPTH
from tests.support.keeping import OF_A_MUTANT, path_of
from tests.support.mutants import Mutant, mutants

pytestmark = [
    pytest.mark.usefixtures("kept"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # what a mutant does not wait for
]
SAMPLE = 2  # of each right answer
OF_A_RIGHT_ONE = 40  # runs, for a change that is explained: a whole search of each takes minutes
EXPLAINED: Mapping[str, Mapping[str, str]] = tomllib.loads(
    (Path(__file__).parent / "mutants_explained.toml").read_text(encoding="utf-8")
)
ANSWERS = [(it, answer) for it in exercises() for answer in (*it.right, *it.right_too)]
of_each_answer = pytest.mark.parametrize(
    ("exercise", "answer"), ANSWERS, ids=[f"{it.id}-{answer.__name__}" for it, answer in ANSWERS]
)


@pytest.mark.search
@pytest.mark.skipif(not DEPTH.anew, reason="the quick profile repeats a sample")
@of_each_answer
def test_every_mutant_is_caught_or_explained(
    exercise: Exercise,
    answer: Any,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    gone_through = exercise.id in kept_runs(path_of(exercise.id, of_mutants=True))
    if not gone_through and not request.config.getoption("keep"):
        pytest.skip("nobody has gone through what these mutants do yet; ARGS=--keep tries them")
    explained = _explained(exercise, answer)
    passed, runs = [], {}
    for mutant in mutants(answer):
        budget = OF_A_RIGHT_ONE if mutant.name in explained else None
        with unshrunk():
            result = check(exercise.id, mutant.answer, budget=budget)
        if not _caught(result):
            passed.append(mutant.name)
        elif result.run is not None and mutant.name not in explained:
            runs[mutant.name] = told(result.run, mutant.answer)
    assert sorted(passed) == sorted(explained), "the first passed, the second are explained"
    for name in sorted(runs, key=lambda name: crc32(name.encode()))[:SAMPLE]:
        record_property(OF_A_MUTANT, (exercise.id, name, runs[name]))


@of_each_answer
def test_kept_runs_of_mutants_still_fail(exercise: Exercise, answer: Any) -> None:
    path = path_of(exercise.id, of_mutants=True)
    kept = kept_runs(path).get(exercise.id)
    if kept is None:
        pytest.skip(f"no sample is kept yet; make deep ONLY={path.stem} ARGS=--keep writes it")
    mine = {name: run for name, run in kept.items() if name.startswith(f"{answer.__name__}: ")}
    assert mine, f"no kept run of a mutant; make deep ONLY={path.stem} ARGS=--keep writes it"
    changed = {mutant.name: mutant for mutant in _named(answer, set(mine))}
    assert set(changed) == set(mine)
    for name, mutant in changed.items():
        with replaying(mine[name]):
            assert _caught(check(exercise.id, mutant.answer)), name


@of_each_answer
def test_an_explanation_is_of_a_mutant_that_there_is(exercise: Exercise, answer: Any) -> None:
    explained = _explained(exercise, answer)
    assert {mutant.name for mutant in _named(answer, set(explained))} == set(explained)
    assert all(len(why.split()) >= 5 for why in explained.values())


def test_every_explanation_is_of_a_right_answer() -> None:
    names = {(it.id, answer.__name__) for it, answer in ANSWERS}
    for exercise, explained in EXPLAINED.items():
        assert {(exercise, name.partition(": ")[0]) for name in explained} <= names


def _explained(exercise: Exercise, answer: Any) -> dict[str, str]:
    own = f"{answer.__name__}: "
    entries = EXPLAINED.get(exercise.id, {})
    return {name: why for name, why in entries.items() if name.startswith(own)}


def _named(answer: Any, names: set[str]) -> Iterator[Mutant]:
    """The mutants with these names, and no more of them made than needed."""
    left = set(names)
    made = mutants(answer)
    while left:
        mutant = next(made, None)
        if mutant is None:
            return
        if mutant.name in left:
            left.remove(mutant.name)
            yield mutant


def _caught(result: Result) -> bool:
    """Whether the judge said what is wrong. An error of its own does not count."""
    if result.status == "error" and "the exercise does:" in result.text:
        error = result.text.splitlines()[1].partition(":")[0]
        assert error not in ("KeyError", "IndexError", "AttributeError", "AssertionError"), result
    return result.status in ("failed", "error")
