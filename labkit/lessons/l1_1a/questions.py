"""The self-test of lesson 1.1a: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "A holder checks that its lease has not ended, on the line before its write. What has it "
        "gained?",
        ["Safety: it never writes after its lease", "A smaller window", "Nothing at all"],
        answer="b",
        reasons={
            "a": "The pause can come between the check and the write.",
            "c": "It does catch the pauses that came before the check.",
        },
    ),
    Question(
        "Why must the new holder show its token when it reads?",
        [
            "So that nobody reads a stale value",
            "So that the old holder's late write is refused",
            "So that the store can log it",
        ],
        answer="b",
        reasons={
            "a": "A stale read does harm only through the write that follows it.",
            "c": "A log would not stop the write.",
        },
    ),
    Question(
        "A service hears that its lease was lost, right after it has written. What does it know "
        "about the sale?",
        ["It was made", "It was not made", "Neither; it must look under the order's key"],
        answer="c",
        reasons={
            "a": "The store may have refused the write, or another may have overwritten it.",
            "b": "The write may have arrived before the lease ended.",
        },
    ),
)
