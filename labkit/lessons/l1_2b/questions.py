"""The self-test of lesson 1.2b: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "Payments refused the connection for a refund five times, and the saga is parked as "
        "compensation_failed. Somebody sends the money back by hand. What now?",
        [
            "retry: the saga makes its call again",
            "resolve, with a note of what was done by hand",
            "Nothing: the status is final",
        ],
        answer="b",
        reasons={
            "a": "Payments does not know of the transfer, and would refund once more.",
            "c": "Then nobody can tell this saga from one that still owes the money.",
        },
    ),
    Question(
        "Payments answers ten requests a second. Two hundred sagas call it again and again, each "
        "within a second of its last attempt. What helps?",
        [
            "Jitter alone, so that they do not call at the same moment",
            "A longer wait, more than twenty seconds between attempts",
            "A shorter time-out, so that the queue is left sooner",
        ],
        answer="b",
        reasons={
            "a": "They still call two hundred times a second, twenty times what is served.",
            "c": "Then each calls more often, and payments works for callers who have left.",
        },
    ),
    Question(
        "The pivot timed out, and its outcome is unknown. What may the saga do?",
        [
            "Undo the earlier steps, since nobody said yes",
            "Go on with the later steps, since nobody said no",
            "Call it again under its key, or undo it with a call that leaves a tombstone",
        ],
        answer="c",
        reasons={
            "a": "If it happened, the parcel goes out unpaid.",
            "b": "If it did not happen, the customer is told of a parcel that nobody booked.",
        },
    ),
)
