"""The self-test of lesson 1.1b: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "SELECT the stock, check it, UPDATE it to the number computed, all in one transaction of "
        "PostgreSQL at its default level. Forty customers, ten stoves. How many are sold?",
        ["Ten", "More than ten", "None: the transactions block each other"],
        answer="b",
        reasons={
            "a": "Several transactions read the same number before one of them writes.",
            "c": "A plain SELECT locks nothing, so nobody waits before reading.",
        },
    ),
    Question(
        "The west is cut off from the database. Which design sells there and never oversells?",
        [
            "A lock server in the west",
            "A guarded UPDATE",
            "None, unless the west was given a share before",
        ],
        answer="c",
        reasons={
            "a": "Then each side has a lock of its own, and both sell.",
            "b": "It has to reach the database to find out.",
        },
    ),
    Question(
        "A report is computed under a lock so that two machines do not both compute it. The lock "
        "server fails over and two compute it. What is the damage?",
        ["A wrong report", "Wasted work", "A lost sale"],
        answer="b",
        reasons={
            "a": "Both compute the same report.",
            "c": "Nothing is sold. This is a lock for efficiency, not for correctness.",
        },
    ),
)
