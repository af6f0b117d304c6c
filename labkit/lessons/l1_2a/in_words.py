"""The history of an order for a picture, in words that tell its dots from its arrows."""

from __future__ import annotations

from dataclasses import replace

from labkit.lessons.shared.checkout import UNDO
from labkit.world import Event, History, Message, Run

TAKEN, FAILED, CANCELLED = (
    "takes the money",
    "tells the customer: failed",
    "tells the customer: cancelled",
)
WORDS = (TAKEN, FAILED, CANCELLED)


def in_words(run: Run) -> History:
    """What payments did and what the customer was told, and every message by its verb.

    An answer "200" has no words, and draws an arrow without a label."""
    history = History()
    history.events = [_told(event) for event in run.history.of("charge", "answers")]
    history.messages = [_named(message) for message in run.history.messages]
    history.spans = run.history.spans
    return history


def _told(event: Event) -> Event:
    if event.kind == "charge":
        return replace(event, kind=TAKEN)
    said = event.data["said"]
    return replace(event, kind=CANCELLED if said == "cancelled" else FAILED, data={})


def _named(message: Message) -> Message:
    verb = message.label.rpartition("/")[2]
    if verb not in [*UNDO, *UNDO.values()]:
        return message
    return replace(message, label=verb if not message.reply else f"answer to {verb}")
