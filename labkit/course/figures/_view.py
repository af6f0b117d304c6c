"""The part of a history that one diagram can show, chosen, put in order and named; and the same in
words. What was left out is said, never lost silently.

Messages are named by what they mean: "read holds" for a SELECT, "script on lock:stove" for an
EVALSHA, or in the words that the lesson gives. What only frames a transaction or loads a script is
noise and left out, unless it was lost on the way.

Lanes are ordered so that messages cross as few other lanes as possible, which puts a server that
everyone talks to between its clients; among equals, the node that appears first comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations

from labkit.course.figures.text import FigureError, columns, duration, one_line
from labkit.world import LAB, Event, History, Message, Run, Span

MOST_LANES = 7
MOST_MESSAGES = 60
MOST_ROWS = 120
NOISE = ("BEGIN", "ROLLBACK", "SCRIPT")
_MEANINGS = {
    "SELECT count(*)": "count",
    "SELECT": "read",
    "INSERT INTO": "insert into",
    "UPDATE": "update",
    "DELETE FROM": "delete from",
    "COMMIT": "commit",
    "GET": "get",
    "HGET": "get",
    "SET": "set",
    "HSET": "set",
    "DEL": "delete",
    "EVAL": "script on",
    "EVALSHA": "script on",
    "XADD": "add to",
    "XREADGROUP": "read",
    "XACK": "acknowledge",
}


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
    names: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)

    def words(self, message: Message) -> str:
        """What a message is called in the picture: an answer by its status, if it has one."""
        label = one_line(message.label)
        status, _, rest = label.partition(" ")
        if message.reply and status.isdigit():
            return f"{status} {self._named(rest) or ''}".strip()
        return self._named(label) or _meaning(label)

    def _named(self, label: str) -> str | None:
        fitting = [start for start in self.names if label.startswith(start)]
        return self.names[max(fitting, key=len)] if fitting else None

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
        yield from (self.start, self.end, *self.marks.values())
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
    kinds: Sequence[str] | None = None,
    nodes: Sequence[str] | None = None,
    hide: Sequence[str] = (),
    start: float | None = None,
    end: float | None = None,
    names: Mapping[str, str] | None = None,
    marks: Mapping[str, float] | None = None,
) -> View:
    """Choose what to show of a run or a history. A mark outside of it is refused."""
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
    kinds_of_noise = _noise(messages)
    noise = [m for m in messages if _first(m) in kinds_of_noise and m.arrived is not None]
    messages = [m for m in messages if m not in noise]
    if unsaid := sorted({_first(m) for m in noise}.difference(hide)):
        left_out.append(f"messages {', '.join(unsaid)}")
    if hide := tuple(hide):
        messages = _without(messages, hide)
        left_out.append(f"messages {', '.join(hide)}")
    if len(messages) > MOST_MESSAGES:
        dropped = messages[:-MOST_MESSAGES]
        messages = messages[-MOST_MESSAGES:]
        begin = max(begin, messages[0].sent)
        left_out.append(
            f"everything before {duration(begin)} ({len(dropped)} messages); "
            "start= and end= choose another part"
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
    for name, at in (marks or {}).items():
        if not begin <= at <= stop:
            raise FigureError(
                f"mark {name!r} must be between {begin:.4f} and {stop:.4f}, "
                f"the seconds that are shown, got {at!r}"
            )
    return View(
        _ordered(lanes, messages),
        tuple(shown),
        tuple(messages),
        tuple(spans),
        begin,
        stop,
        tuple(left_out),
        dict(names or {}),
        dict(marks or {}),
    )


def _first(message: Message) -> str:
    """The first word of a message, of the request's label in an answer with a status."""
    words = message.label.split()
    if message.reply and len(words) > 1 and words[0].isdigit():
        return words[1]
    return words[0] if words else ""


def _noise(messages: Sequence[Message]) -> set[str]:
    """The kinds of noise that occur; none when there is nothing else to show."""
    kinds = {_first(message) for message in messages}
    return kinds & set(NOISE) if kinds - set(NOISE) else set()


def _meaning(label: str) -> str:
    start = max((each for each in _MEANINGS if label.startswith(each)), key=len, default="")
    rest = label[len(start) :]
    if not start or rest[:1].strip():
        return label
    if label.split()[0].isupper() and label.split()[-1] in ("FROM", "SET"):
        rest = rest.rpartition(" ")[0]
    return f"{_MEANINGS[start]}{rest}"


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


def chronicle(view: View) -> str:
    """The entries of a view as a table of at most `MOST_ROWS` rows."""
    rows: list[tuple[float, int, str, str]] = []
    for event in view.events:
        facts = "".join(f"  {name}={one_line(str(value))}" for name, value in event.data.items())
        rows.append((event.at, event.seq, event.node, event.kind + facts))
    for message in view.messages:
        end = "lost" if message.arrived is None else f"arrives {message.arrived:.4f}"
        what = "answers" if message.reply else "sends"
        rows.append(
            (
                message.sent,
                message.seq,
                message.src,
                f"{what} {message.dst}: {_full_words(view, message)} ({end})",
            )
        )
    for span in view.spans:
        rows.append((span.start, span.seq, span.node, _span(span, view)))
    for overlap in view.overlaps():
        text = (
            f"both believe they hold {overlap.label}, for {duration(overlap.end - overlap.start)}"
        )
        rows.append((overlap.start, 1 << 60, f"{overlap.first}+{overlap.second}", text))
    for name, at in view.marks.items():
        rows.append((at, 1 << 60, "", name))
    rows.sort(key=lambda row: row[:2])
    lines = columns(
        ("  seconds", "node", "what"),
        [(f"{at:.4f}".rjust(9), node, what) for at, _, node, what in rows[:MOST_ROWS]],
    )
    notes = [f"… and {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else []
    notes += [f"left out: {text}" for text in view.left_out]
    return "\n".join([lines, *notes])


def _full_words(view: View, message: Message) -> str:
    """The message as it was, after the lesson's own words for it."""
    label = one_line(message.label) or "a message"
    words = view.words(message)
    return f"{words} [{label}]" if words in view.names.values() else label


def _span(span: Span, view: View) -> str:
    words = {
        "pause": "paused",
        "blocked": "event loop blocked",
        "crash": "down",
        "partition": f"cut off from {span.label or 'the others'}",
        "hold": f"holds {span.label or 'the lock'}",
    }
    if span.end is None:
        return f"{words[span.kind]} to the end"
    return f"{words[span.kind]} until {span.end:.4f} ({duration(span.end - span.start)})"
