"""The event graph: which service reacts to which event, and what it may say then, in columns from
the first event on.

What to look for: an event that nobody hears, one that nobody says, and a way back to an event that
was there before. All three are drawn in red and said in words. An arrow leaves the service that
says an event; of several arrows it may take one, or more. Leaves out: how often, how fast, and
under which condition; a table of handlers does not know; and the fewest crossings that there could
be: a box is put at the middle height of what leads to it.

Guarantees: a place depends on the handlers and their order alone. An event stands in the column of
its shortest way from an event that comes from outside, the first of them at the left; one that
nothing leads to stands just before the nearest event it leads to. Follows: Sugiyama, Tagawa and
Toda, "Methods for visual understanding of hierarchical system structures", 1981 (the columns)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._style import (
    CARD,
    CARD_EDGE,
    DANGER,
    INK,
    MARGIN,
    PALETTE,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    card,
    header_height,
    pixel_axes,
    service_colours,
    styled,
    text_width,
)
from labkit.course.figures.text import FigureError, columns, said
from labkit.messaging import Service
from labkit.messaging.envelope import names

NOBODY_HEARS, NOBODY_SAYS, CIRCLE = "nobody hears it", "nobody says it", "a way back"
_HEAD, _CHIP, _PAD, _GAP, _LANE = 25.0, 20.0, 5.0, 18.0, 11.0
_NARROWEST, _WIDEST = 24.0, 96.0
_ARROW = "-|>,head_length=4.4,head_width=2.2"
Point = tuple[float, float]


def graph(
    handlers: Sequence[Handler],
    *,
    title: str,
    alt: str,
    starts: Sequence[str] = (),
    subtitle: str | None = None,
) -> Figure:
    """Draw a table of handlers.

    `starts` are the events that come from outside, the first of them first; when none is given,
    that of the first reaction."""
    title, alt = said("title", title), said("alt", alt)
    services = list(dict.fromkeys(one.service for one in handlers))
    if not 1 <= len(services) <= len(PALETTE):
        raise FigureError(f"handlers must be of 1 to {len(PALETTE)} services, got {len(services)}")
    known = Table(tuple(handlers), tuple(starts) or (handlers[0].event,))
    top = header_height(title, subtitle) + 2
    drawing = _Drawing(known, services, top)
    with styled():
        sheet = card(title, subtitle, drawing.height)
        drawing.draw(pixel_axes(sheet, drawing.height))
        return finished(sheet, title=title, alt=alt, data=_table(known))


class _Drawing:
    """The boxes of the events, a line in them for every reaction, and the arrows between."""

    def __init__(self, known: Table, services: Sequence[str], top: float) -> None:
        self.known, self.column = known, known.columns()
        self.ink = service_colours(services)
        size = {
            event: _HEAD + _CHIP * max(1, len(known.of(event))) + _PAD for event in known.events
        }
        self.size = {
            event: tall + (14 if self._unsaid(event) else 0) for event, tall in size.items()
        }
        number = max(self.column.values()) + 1
        self.width = [
            max(self._room(event) for event in known.events if self.column[event] == i)
            for i in range(number)
        ]
        gap = (WIDTH - 2 * MARGIN - sum(self.width)) / max(1, number - 1)
        if number > 1 and gap < _NARROWEST:
            raise FigureError(
                f"handlers must fit into {WIDTH} pixels; "
                f"{number} columns with such long names do not"
            )
        self.gap = min(gap, _WIDEST)
        self.left = [MARGIN + sum(self.width[:i]) + self.gap * i for i in range(number)]
        self.top = {
            event: top + y for event, y in heights(known, self.column, self.size, _GAP).items()
        }
        self.bottom = max(self.top[event] + self.size[event] for event in known.events)
        self._lanes = count(1)
        far = sum(
            self.column[name] - self.column[one.event] not in (0, 1)
            for one in known.table
            for name in one.emits
        )
        self.height = self.bottom + _LANE * far + (16 if far else 0) + 18

    def _unsaid(self, event: str) -> bool:
        known = self.known
        return event not in known.starts and not any(event in one.emits for one in known.table)

    def _room(self, event: str) -> float:
        lines = [text_width(one.words, SMALL_SIZE) + 26 for one in self.known.of(event)] or [
            text_width(NOBODY_HEARS, SMALL_SIZE, bold=True) + 20
        ]
        return max(text_width(event, TEXT_SIZE, bold=True) + 20, *lines)

    def draw(self, axes: Axes) -> None:
        """Arrows first, so that a box lies on what passes under it."""
        for one in self.known.table:
            for emitted in one.emits:
                self._arrow(axes, one, emitted)
        for event in self.known.events:
            self._box(axes, event)

    def _box(self, axes: Axes, event: str) -> None:
        x, y, width = self.left[self.column[event]], self.top[event], self.width[self.column[event]]
        heard, unsaid = self.known.of(event), self._unsaid(event)
        wrong = unsaid or not heard
        look: dict[str, Any] = {
            "edgecolor": DANGER if wrong else CARD_EDGE,
            "linewidth": 1.3 if wrong else 1.0,
            "zorder": 3,
        }
        _rounded(
            axes,
            x,
            y,
            width,
            self.size[event],
            facecolor="white",
            linestyle=(0, (4, 2)) if wrong else "solid",
            **look,
        )
        name: dict[str, Any] = {
            "color": INK,
            "fontweight": "bold",
            "va": "center_baseline",
            "zorder": 5,
        }
        axes.text(x + 10, y + _HEAD / 2 + 1, event, fontsize=TEXT_SIZE, **name)
        remark: dict[str, Any] = {
            "fontsize": SMALL_SIZE,
            "color": DANGER,
            "fontweight": "bold",
            "va": "center_baseline",
            "zorder": 5,
        }
        if not heard:
            axes.text(x + 10, y + _HEAD + _CHIP / 2 - 1, NOBODY_HEARS, **remark)
        if unsaid:
            axes.text(x + 10, y + self.size[event] - 12, NOBODY_SAYS, **remark)
        for one in heard:
            middle = self._from(one)[1]
            _rounded(
                axes,
                x + 5,
                middle - 8,
                width - 10,
                16,
                facecolor=self.ink[one.service],
                alpha=0.13,
                linewidth=0,
                zorder=4,
            )
            axes.add_patch(
                FancyBboxPatch(
                    (x + 7, middle - 5.5),
                    3,
                    11,
                    boxstyle="square,pad=0",
                    linewidth=0,
                    zorder=5,
                    facecolor=self.ink[one.service],
                )
            )
            axes.text(
                x + 15,
                middle,
                one.words,
                fontsize=SMALL_SIZE,
                color=INK,
                va="center_baseline",
                zorder=5,
            )

    def _arrow(self, axes: Axes, one: Handler, emitted: str) -> None:
        steps = self.column[emitted] - self.column[one.event]
        start, end = (
            self._from(one),
            (self.left[self.column[emitted]] - 1, self.top[emitted] + _HEAD / 2),
        )
        if steps == 1:
            spot = middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
            path = Path([start, (middle[0], start[1]), (middle[0], end[1]), end], [1, 4, 4, 4])
        elif steps == 0:  # out of the box, along its side, and in again from the same side
            side = self.left[self.column[emitted]] + self.width[self.column[emitted]]
            end, out = (side + 1, end[1]), side + min(30.0, self.gap * 0.6)
            path = Path([start, (out, start[1]), (out, end[1]), end], [1, 4, 4, 4])
            spot = (out + 4, (start[1] + end[1]) / 2)
        else:
            lane = next(self._lanes)
            path = _around(start, end, self.bottom + 6 + _LANE * lane, 2.0 + 2.5 * (lane % 4))
            spot = ((start[0] + end[0]) / 2, self.bottom + 6 + _LANE * lane)
        circle = self.known.leads_back(one, emitted)
        colour = DANGER if circle else self.ink[one.service]
        dashes: Any = (0, (4, 2)) if circle else "solid"
        head = FancyArrowPatch(
            path=path,
            arrowstyle=_ARROW,
            mutation_scale=1.0,
            color=colour,
            linewidth=1.3,
            linestyle=dashes,
            shrinkA=0,
            shrinkB=0,
            joinstyle="round",
            zorder=2,
        )
        axes.add_patch(head)
        if circle:
            axes.text(
                *spot,
                CIRCLE,
                fontsize=SMALL_SIZE,
                color=DANGER,
                fontweight="bold",
                va="center_baseline",
                ha="left" if steps == 0 else "center",
                zorder=6,
                bbox={"facecolor": CARD, "linewidth": 0, "pad": 1.0},
            )

    def _from(self, one: Handler) -> Point:
        """Where the arrows of a reaction begin: at the right edge of its line in the box."""
        column, row = self.column[one.event], self.known.of(one.event).index(one)
        return self.left[column] + self.width[column] - 4, self.top[one.event] + _HEAD + _CHIP * (
            row + 0.5
        ) - 1


def _around(start: Point, end: Point, below: float, out: float) -> Path:
    """Down beside the box, along below everything, and up again in front of the other box."""
    right, left, soft = start[0] + 4 + out, end[0] - 4 - out, 7.0
    corners = [start, (right, start[1]), (right, below), (left, below), (left, end[1]), end]
    points, codes = [start], [1]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        points += [_towards(corner, before, soft), corner, _towards(corner, after, soft)]
        codes += [2, 3, 3]
    return Path([*points, end], [*codes, 2])


def _towards(point: Point, other: Point, most: float) -> Point:
    dx, dy = other[0] - point[0], other[1] - point[1]
    length = max(abs(dx), abs(dy), 1e-9)
    step = min(most, length / 2) / length
    return point[0] + dx * step, point[1] + dy * step


def _rounded(axes: Axes, x: float, y: float, width: float, height: float, **look: Any) -> None:
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=5", **look)
    )


def _table(known: Table) -> str:
    rows: list[tuple[str, str, str]] = []
    column = known.columns()
    said_by_somebody = {name for one in known.table for name in one.emits} | set(known.starts)
    for event in sorted(known.events, key=lambda event: column[event]):
        name = event if event in said_by_somebody else f"{event} ({NOBODY_SAYS})"
        heard = known.of(event)
        rows += [(name, "", NOBODY_HEARS)] if not heard else []
        for i, one in enumerate(heard):
            marks = [
                f"{emitted} ({CIRCLE})" if known.leads_back(one, emitted) else emitted
                for emitted in one.emits
            ]
            rows.append((name if i == 0 else "", one.words, " or ".join(marks) or "-"))
    return columns(("event", "who hears it", "what it may say then"), rows)


@dataclass(frozen=True)
class Handler:
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


def handlers_of(services: Iterable[Service]) -> list[Handler]:
    """What services have registered with `labkit.messaging`; what a handler does is the name of its
    function.
    """
    return [
        Handler(
            kind.__name__, service.name, names(found.emits), found.react.__name__.replace("_", " ")
        )
        for service in services
        for kind, found in service.reactions.items()
    ]


@dataclass(frozen=True)
class Table:
    """A table of handlers, asked for what it implies. `starts` are the events that come from
    outside.

    `events` are all there are, those that are reached from the starts first, in the order in which
    they are reached."""

    table: tuple[Handler, ...]
    starts: tuple[str, ...]
    events: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        named = (name for one in self.table for name in (one.event, *one.emits))
        object.__setattr__(
            self, "events", tuple(dict.fromkeys([*self.distances(*self.starts), *named]))
        )

    def of(self, event: str) -> list[Handler]:
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

    def leads_back(self, reaction: Handler, emitted: str) -> bool:
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
    handlers: Table, columns: Mapping[str, int], size: Mapping[str, float], gap: float
) -> dict[str, float]:
    """The top edge of every box, in pixels from the top of the drawing; `size` are the boxes'
    heights.
    """
    middle: dict[str, float] = {}
    for column in range(max(columns.values()) + 1):
        here = [event for event in handlers.events if columns[event] == column]
        wanted = {event: _led_to_from(event, handlers, columns, middle) for event in here}
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
    event: str, handlers: Table, columns: Mapping[str, int], middle: Mapping[str, float]
) -> float | None:
    sources = [
        middle[one.event]
        for one in handlers.table
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
