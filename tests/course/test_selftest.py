"""A self-test shows its questions, and gives an answer and the reasons only when it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.course import Question, SelfTest, progress, quiz
from labkit.course.lessons import lessons
from labkit.course.selftest import self_test


@pytest.fixture
def two() -> SelfTest:
    questions = (
        Question(
            "When may a lease be taken by another?",
            ["when its holder says so", "when its time is over", "never"],
            answer="b",
            reasons={
                "a": "a dead holder says nothing.",
                "c": "then a crash would lock it for ever.",
            },
        ),
        Question(
            "Does a fencing token grow?",
            ["yes", "no"],
            answer="a",
            reasons={"b": "it must.", "a": "Always."},
        ),
    )
    return SelfTest("99.1", questions)


def test_the_questions_do_not_give_the_answer_away(two: SelfTest) -> None:
    assert repr(two).splitlines() == [
        "1. When may a lease be taken by another?",
        "   a) when its holder says so",
        "   b) when its time is over",
        "   c) never",
        "",
        "2. Does a fencing token grow?",
        "   a) yes",
        "   b) no",
    ]


def test_the_answer_says_why_each_other_option_is_wrong(two: SelfTest) -> None:
    assert repr(two.answer(1)).splitlines() == [
        "1. The answer is b) when its time is over",
        "   not a) a dead holder says nothing.",
        "   not c) then a crash would lock it for ever.",
    ]
    assert "yes. Always." in two.answer(2)


def test_a_choice_is_told_whether_it_is_right(two: SelfTest) -> None:
    right, said = two.judged(1, "B")
    assert right
    assert said.splitlines()[0] == "b) is right: when its time is over"
    assert "not c) then a crash" in said
    assert two.judged(1, "c") == (False, "c) is not it: then a crash would lock it for ever.")


@pytest.mark.parametrize(
    ("number", "choice", "says"), [(0, None, "1 to 2"), (3, None, "1 to 2"), (1, "d", "a, b, c")]
)
def test_a_question_or_choice_that_does_not_exist_is_refused(
    two: SelfTest, number: int, choice: str | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        two.judged(number, choice or "a")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"text": " "}, "needs a text"),
        ({"options": ["only"]}, "2 to 6 options"),
        ({"answer": "z"}, "answer must be one of a, b"),
        ({"reasons": {}}, "why b is wrong"),
        ({"reasons": {"b": "x", "q": "y"}}, "one for 'q'"),
    ],
)
def test_a_question_without_its_reasons_is_refused(facts: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Question(
            **{
                "text": "t?",
                "options": ["yes", "no"],
                "answer": "a",
                "reasons": {"b": "x"},
                **facts,
            }
        )


def test_an_empty_self_test_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        SelfTest("99.1", ())


FOUND = [self_test(lesson.number) for lesson in lessons(progress.root() / "notebooks")]
TESTS = [test for test in FOUND if test is not None]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.lesson)
def test_the_questions_of_a_lesson_fit_a_cell_and_hide_their_answers(test: SelfTest) -> None:
    shown = repr(quiz(test.lesson))
    assert shown == repr(test)
    assert max(map(len, shown.splitlines())) <= 80
    assert not any(why in shown for each in test.questions for why in each.reasons.values())


def test_an_answer_counts_in_progress_and_giving_it_away_does_not(kept: Path) -> None:
    first = TESTS[0].questions[0]
    wrong = next(letter for letter in first.options if letter != first.answer)
    lesson = TESTS[0].lesson
    quiz(lesson, 1)
    assert progress.load(kept).entries == {}
    assert "is not it" in repr(quiz(lesson, 1, wrong))
    assert not progress.load(kept).passed(f"{lesson}-q1")
    assert "is right" in repr(quiz(lesson, 1, first.answer))
    assert progress.load(kept).passed(f"{lesson}-q1")


@pytest.mark.parametrize("lesson", ["9.9z", "00", "", "../x"])
def test_a_lesson_without_a_self_test_is_refused(lesson: str) -> None:
    with pytest.raises(ValueError, match="lesson must be one with a self-test"):
        quiz(lesson)


def test_a_choice_without_its_question_is_refused() -> None:
    with pytest.raises(ValueError, match="say which question 'b' answers"):
        quiz("1.1a", choice="b")
