"""Self-tests: questions as plain text, and answers that are revealed by a call, with the reason
each wrong option is wrong.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from labkit.course.shown import Shown

_WIDTH = 96


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
                f"reasons must say why {', '.join(missing)} is wrong, got them for {', '.join(reasons) or 'none'}"
            )
        if stray := [letter for letter in reasons if letter not in set(letters)]:
            raise ValueError(f"reasons must be for {', '.join(letters)}, got one for {stray[0]!r}")
        self.text, self.answer = text, answer
        self.options = dict(zip(letters, options, strict=True))
        self.reasons = dict(reasons)

    def __repr__(self) -> str:
        return f"<Question {self.text!r}, {len(self.options)} options>"


class SelfTest:
    """Questions, numbered from 1. Show it to read them; `quiz.answer(1)` or `quiz.answer(1, "b")`
    reveals an answer.
    """

    def __init__(self, *questions: Question) -> None:
        if not questions:
            raise ValueError("a self-test needs at least one question, got none")
        self.questions = questions

    def answer(self, number: int, choice: str | None = None) -> Shown:
        """The answer to question `number`, and why the other options are wrong; with `choice`,
        whether that one is right.
        """
        if number not in range(1, len(self.questions) + 1):
            raise ValueError(f"number must be 1 to {len(self.questions)}, got {number!r}")
        question = self.questions[number - 1]
        lines = []
        if choice is not None:
            picked = choice.strip().lower()
            if picked not in question.options:
                raise ValueError(
                    f"choice must be one of {', '.join(question.options)}, got {choice!r}"
                )
            lines.append(
                f"{picked}) is right."
                if picked == question.answer
                else f"{picked}) is not it: {question.reasons[picked]}"
            )
        why = question.reasons.get(question.answer, "")
        right = f"{question.answer}) {question.options[question.answer]}"
        lines.append(f"{number}. The answer is {right}" + (f" {why}" if why else ""))
        for letter in question.options:
            if letter not in (question.answer, choice and choice.strip().lower()):
                lines.append(f"   not {letter}) {question.reasons[letter]}")
        return Shown("\n".join(_wrapped(line, "      ") for line in lines))

    def __repr__(self) -> str:
        blocks = []
        for number, question in enumerate(self.questions, 1):
            options = [
                _wrapped(f"   {letter}) {text}", "      ")
                for letter, text in question.options.items()
            ]
            blocks.append("\n".join([_wrapped(f"{number}. {question.text}", "   "), *options]))
        return "\n\n".join(blocks)


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
