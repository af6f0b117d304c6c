"""Judges are registered by id, once, and completely described."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.check import Verdict
from labkit.course import ExerciseError, judge
from labkit.course.judge import find, judges

pytestmark = pytest.mark.usefixtures("registry")
WORDS: dict[str, Any] = {"title": "A lock", "hints": ("first", "second")}


def fair(answer: Any, budget: int) -> Verdict:
    return Verdict("holds", "always")


def test_a_registered_judge_is_found_with_its_words_and_stays_a_plain_function() -> None:
    assert judge("99.2-1", **WORDS)(fair) is fair
    found = find("99.2-1")
    assert (found.title, found.hints, found.lesson, found.budget) == (
        "A lock",
        ("first", "second"),
        "99.2",
        200,
    )


def test_judges_are_listed_in_the_order_of_their_exercises() -> None:
    for id in ("99.2-10", "99.2-2", "99.1a-1"):
        judge(id, **WORDS)(fair)
    assert [id for id in judges() if id.startswith("99")] == ["99.1a-1", "99.2-2", "99.2-10"]


def test_an_id_belongs_to_one_judge_and_running_its_cell_again_is_fine() -> None:
    judge("99.2-1", **WORDS)(fair)
    judge("99.2-1", **WORDS)(fair)
    with pytest.raises(ExerciseError, match=r"99\.2-1 is taken by .*fair"):
        judge("99.2-1", **WORDS)(lambda answer, budget: Verdict("holds", "other"))


@pytest.mark.parametrize(
    ("id", "words", "says"),
    [
        ("lock", WORDS, "id must look like"),
        ("99.2-1", {**WORDS, "title": " "}, "title of 99.2-1"),
        ("99.2-1", {**WORDS, "hints": ("only one",)}, "hints of 99.2-1"),
        ("99.2-1", {**WORDS, "hints": ("one", "")}, "hints of 99.2-1"),
        ("99.2-1", {**WORDS, "budget": 0}, "budget of 99.2-1"),
    ],
)
def test_a_judge_that_is_described_wrongly_is_refused(
    id: str, words: dict[str, Any], says: str
) -> None:
    with pytest.raises(ExerciseError, match=says):
        judge(id, **words)
