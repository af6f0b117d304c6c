"""Histories written by hand, as a run would have written them."""

from __future__ import annotations

from typing import Any

from labkit.world import Event, History, Message, Run, Span


class Story:
    """Writes a history, entry by entry."""

    def __init__(self) -> None:
        self.history = History()

    def event(self, at: float, node: str, kind: str, **data: Any) -> None:
        self.history.events.append(Event(self.history.next_seq(), at, node, kind, data))

    def message(
        self,
        sent: float,
        src: str,
        dst: str,
        label: str = "",
        *,
        takes: float | None = 0.001,
        reply: bool = False,
    ) -> None:
        arrived = None if takes is None else sent + takes
        self.history.messages.append(
            Message(self.history.next_seq(), sent, src, dst, label, arrived, reply)
        )

    def call(self, sent: float, src: str, dst: str, label: str, answer: str = "OK") -> float:
        self.message(sent, src, dst, label)
        self.message(sent + 0.001, dst, src, answer, reply=True)
        return sent + 0.002

    def span(self, node: str, kind: Any, start: float, end: float | None, label: str = "") -> None:
        self.history.spans.append(Span(self.history.next_seq(), node, kind, start, end, label))

    def run(self, **facts: Any) -> Run:
        return Run(scenario="shop", result=None, history=self.history, **facts)


def expired_lease() -> Story:
    """Node a takes a lease of two seconds, pauses for three, and sells the unit that node b has
    sold meanwhile.
    """
    story = Story()
    story.event(0.0, "lab", "started")
    at = story.call(0.0, "a", "redis", "SET lock a NX PX 2000")
    story.event(at, "a", "acquired", token=1)
    story.span("a", "hold", at, 3.0121, "sku-1")
    story.span("a", "pause", 0.0055, 3.0055)
    at = story.call(2.003, "b", "redis", "SET lock b NX PX 2000")
    story.event(at, "b", "acquired", token=2)
    story.span("b", "hold", at, None, "sku-1")
    at = story.call(at, "b", "database", "UPDATE units=0")
    story.event(at, "b", "sold", order="b-1")
    at = story.call(3.0056, "a", "database", "UPDATE units=0")
    story.event(at, "a", "sold", order="a-1")
    return story
