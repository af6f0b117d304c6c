"""The self-test of lesson 1.1a: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "A holder checks that its lease has not ended, on the line before "
        "its write. What has it gained?",
        [
            "Safety: it never writes after its lease",
            "A smaller window",
            "Nothing at all",
        ],
        answer="b",
        reasons={
            "a": "The pause can come between check and write.",
            "c": "It does catch earlier pauses.",
        },
    ),
    Question(
        "Why must the new holder show its token when it reads?",
        [
            "So that nobody reads a stale value",
            "So that the old holder's late write is refused",
            "To log it",
        ],
        answer="b",
        reasons={
            "a": "It harms only through a write that follows.",
            "c": "A log would not stop the write.",
        },
    ),
    Question(
        "The west is cut off from the database. Which design sells there and never oversells?",
        [
            "A lock in the west",
            "Optimistic locking",
            "None, unless it was given a share before",
        ],
        answer="c",
        reasons={
            "a": "Then each side holds one.",
            "b": "It has to write to the database to find out.",
        },
    ),
)
