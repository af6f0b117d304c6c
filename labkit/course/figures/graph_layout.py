"""Where the boxes of an event graph go: a column for every distance from the first event, and in it
no box on another.

Guarantees: a place depends on the reactions and their order alone, so the same table of events is
drawn the same way everywhere. An event stands in the column of its shortest way from an event that
comes from outside, the first of them at the left; one that nothing leads to stands just before the
nearest event it leads to. Leaves out: the fewest crossings that there could be. A box is put at the
middle height of what leads to it. Follows: Sugiyama, Tagawa and Toda, "Methods for visual
understanding of hierarchical system structures", 1981 (the columns)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labkit.messaging import Service
from labkit.messaging.envelope import names


@dataclass(frozen=True)
class Reaction:
    """`service` does something on `event` (in a word or two, `does`), and may then say the events
    of `emits`.
    """

    event: str
    service: str
    emits: tuple[str, ...] = ()
    does: str = ""

    @property
    def words(self) -> str:
        """The service and what it does."""
        return f"{self.service}: {self.does}" if self.does else self.service


def reactions(services: Iterable[Service]) -> list[Reaction]:
    """What services of `labkit.sagas` have registered, each reaction by the name of its function."""
    return [
        Reaction(
            kind.__name__, service.name, names(found.emits), found.react.__name__.replace("_", " ")
        )
        for service in services
        for kind, found in service.reactions.items()
    ]


@dataclass(frozen=True)
class Reactions:
    """A table of reactions, asked for what it implies. `starts` are the events that come from
    outside.

    `events` are all there are, those that are reached from the starts first, in the order in which
    they are reached."""

    table: tuple[Reaction, ...]
    starts: tuple[str, ...]
    events: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        named = (name for one in self.table for name in (one.event, *one.emits))
        object.__setattr__(
            self, "events", tuple(dict.fromkeys([*self.distances(*self.starts), *named]))
        )

    def of(self, event: str) -> list[Reaction]:
        """Who reacts to this event."""
        return [one for one in self.table if one.event == event]

    def after(self, event: str) -> list[str]:
        """The events that may follow this one at once."""
        return list(dict.fromkeys(name for one in self.of(event) for name in one.emits))

    def distances(self, *sources: str) -> dict[str, int]:
        """How many events each event is away from the nearest of `sources`; what cannot be reached
        is missing.
        """
        found = dict.fromkeys(sources, 0)
        queue = list(sources)
        for event in queue:
            for name in self.after(event):
                if name not in found:
                    found[name] = found[event] + 1
                    queue.append(name)
        return found

    def leads_back(self, reaction: Reaction, emitted: str) -> bool:
        """Whether `emitted` stands no farther than the event that is reacted to, and may lead to it
        again: a circle closes.
        """
        column = self.columns()
        return column[emitted] <= column[reaction.event] and reaction.event in self.distances(
            emitted
        )

    def columns(self) -> dict[str, int]:
        """The column of every event, from 0."""
        found = self.distances(self.starts[0])
        produced = {name for one in self.table for name in one.emits if name != one.event}
        lost = [event for event in self.events if event not in found]
        for root in [
            event for event in lost if event not in produced
        ] + lost:  # the second time for circles without a way in
            if root in found:
                continue
            reach = self.distances(root)
            known = [found[name] - steps for name, steps in reach.items() if name in found]
            base = max(0, min(known, default=0))
            for name, steps in reach.items():
                found.setdefault(name, base + steps)
        return {event: found[event] for event in self.events}


def heights(
    reactions: Reactions, columns: Mapping[str, int], size: Mapping[str, float], gap: float
) -> dict[str, float]:
    """The top edge of every box, in pixels from the top of the drawing; `size` are the boxes'
    heights.
    """
    middle: dict[str, float] = {}
    for column in range(max(columns.values()) + 1):
        here = [event for event in reactions.events if columns[event] == column]
        wanted = {event: _led_to_from(event, reactions, columns, middle) for event in here}
        known = [y for y in wanted.values() if y is not None]
        last = max(known, default=0.0)
        order = sorted(
            here,
            key=lambda event: (
                last + 1 if wanted[event] is None else wanted[event],
                here.index(event),
            ),
        )
        middle |= _spread(
            order,
            [last if wanted[event] is None else wanted[event] or 0.0 for event in order],
            size,
            gap,
        )
    tops = {event: middle[event] - size[event] / 2 for event in middle}
    return {event: top - min(tops.values()) for event, top in tops.items()}


def _led_to_from(
    event: str, reactions: Reactions, columns: Mapping[str, int], middle: Mapping[str, float]
) -> float | None:
    sources = [
        middle[one.event]
        for one in reactions.table
        if event in one.emits and columns[one.event] == columns[event] - 1
    ]
    return sum(sources) / len(sources) if sources else None


def _spread(
    order: Sequence[str], wanted: Sequence[float], size: Mapping[str, float], gap: float
) -> dict[str, float]:
    """As near to what is wanted as boxes that do not touch can be: those that would touch are moved
    apart as one block.
    """
    blocks: list[tuple[list[str], float]] = []
    for event, y in zip(order, wanted, strict=True):
        blocks.append(([event], y))
        while len(blocks) > 1:
            (upper, a), (lower, b) = blocks[-2:]
            if b - a >= (_length(upper, size, gap) + _length(lower, size, gap)) / 2 + gap:
                break
            centre = (a * len(upper) + b * len(lower)) / (len(upper) + len(lower))
            blocks[-2:] = [([*upper, *lower], centre)]
    placed: dict[str, float] = {}
    for members, centre in blocks:
        y = centre - _length(members, size, gap) / 2
        for event in members:
            placed[event] = y + size[event] / 2
            y += size[event] + gap
    return placed


def _length(members: Sequence[str], size: Mapping[str, float], gap: float) -> float:
    return sum(size[event] for event in members) + gap * (len(members) - 1)
