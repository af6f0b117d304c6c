"""The self-test of lesson 1.2a: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "A step's call times out. What does the orchestrator know?",
        [
            "Nothing: it may happen yet",
            "That it did not happen and will not",
            "That the answer is late",
        ],
        answer="a",
        reasons={
            "b": "The request may be on its way.",
            "c": "Or the request is, or payments.",
        },
    ),
    Question(
        "A worker sleeps past its claim and wakes at its next call, a "
        "charge. What stops a second one?",
        [
            "The claim, looked at before calls",
            "The log, whose revision moved on",
            "Payments, by the key",
        ],
        answer="c",
        reasons={
            "a": "It slept after the look.",
            "b": "That refuses its next entry, after the call.",
        },
    ),
    Question(
        "An order is charged, then reserved, then booked. After a crash its log "
        "says charge: done, reserve: undone. What next?",
        [
            "Reserve once more, and go on",
            "Refund",
            "Nothing, for the customer knows already",
        ],
        answer="b",
        reasons={
            "a": "It was turning back; there is a tombstone.",
            "c": "The charge is still there.",
        },
    ),
)
