"""Self-tests: the questions of a lesson in plain text, answers that are given only when a call asks
for them, and the reason why each wrong option is wrong.

The questions are data in `labkit/lessons/<lesson>/questions.py`, so that no answer stands in the
notebook above its question."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from string import ascii_lowercase

from labkit.course import progress
from labkit.course.judge import LESSONS
from labkit.course.shown import Shown

_WIDTH = 76


class Question:
    """A question with options a, b, c …; `answer` is the letter of the right one, `reasons` says of
    each other why it is wrong.

    A reason for the right option is welcome too. Raises ValueError when an option has no reason or
    the answer is no option."""

    def __init__(
        self, text: str, options: Sequence[str], answer: str, reasons: Mapping[str, str]
    ) -> None:
        letters = ascii_lowercase[: len(options)]
        if not text.strip() or not 2 <= len(options) <= 6:
            raise ValueError(
                f"a question needs a text and 2 to 6 options, got {text!r} with {len(options)}"
            )
        if answer not in set(letters):
            raise ValueError(f"answer must be one of {', '.join(letters)}, got {answer!r}")
        if missing := [
            letter for letter in letters if letter != answer and not reasons.get(letter, "").strip()
        ]:
            raise ValueError(
                f"reasons must say why {', '.join(missing)} is wrong, "
                f"got them for {', '.join(reasons) or 'none'}"
            )
        if stray := [letter for letter in reasons if letter not in set(letters)]:
            raise ValueError(f"reasons must be for {', '.join(letters)}, got one for {stray[0]!r}")
        self.text, self.answer = text, answer
        self.options = dict(zip(letters, options, strict=True))
        self.reasons = dict(reasons)

    def __repr__(self) -> str:
        return f"<Question {self.text!r}, {len(self.options)} options>"


class SelfTest:
    """The questions of a lesson, numbered from 1. A cell shows them without their answers."""

    def __init__(self, lesson: str, questions: Sequence[Question]) -> None:
        if not questions:
            raise ValueError("a self-test needs at least one question, got none")
        self.lesson, self.questions = lesson, tuple(questions)

    def question(self, number: int) -> Question:
        """The question with this number; raises ValueError when there is none."""
        if number not in range(1, len(self.questions) + 1):
            raise ValueError(f"number must be 1 to {len(self.questions)}, got {number!r}")
        return self.questions[number - 1]

    def judged(self, number: int, choice: str) -> tuple[bool, Shown]:
        """Whether `choice` answers question `number`, and why. A wrong choice does not give the
        right one away.
        """
        question = self.question(number)
        picked = choice.strip().lower() if isinstance(choice, str) else ""
        if picked not in question.options:
            raise ValueError(f"choice must be one of {', '.join(question.options)}, got {choice!r}")
        if picked != question.answer:
            wrong = f"{picked}) is not it: {question.reasons[picked]}"
            return False, Shown(_wrapped(wrong, "      "))
        return True, Shown("\n".join(self._explained(number, f"{picked}) is right: ")))

    def answer(self, number: int) -> Shown:
        """The answer to question `number`, and why the other options are wrong."""
        letter = self.question(number).answer
        return Shown("\n".join(self._explained(number, f"{number}. The answer is {letter}) ")))

    def _explained(self, number: int, opening: str) -> list[str]:
        question = self.question(number)
        why = question.reasons.get(question.answer, "")
        lines = [opening + question.options[question.answer] + (f". {why}" if why else "")]
        for letter in question.options:
            if letter != question.answer:
                lines.append(f"   not {letter}) {question.reasons[letter]}")
        return [_wrapped(line, "      ") for line in lines]

    def __repr__(self) -> str:
        blocks = []
        for number, question in enumerate(self.questions, 1):
            options = [
                _wrapped(f"   {letter}) {text}", "      ")
                for letter, text in question.options.items()
            ]
            blocks.append("\n".join([_wrapped(f"{number}. {question.text}", "   "), *options]))
        return "\n\n".join(blocks)


def question_id(lesson: str, number: int) -> str:
    """How progress names a question: "1.1a-q2"."""
    return f"{lesson}-q{number}"


def self_test(lesson: str) -> SelfTest | None:
    """The questions of a lesson, from `labkit/lessons/<lesson>/questions.py`; None when the lesson
    asks none.
    """
    module = f"{LESSONS}.l{lesson.replace('.', '_')}.questions"
    if not re.fullmatch(r"\d+(\.\d+[a-z]?)?", lesson):
        return None
    try:
        return SelfTest(lesson, import_module(module).QUESTIONS)
    except ModuleNotFoundError as missing:
        if missing.name is None or not module.startswith(missing.name):
            raise
        return None


def quiz(lesson: str, number: int | None = None, choice: str | None = None) -> SelfTest | Shown:
    """The self-test of a lesson: `quiz("1.1a")`.

    `quiz("1.1a", 1, "b")` answers question 1 and says whether that is right, and why; it counts in
    your progress. `quiz("1.1a", 1)` gives the answer away, and does not count. Raises ValueError
    for a lesson, a question or an option that does not exist."""
    asked = self_test(lesson)
    if asked is None:
        raise ValueError(f"lesson must be one with a self-test, such as '1.1a', got {lesson!r}")
    if number is None:
        if choice is not None:
            raise ValueError(
                f"say which question {choice!r} answers: quiz({lesson!r}, 1, {choice!r})"
            )
        return asked
    if choice is None:
        return asked.answer(number)
    right, said = asked.judged(number, choice)
    trouble = progress.record(question_id(lesson, number), passed=right)
    return Shown(f"{trouble}\n{said}") if trouble else said


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
