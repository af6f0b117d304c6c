"""The part of a history that one diagram can show, chosen and put in order; what was left out is
said, never lost silently.

Lanes are ordered so that messages cross as few other lanes as possible, which puts a server that
everyone talks to between its clients; among equals, the node that appears first comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from labkit.course.figures.text import FigureError
from labkit.course.figures.timescale import duration
from labkit.world import LAB, Event, History, Message, Run, Span

MOST_LANES = 7
MOST_MESSAGES = 60


@dataclass(frozen=True)
class Overlap:
    """Two nodes that both believe they hold `label`."""

    label: str
    first: str
    second: str
    start: float
    end: float


@dataclass(frozen=True)
class View:
    """What is drawn: lanes from top to bottom, entries between `start` and `end` (seconds), and
    what is not shown.
    """

    lanes: tuple[str, ...]
    events: tuple[Event, ...]
    messages: tuple[Message, ...]
    spans: tuple[Span, ...]
    start: float
    end: float
    left_out: tuple[str, ...]

    def span_end(self, span: Span) -> float:
        """Where a span ends in this view; one without an end lasts to the right edge."""
        return self.end if span.end is None else min(span.end, self.end)

    def overlaps(self) -> list[Overlap]:
        """Every stretch in which one label is held on two lanes at once, in order."""
        holds = [span for span in self.spans if span.kind == "hold"]
        found = []
        for one, other in combinations(holds, 2):
            start = max(one.start, other.start, self.start)
            end = min(self.span_end(one), self.span_end(other))
            if one.label == other.label and one.node != other.node and end > start:
                found.append(Overlap(one.label, one.node, other.node, start, end))
        return sorted(found, key=lambda overlap: (overlap.start, overlap.end, overlap.first))

    def instants(self) -> Iterator[float]:
        """Every instant at which something shown begins or ends."""
        yield from (self.start, self.end)
        yield from (event.at for event in self.events)
        for message in self.messages:
            yield message.sent
            if message.arrived is not None:
                yield message.arrived
        for span in self.spans:
            yield max(span.start, self.start)
            yield self.span_end(span)


def view(
    subject: Run | History,
    *,
    kinds: Sequence[str] | None,
    nodes: Sequence[str] | None,
    hide: Sequence[str],
    start: float | None,
    end: float | None,
) -> View:
    """Choose what to show of a run or a history."""
    history = subject.history if isinstance(subject, Run) else subject
    if start is not None and end is not None and not start < end:
        raise FigureError(f"start must be before end, got start={start!r}, end={end!r}")
    lanes, hidden = _lanes(history, nodes)
    times = _instants(history, lanes)
    begin, stop = min(times) if start is None else start, max(times) if end is None else end
    messages = [
        m
        for m in history.messages
        if m.src in lanes and m.dst in lanes and m.src != m.dst and begin <= m.sent <= stop
    ]
    left_out = [f"nodes {', '.join(hidden)}"] if hidden else []
    if hide := tuple(hide):
        messages = _without(messages, hide)
        left_out.append(f"messages {', '.join(hide)}")
    if len(messages) > MOST_MESSAGES:
        dropped = messages[:-MOST_MESSAGES]
        messages = messages[-MOST_MESSAGES:]
        begin = max(begin, messages[0].sent)
        left_out.append(
            f"everything before {duration(begin)} ({len(dropped)} messages); start= and end= choose another part"
        )
    shown = [event for event in history.events if event.node in lanes and begin <= event.at <= stop]
    if kinds is not None:
        shown = [event for event in shown if event.kind in kinds]
    spans = [
        s
        for s in history.spans
        if s.node in lanes and s.start <= stop and (s.end is None or s.end > begin)
    ]
    if end is None:
        stop = max([begin, *_ends(shown, messages, spans)])
    return View(
        _ordered(lanes, messages),
        tuple(shown),
        tuple(messages),
        tuple(spans),
        begin,
        stop,
        tuple(left_out),
    )


def _without(messages: Sequence[Message], hide: Sequence[str]) -> list[Message]:
    words = [
        set(message.label.split()[: 1 + message.reply]) for message in messages
    ]  # an answer may be "200 POST /charge"
    unknown = sorted(set(hide).difference(*words))
    if unknown:
        known = sorted(
            {
                message.label.partition(" ")[0]
                for message in messages
                if message.label and not message.reply
            }
        )
        raise FigureError(
            f"hide must be among {', '.join(known) or 'none'}, got {', '.join(unknown)}"
        )
    return [
        message for message, first in zip(messages, words, strict=True) if first.isdisjoint(hide)
    ]


def _lanes(history: History, nodes: Sequence[str] | None) -> tuple[list[str], list[str]]:
    seen: list[tuple[int, str]] = [(event.seq, event.node) for event in history.events]
    seen += [(span.seq, span.node) for span in history.spans]
    for message in history.messages:
        seen += [(message.seq, message.src), (message.seq, message.dst)]
    known = list(dict.fromkeys(name for _, name in sorted(seen, key=lambda pair: pair[0])))
    if nodes is not None:
        unknown = [name for name in nodes if name not in known]
        if unknown:
            raise FigureError(
                f"nodes must be among {', '.join(known) or 'none'}, got {', '.join(unknown)}"
            )
        return list(nodes), []
    known = [name for name in known if name != LAB]
    if not known:
        raise FigureError("the history must have at least one entry of a node, got none")
    if len(known) <= MOST_LANES:
        return known, []
    busy = Counter(name for _, name in seen)
    kept = sorted(known, key=lambda name: (-busy[name], known.index(name)))[:MOST_LANES]
    return [name for name in known if name in kept], [name for name in known if name not in kept]


def _instants(history: History, lanes: Sequence[str]) -> list[float]:
    events = [event for event in history.events if event.node in lanes]
    messages = [
        message for message in history.messages if message.src in lanes and message.dst in lanes
    ]
    spans = [span for span in history.spans if span.node in lanes]
    starts = (
        [event.at for event in events]
        + [message.sent for message in messages]
        + [span.start for span in spans]
    )
    return [*starts, *_ends(events, messages, spans)]


def _ends(
    events: Sequence[Event], messages: Sequence[Message], spans: Sequence[Span]
) -> list[float]:
    """When things ended. A partition is planned, and may outlast the run: its end counts for
    nothing.
    """
    ends = [event.at for event in events] + [span.start for span in spans]
    ends += [message.sent if message.arrived is None else message.arrived for message in messages]
    return ends + [span.end for span in spans if span.end is not None and span.kind != "partition"]


def _ordered(lanes: Sequence[str], messages: Sequence[Message]) -> tuple[str, ...]:
    talk = Counter(
        (min(message.src, message.dst), max(message.src, message.dst)) for message in messages
    )
    if not talk or len(lanes) > MOST_LANES:
        return tuple(lanes)

    def crossings(order: tuple[str, ...]) -> int:
        row = {name: i for i, name in enumerate(order)}
        return sum(count * (abs(row[one] - row[other]) - 1) for (one, other), count in talk.items())

    return min(permutations(lanes), key=crossings)
