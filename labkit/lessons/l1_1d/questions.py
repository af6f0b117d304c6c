"""The self-test of lesson 1.1d: each question with its answer, and why the others are wrong."""

from __future__ import annotations

from labkit.course.selftest import Question

QUESTIONS = (
    Question(
        "Fifteen rights at each site. The east gives five to the west, and the message is lost. "
        "How many may be sold?",
        ["30", "25, until the east tells the west again", "25 for ever"],
        answer="b",
        reasons={
            "a": "The west has not heard of its five, and the east has given them away.",
            "c": "The east's state says it again the next time.",
        },
    ),
    Question(
        "A shop accepts orders without checking the stock, into the database in the other city. "
        "That database cannot be reached. What does the customer see?",
        ["Yes", "No answer, or an error", "Sold out"],
        answer="b",
        reasons={
            "a": "The order has to be written somewhere before anybody may say yes.",
            "c": "Nobody who can be reached knows the stock.",
        },
    ),
    Question(
        "Which of these needs neither a promise nor a quota to be counted at two sites?",
        ["The balance of an account", "Page views", "Seats in a train"],
        answer="b",
        reasons={
            "a": "It must not go below zero: it has a limit, as the stock has.",
            "c": "They run out. One seat must not be sold twice.",
        },
    ),
)
