"""The self-test of lesson 1.2d: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "An order is undone: payments and warehouse both give something back. Why do such orders "
        "take about as long by events as with the orchestrator, although each hop costs more?",
        [
            "The broker delivers an undo first",
            "Both services undo at the same time",
            "The orchestrator waits for its claim to end",
        ],
        answer="b",
        reasons={
            "a": "A stream knows no priorities.",
            "c": "It does so after a crash; here nobody crashed.",
        },
    ),
    Question(
        "The graph derived from the code has no problems. What may still be missing?",
        [
            "A consumer of some event",
            "An end that is certain after the first event",
            "A service that undoes its part of a cancelled order",
        ],
        answer="c",
        reasons={
            "a": "That is what the graph reports first.",
            "b": "The graph reports this, too.",
        },
    ),
    Question(
        "A completed order must be told to a newsletter team, and nobody waits for it. Where does "
        "the event belong?",
        [
            "Into the transaction that completes the order, as a row of the outbox",
            "After that transaction, as a call to the broker",
            "Into a step of the saga that calls the team's service",
        ],
        answer="a",
        reasons={
            "b": "A crash between the two loses it.",
            "c": "Then the order waits while the newsletter is down.",
        },
    ),
)
