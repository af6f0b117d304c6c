"""A self-test shows its questions, and gives an answer with the reasons only when it is called for."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.course import Question, SelfTest


@pytest.fixture
def quiz() -> SelfTest:
    return SelfTest(
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


def test_the_questions_do_not_give_the_answer_away(quiz: SelfTest) -> None:
    assert repr(quiz).splitlines() == [
        "1. When may a lease be taken by another?",
        "   a) when its holder says so",
        "   b) when its time is over",
        "   c) never",
        "",
        "2. Does a fencing token grow?",
        "   a) yes",
        "   b) no",
    ]


def test_the_answer_says_why_each_other_option_is_wrong(quiz: SelfTest) -> None:
    assert repr(quiz.answer(1)).splitlines() == [
        "1. The answer is b) when its time is over",
        "   not a) a dead holder says nothing.",
        "   not c) then a crash would lock it for ever.",
    ]
    assert "yes Always." in quiz.answer(2)


def test_a_choice_is_told_whether_it_is_right(quiz: SelfTest) -> None:
    assert quiz.answer(1, "B").splitlines()[0] == "b) is right."
    wrong = quiz.answer(1, "c").splitlines()
    assert wrong[0] == "c) is not it: then a crash would lock it for ever."
    assert sum("crash" in line for line in wrong) == 1


@pytest.mark.parametrize(
    ("number", "choice", "says"), [(0, None, "1 to 2"), (3, None, "1 to 2"), (1, "d", "a, b, c")]
)
def test_a_question_or_choice_that_does_not_exist_is_refused(
    quiz: SelfTest, number: int, choice: str | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        quiz.answer(number, choice)


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
        SelfTest()
