"""The self-test of lesson 1.1c: each question with its answer, and why the others are wrong."""

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
        "The sweeper is down for a day, and holds are taken back by whoever asks. What is lost?",
        ["Units", "Sales", "News: who is told, what the page shows"],
        answer="c",
        reasons={
            "a": "The holds say where they are.",
            "b": "Who asks gets what is overdue.",
        },
    ),
    Question(
        "A request for a hold got no answer, and is sent again ten minutes later under the same "
        "key. It gets a hold. May the shop tell the customer that the stove is reserved?",
        ["Yes", "Only if the hold's status is held", "Only if the key is new"],
        answer="b",
        reasons={
            "a": "The key finds the first hold, which may have expired meanwhile.",
            "c": "A new key would make a second hold.",
        },
    ),
)
