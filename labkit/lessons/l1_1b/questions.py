"""The self-test of lesson 1.1b: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "The validator compares the stock with its own quantity only. Ten stoves, forty customers?",
        ["Ten are confirmed", "All are confirmed", "All are cancelled"],
        answer="b",
        reasons={
            "a": "Nothing takes a stove off the shelf.",
            "c": "Ten is not less than one.",
        },
    ),
    Question(
        "The sweeper is dead for a day, and holds are taken back by whoever asks. What is lost?",
        ["Units", "Sales", "News: who is told, what the page shows"],
        answer="c",
        reasons={
            "a": "The holds say where they are.",
            "b": "Who asks gets what is overdue.",
        },
    ),
    Question(
        "15 rights each. East gives 5 to the west, and the message is lost. How many may be sold?",
        ["30", "25, until east tells the west again", "25 for ever"],
        answer="b",
        reasons={
            "a": "The west has not heard of its five.",
            "c": "The state says it again.",
        },
    ),
)
