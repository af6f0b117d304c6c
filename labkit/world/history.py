"""What happened in a run, as plain data: events, messages, spans of time on a node, and operations.

A history is what a picture is drawn from, what an invariant is checked on, and what two runs are
compared by. Times are float seconds since the run began. `seq` numbers every entry of a history in
the order it was written, so that two things at the same instant still have an order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["ok", "failed", "unknown"]
SpanKind = Literal["pause", "blocked", "crash", "partition", "hold"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something a node said about itself: `kind` in one or two words, the facts in `data`."""

    seq: int
    at: float
    node: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = "  ".join(f"{name}={value}" for name, value in self.data.items())
        return f"{self.at:9.4f}  {self.node:<10} {self.kind:<18} {facts}".rstrip()


@dataclass(frozen=True, slots=True)
class Message:
    """One crossing of the network. `arrived` is None when it was lost; `reply` marks an answer."""

    seq: int
    sent: float
    src: str
    dst: str
    label: str
    arrived: float | None
    reply: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time on one node. `end` is None when it lasts to the end of the run.

    `pause`: the node was stopped; `blocked`: a synchronous call froze its event loop; `crash`: it
    was down; `partition`: it could not reach `label`; `hold`: it believed it held `label` (a lock,
    a lease)."""

    seq: int
    node: str
    kind: SpanKind
    start: float
    end: float | None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """A call on a shared object, as the caller saw it: the unit of a linearizability check.

    `called` and `returned` are positions in the history (`returned` is None when no answer came).
    `outcome` answers "did it happen?": ok (yes, with `result`), failed (definitely not), unknown.
    """

    process: str
    name: str
    argument: Any
    result: Any
    called: int
    returned: int | None
    outcome: Outcome = "ok"


class History:
    """Append-only record of one run. Equal histories have equal fingerprints, on every machine."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.messages: list[Message] = []
        self.spans: list[Span] = []
        self.operations: list[Operation] = []
        self._seq = 0

    def next_seq(self) -> int:
        """The next position in the order of entries."""
        self._seq += 1
        return self._seq

    def of(self, *kinds: str) -> list[Event]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]

    def lines(self) -> Iterator[str]:
        """Every entry as text, in order: the canonical form that `fingerprint` hashes."""
        entries: list[Event | Message | Span] = [*self.events, *self.messages, *self.spans]
        for entry in sorted(entries, key=lambda entry: entry.seq):
            yield repr(entry)
        for operation in self.operations:
            yield repr(operation)

    def fingerprint(self) -> str:
        """Sixteen hex digits of SHA-256 over every entry."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()[:16]

    def table(self, *kinds: str, limit: int = 40) -> str:
        """The events (of these kinds, or all) as a text table of at most `limit` rows."""
        chosen = self.of(*kinds) if kinds else self.events
        rows = [f"{'seconds':>9}  {'node':<10} {'event':<18} facts", *map(str, chosen[:limit])]
        if len(chosen) > limit:
            rows.append(f"… and {len(chosen) - limit} more")
        return "\n".join(rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and list(self.lines()) == list(other.lines())

    __hash__ = None  # type: ignore[assignment]  # it grows while a run writes it

    def __repr__(self) -> str:
        size = f"{len(self.events)} events, {len(self.messages)} messages"
        return f"<History {size}, {self.fingerprint()}>"
