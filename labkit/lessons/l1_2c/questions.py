"""The self-test of lesson 1.2c: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "A service has an inbox and publishes after its commit. It "
        "crashes between the two. What follows?",
        [
            "The message is handled again",
            "Its event is never published",
            "The relay publishes it later",
        ],
        answer="b",
        reasons={
            "a": "It is delivered again, and the inbox refuses it.",
            "c": "There is no outbox to relay from.",
        },
    ),
    Question(
        "Why does a relay mark an event after it has published it, and not before?",
        [
            "To publish it at least once",
            "To publish it exactly once",
            "To keep the order",
        ],
        answer="a",
        reasons={
            "b": "A crash between the two repeats it; the inbox must notice.",
            "c": "Either way keeps it.",
        },
    ),
    Question(
        "A relay has published an event and marked it. Then the broker "
        "forgets it. Who publishes it again?",
        [
            "The relay, in its next round",
            "Nobody, unless republish is called",
            "The consumer's inbox",
        ],
        answer="b",
        reasons={
            "a": "It looks for what is not marked.",
            "c": "It knows only what has come.",
        },
    ),
)
