"""The space-time diagram: nodes as lanes, time to the right, messages as slanted lines, trouble as
marked areas.

What to look for: a lost message ends in a cross; a pause is a hatched block; a hold is a bar along
the lane, and where two lanes hold the same thing at once both bars turn red, which is the picture
this course is about.

Guarantees: a label lies on no arrow, dot, bar or other label. Everything that is drawn takes its
place first; then the labels look for theirs, events before messages, and the lanes move apart until
all have found one, up to a limit. Leaves out: what does not fit (the oldest messages, labels
without room); the note below the axis says so, and the table that `print(figure)` shows has every
entry. Follows: Lamport, "Time, clocks, and the ordering of events in a distributed system",
CACM 21(7), 1978."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._labels import LINE, Box, Places, Point, Spot
from labkit.course.figures._style import (
    CARD,
    DANGER,
    FAINT,
    GRID,
    INK,
    MARGIN,
    MUTED,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    card,
    header_height,
    pixel_axes,
    service_colours,
    styled,
    text_width,
    wrapped,
)
from labkit.course.figures._timescale import TimeScale
from labkit.course.figures._view import Overlap, View, chronicle, view
from labkit.course.figures.text import duration, said, shortened
from labkit.world import Event, History, Message, Run, Span

RIGHT = WIDTH - MARGIN
_PITCHES = (78.0, 92.0, 108.0, 126.0)
"""Pixels from one lane to the next: the first at which every label finds a place."""
_INSETS = (12.0, 96.0)
"""Pixels from the beginning of the lanes to the first instant; more, if a label needs the room."""
_BAR = 7.0  # half the height of the bar of a hold
_HALF_BLOCK = 24.0
_NAME_SIZE, _NOTE_SIZE = 9.5, SMALL_SIZE + 0.4
_LINE_STEP = 14.0
_MARKS_ROOM = 20.0
_CROWD = 30  # with more messages than this, the words of answers are left to the table
_CUT, _BLOCKED = "#96407a", "#9c4500"
_REQUEST, _REPLY = ("#55616c", 1.15), ("#a9b3bb", 0.9)
_HEAD = "-|>,head_length=3.6,head_width=1.9"
_BLOCKS = {
    "pause": ("#e9e6dc", "#b9b4a3", "\\\\\\", "paused", MUTED),
    "blocked": ("#fbe3cf", "#dd9a5e", "\\\\\\", "event loop blocked", _BLOCKED),
    "crash": ("#d9dcdf", "#8d969d", "", "down", MUTED),
}


def spacetime(
    subject: Run | History,
    *,
    title: str,
    alt: str,
    subtitle: str | None = None,
    kinds: Sequence[str] | None = None,
    nodes: Sequence[str] | None = None,
    hide: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    marks: Mapping[str, float] | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Figure:
    """Draw a run or a history.

    `kinds`: the events to show (all); `nodes`: the lanes to show (all but the experimenter's);
    `hide`: the first words of the messages to leave out, with their answers (`["XACK"]`), beside
    BEGIN, ROLLBACK and SCRIPT, which are always left out; `names`: what messages mean, by how they
    begin (`{"EVAL stove": "write, fenced"}`); `marks`: moments that the title speaks of, in seconds
    (`{"the lease ends": 10.0}`), each a dashed line with its name; `start`, `end`: the seconds to
    show (all). A stretch in which nothing happens is squeezed, and the axis says so. A run on real
    servers is a figure of measured times, see `Figure`."""
    title, alt = said("title", title), said("alt", alt)
    shown = view(
        subject,
        kinds=kinds,
        nodes=nodes,
        hide=hide,
        start=start,
        end=end,
        names=names,
        marks=marks,
    )
    top = header_height(title, subtitle) + (_MARKS_ROOM if shown.marks else 0.0)
    plan = _roomy_plan(shown, top)
    foot = 56.0 + (_LINE_STEP if shown.left_out or plan.unlabelled else 0.0)
    height = top + plan.pitch * len(shown.lanes) + foot
    with styled():
        sheet = card(title, subtitle, height)
        _Drawing(pixel_axes(sheet, height), plan).draw(height - foot + 8)
        measured = isinstance(subject, Run) and subject.where == "real"
        return finished(sheet, title=title, alt=alt, data=chronicle(shown), measured=measured)


@dataclass(frozen=True)
class _Label:
    """A text that found its place: its left edge and middle line."""

    text: str
    x: float
    y: float
    size: float
    colour: str
    bold: bool = False
    italic: bool = False
    leader: tuple[Point, Point] | None = None


def _roomy_plan(view: View, top: float) -> _Plan:
    """The first plan in which every label has a place, else the one in which most have."""
    best: _Plan | None = None
    for inset, pitch in product(_INSETS, _PITCHES):
        plan = _Plan(view, top, pitch, inset)
        if best is None or plan.missing < best.missing:
            best = plan
        if not plan.unlabelled:
            return plan
    assert best is not None
    return best


class _Plan:
    """Where everything is, in pixels, y downwards; nothing is drawn yet."""

    def __init__(self, view: View, top: float, pitch: float, inset: float) -> None:
        self.view, self.pitch = view, pitch
        names = max(text_width(name, _NAME_SIZE, bold=True) for name in view.lanes)
        self.left = MARGIN + names + 16
        self.rows = {name: top + pitch * (i + 0.5) for i, name in enumerate(view.lanes)}
        self.top, self.bottom = top, top + pitch * len(view.lanes) - 2
        self.scale = TimeScale(view.instants(), self.left + inset, RIGHT - 14)
        self.ink = service_colours(view.lanes)
        self.overlaps = view.overlaps()
        self._held = list(dict.fromkeys(s.label for s in view.spans if s.kind == "hold"))
        self.places = Places(Box(self.left, self.top, RIGHT + 8, self.bottom))
        self.labels: list[_Label] = []
        self._take_what_is_drawn()
        self._put_labels()

    @property
    def unlabelled(self) -> int:
        """How many labels found no place."""
        return sum(self.missing)

    def path(self, message: Message) -> tuple[Point, Point]:
        """From where to where a message goes; a lost one goes half-way."""
        x0, y0, y1 = self.scale.x(message.sent), self.rows[message.src], self.rows[message.dst]
        if message.arrived is None:
            return (x0, y0), (x0 + 14, (y0 + y1) / 2)
        return (x0, y0), (self.scale.x(message.arrived), y1)

    def dot(self, event: Event) -> Point:
        """Where an event is."""
        return self.scale.x(event.at), self.rows[event.node]

    def extent(self, span: Span) -> tuple[float, float]:
        """From where to where a span reaches, left to right."""
        x0 = self.scale.x(max(span.start, self.view.start))
        if span.end is None:
            return x0, RIGHT
        x1 = self.scale.x(self.view.span_end(span))
        return x0, max(x1, x0 + 3) if span.kind == "hold" else x1

    def overlap_extent(self, overlap: Overlap) -> tuple[float, float]:
        """From where to where an overlap reaches, left to right."""
        x0 = self.scale.x(overlap.start)
        return x0, max(self.scale.x(overlap.end), x0 + 3)

    def bar(self, node: str, label: str) -> float:
        """The middle line of the bar on which `node` holds `label`; a node that holds several
        things has a bar for each.
        """
        holds = [s for s in self.view.spans if s.kind == "hold" and s.node == node]
        slots = sorted({self._held.index(span.label) for span in holds})
        here = slots.index(self._held.index(label))
        return self.rows[node] + (here - (len(slots) - 1) / 2) * (2 * _BAR + 2)

    def _take_what_is_drawn(self) -> None:
        for event in self.view.events:
            x, y = self.dot(event)
            self.places.take(Box(x - 5, y - 5, x + 5, y + 5))
        for message in self.view.messages:
            start, end = self.path(message)
            self.places.take_line(start, end)
            if message.arrived is None:
                self.places.take(Box(end[0] - 5, end[1] - 5, end[0] + 5, end[1] + 5))
        for at in self.view.marks.values():
            x = self.scale.x(at)
            self.places.take_line((x, self.top), (x, self.bottom))
        holds = [span for span in self.view.spans if span.kind == "hold"]
        for span in holds:  # its name lies in the bar, and so comes before the bar takes its place
            self._put_in_bar(span)
        for span in holds:
            x0, x1 = self.extent(span)
            y = self.bar(span.node, span.label)
            self.places.take(Box(x0, y - _BAR - 1, x1, y + _BAR + 1))
        for span in self.view.spans:
            y = self.rows[span.node]
            x0, x1 = self.extent(span)
            if span.kind == "crash":
                self.places.take(Box(x0 - 6, y - 6, x0 + 6, y + 6))
            if span.kind == "partition":
                self.places.take_line((x0, y + 17), (x1, y + 17))
        for y in self.rows.values():
            self.places.take(Box(self.left, y - 2, WIDTH, y + 2))

    def _put_in_bar(self, span: Span) -> None:
        x0, x1 = self.extent(span)
        y = self.bar(span.node, span.label)
        red = [
            self.overlap_extent(overlap)
            for overlap in self.overlaps
            if overlap.label == span.label and span.node in (overlap.first, overlap.second)
        ]
        text = f"holds {span.label}".rstrip()
        width = text_width(text, SMALL_SIZE)
        steps = int(max(0.0, x1 - x0 - width - 14) // 6)
        spots = [x0 + 9 + 6 * step for step in range(steps)]
        clear = [x for x in spots if not any(x < b and a < x + width for a, b in red)]
        self._label(text, [(x, y, "left") for x in clear], SMALL_SIZE, "#ffffff")

    def _put_labels(self) -> None:
        told = [self._put_overlap(overlap) for overlap in self.overlaps]
        told += [self._put_event(event) for event in self.view.events]
        told += [self._put_note(span) for span in self.view.spans]
        messages = []
        requests = {self.view.words(m) for m in self.view.messages if not m.reply}
        for message in sorted(self.view.messages, key=lambda message: message.reply):
            text = self.view.words(message)
            repeated = message.reply and (len(self.view.messages) > _CROWD or text in requests)
            if text and not repeated:
                messages.append(self._put_message(message, text))
        self.missing = told.count(False), messages.count(False)

    def _put_event(self, event: Event) -> bool:
        x, y = self.dot(event)
        anchors = ((x - 4, "left"), (x, "center"), (x + 4, "right"))
        rise = 14 + TEXT_SIZE * LINE / 2 - 2
        near = [(at, y + dy, side) for dy in (-rise, rise) for at, side in anchors]
        beside = [(x + 9, y - 11, "left"), (x + 9, y + 11, "left"), (x - 9, y - 11, "right")]
        beside += [(x - 9, y + 11, "right")]
        far = [
            (x + shift, y + sign * dy, "left")
            for dy in range(30, int(self.pitch) - 12, 6)
            for sign in (-1, 1)
            for shift in (-4, -30, -60, -90)
        ]
        return any(
            self._label(text, [*near, *beside, *far], TEXT_SIZE, INK, anchor=(x, y))
            for text in _event_words(event)
        )

    def _put_overlap(self, overlap: Overlap) -> bool:
        x0, x1 = self.overlap_extent(overlap)
        bars = sorted(self.bar(node, overlap.label) for node in (overlap.first, overlap.second))
        length = duration(overlap.end - overlap.start)
        texts = (f"both believe they hold {overlap.label}, for {length}", f"both hold it, {length}")
        spots = _spots_near((x0 + x1) / 2, sum(bars) / 2, bars[0] - 60, bars[1] + 60)
        return any(self._label(text, spots, TEXT_SIZE, DANGER, bold=True) for text in texts)

    def _put_note(self, span: Span) -> bool:
        if span.kind == "hold":
            return True
        x0, x1 = self.extent(span)
        y, middle = self.rows[span.node], (x0 + x1) / 2
        if span.kind == "partition":
            text = f"cut off from {span.label}" if span.label else "cut off"
            offsets, ink = (27, -27, 36, -36, 14, -14), _CUT
        else:
            _, _, _, words, ink = _BLOCKS[span.kind]
            text = words if span.end is None else f"{words} {duration(span.end - span.start)}"
            offsets = (-15, 15, -33, 33, -42, 42)
        anchors = [(middle, "center"), (x0 + 3, "left"), (x1 - 3, "right")]
        anchors += [(x0 + share * (x1 - x0), "center") for share in (0.25, 0.75, 0.4, 0.6)]
        spots = [(x, y + dy, side) for dy in offsets for x, side in anchors]
        return self._label(text, spots, _NOTE_SIZE, ink)

    def _put_message(self, message: Message, text: str) -> bool:
        start, end = self.path(message)
        put = partial(self._label, size=SMALL_SIZE, colour=MUTED, italic=message.reply)
        return any(
            put(short, list(_beside(start, end, text_width(short, SMALL_SIZE))))
            for short in dict.fromkeys((shortened(text, 26), shortened(text, 14)))
        )

    def _label(
        self,
        text: str,
        spots: Sequence[Spot],
        size: float,
        colour: str,
        *,
        bold: bool = False,
        italic: bool = False,
        anchor: Point | None = None,
    ) -> bool:
        put = self.places.put(text, size, spots, bold=bold, anchor=anchor)
        if put is None:
            return False
        self.labels.append(_Label(text, put.x, put.y, size, colour, bold, italic, put.leader))
        return True


def _event_words(event: Event) -> list[str]:
    facts = " ".join(f"{name}={value}" for name, value in event.data.items())
    full = shortened(f"{event.kind} {facts}", 34)
    return [full, shortened(event.kind, 24)] if facts else [full]


def _spots_near(x: float, y: float, top: float, bottom: float) -> list[Spot]:
    """Places around a point, the nearest first, at heights between `top` and `bottom`."""
    heights = [y]
    for step in range(1, 20):
        heights += [y - 6 * step, y + 6 * step]
    shifts = (0, -30, 30, -60, 60, -100, 100, -150, 150, -220, 220)
    return [
        (x + shift, height, "center")
        for height in heights
        if top <= height <= bottom
        for shift in shifts
    ]


def _beside(start: Point, end: Point, width: float) -> Iterator[Spot]:
    """Places along an arrow and between its lanes: to its right and left, and above and below one
    that is nearly level.
    """
    (x0, y0), (x1, y1) = start, end
    half, lean = SMALL_SIZE * LINE / 2, abs((x1 - x0) / ((y1 - y0) or 1e-9))
    shares = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78, 0.15, 0.85)
    points = [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in shares]
    rise = width / 2 / max(lean, 1e-9) + half + 2
    between = min(y0, y1) + half, max(y0, y1) - half
    if rise < 26:
        for x, y in points:
            for height in (y - rise, y + rise):
                if between[0] <= height <= between[1]:
                    yield x, height, "center"
    away = lean * half + 5
    for x, y in points:
        yield x + away, y, "left"
        yield x - away, y, "right"


class _Drawing:
    """A plan on axes whose unit is the pixel, y downwards."""

    def __init__(self, axes: Axes, plan: _Plan) -> None:
        self.axes, self.plan, self.view = axes, plan, plan.view

    def draw(self, foot: float) -> None:
        """Everything, with the time axis at height `foot`."""
        for name, y in self.plan.rows.items():
            self.line((self.plan.left, y), (RIGHT, y), FAINT, 1.0, 1)
            ink = self.plan.ink[name]
            self.text(self.plan.left - 12, y, name, _NAME_SIZE, ink, weight="bold", ha="right")
        for span in self.view.spans:
            self.span(span)
        for overlap in self.plan.overlaps:
            self.overlap(overlap)
        for message in self.view.messages:
            self.message(message)
        for event in self.view.events:
            look = {"color": INK, "markeredgecolor": CARD, "markeredgewidth": 1.1}
            self.dot(self.plan.dot(event), "o", 6, 6, **look)
        for label in self.plan.labels:
            self.label(label)
        self.marks()
        self.time_axis(foot)

    def span(self, span: Span) -> None:
        """Pauses and crashes as blocks behind the lane, holds as bars on it, partitions as a dashed
        line below it.
        """
        x0, x1 = self.plan.extent(span)
        y = self.plan.rows[span.node]
        if span.kind == "hold":
            y = self.plan.bar(span.node, span.label)
            ink = self.plan.ink[span.node]
            self.box(x0, x1, y - _BAR, y + _BAR, facecolor=ink, linewidth=0, zorder=3)
            return
        if span.kind == "partition":
            self.line((x0, y + 17), (x1, y + 17), _CUT, 1.6, 2.5, linestyle=(0, (3, 2)))
            return
        face, edge, hatch, _, _ = _BLOCKS[span.kind]
        look: dict[str, Any] = {"facecolor": face, "edgecolor": edge, "hatch": hatch}
        self.box(x0, x1, y - _HALF_BLOCK, y + _HALF_BLOCK, linewidth=0.6, zorder=0.8, **look)
        if span.kind == "crash":
            self.dot((x0, y), "X", 9, 6.5, color=INK, markeredgecolor=CARD)

    def overlap(self, overlap: Overlap) -> None:
        """Red on both lanes, and between them, for as long as both hold the same thing."""
        x0, x1 = self.plan.overlap_extent(overlap)
        nodes = (overlap.first, overlap.second)
        upper, lower = sorted(self.plan.bar(node, overlap.label) for node in nodes)
        look: dict[str, Any] = {"facecolor": DANGER, "linewidth": 0}
        self.box(x0, x1, upper - _BAR, lower + _BAR, alpha=0.09, zorder=0.5, **look)
        hatched: dict[str, Any] = {"facecolor": "none", "hatch": "////", "linewidth": 0}
        hatched["edgecolor"] = "#ffffff66"
        for y in (upper, lower):
            self.box(x0, x1, y - _BAR, y + _BAR, zorder=3.2, **look)
            self.box(x0, x1, y - _BAR, y + _BAR, zorder=3.3, **hatched)

    def message(self, message: Message) -> None:
        """A slanted arrow; lighter for an answer; a lost one ends half-way in a cross."""
        start, end = self.plan.path(message)
        colour, width = _REPLY if message.reply else _REQUEST
        lost = message.arrived is None
        arrow = FancyArrowPatch(
            start,
            end,
            arrowstyle="-" if lost else _HEAD,
            shrinkA=0,
            shrinkB=0,
            color=colour,
            linewidth=width,
            zorder=2.8,
            mutation_scale=1.0,
            capstyle="round",
        )
        self.axes.add_patch(arrow)
        if lost:
            self.dot(end, "x", 6.5, 4, color=DANGER, markeredgewidth=1.9)

    def label(self, label: _Label) -> None:
        """A text on a ground that keeps the grid away from it, and the line to its point."""
        half, width = label.size * 0.7, text_width(label.text, label.size, label.bold)
        if label.colour != "#ffffff":
            x0, x1 = label.x - 1, label.x + width + 1
            y0, y1 = label.y - half, label.y + half
            self.box(x0, x1, y0, y1, facecolor=CARD, alpha=0.82, linewidth=0, zorder=2)
        style = {"weight": "bold" if label.bold else "normal"}
        style |= {"style": "italic" if label.italic else "normal"}
        self.text(label.x, label.y, label.text, label.size, label.colour, **style)
        if label.leader:
            self.line(*label.leader, FAINT, 0.7, 4.5)

    def marks(self) -> None:
        """A dashed line at every marked moment, with its name above the lanes."""
        room = Places(Box(self.plan.left - 20, 0, WIDTH - 6, self.plan.top))
        for name, at in self.view.marks.items():
            x, y = self.plan.scale.x(at), self.plan.top - 10
            look = {"linestyle": (0, (4, 3))}
            self.line((x, self.plan.top - 3), (x, self.plan.bottom), INK, 1.0, 2.6, **look)
            spots = [(x, y, side) for side in ("center", "left", "right")]
            spots += [(x + shift, y, "center") for shift in (-40, 40, -80, 80)]
            if put := room.put(name, TEXT_SIZE, spots, bold=True):
                self.text(put.x, put.y, name, TEXT_SIZE, INK, weight="bold")

    def time_axis(self, y: float) -> None:
        """Ticks at true times; a stretch that was squeezed is dotted and says how long it is."""
        plan, scale = self.plan, self.plan.scale
        self.line((plan.left, y), (RIGHT, y), FAINT, 0.9, 1)
        ticks = Places(Box(plan.left - 20, y, WIDTH - 4, y + 24))
        for instant, label in scale.ticks(room=46):
            x = scale.x(instant)
            self.line((x, y), (x, y + 4), FAINT, 0.9, 1)
            self.line((x, plan.top), (x, y), GRID, 0.8, 0.2)
            ticks.put(label, _NOTE_SIZE, [(x, y + 13, "center")])
            self.text(x, y + 13, label, _NOTE_SIZE, MUTED, ha="center")
        for start, end in scale.quiet:
            a, b = scale.x(start), scale.x(end)
            self.line((a + 3, y), (b - 3, y), CARD, 3, 2)
            self.line((a + 3, y), (b - 3, y), MUTED, 1.3, 2.1, linestyle=(0, (1, 2)))
            later = f"{duration(end - start)} later"
            if put := ticks.put(later, SMALL_SIZE, [((a + b) / 2, y + 13, "center")]):
                self.text(put.x, put.y, later, SMALL_SIZE, MUTED, style="italic")
        for i, line in enumerate(wrapped(self._note(), _NOTE_SIZE, RIGHT - plan.left)[:2]):
            self.text(plan.left, y + 30 + i * _LINE_STEP, line, _NOTE_SIZE, MUTED)

    def _note(self) -> str:
        parts = [self.plan.scale.unit[0]]
        if not self.plan.scale.to_scale:
            parts[0] += " (not to scale: quiet stretches are squeezed)"
        parts += [f"left out: {text}" for text in self.view.left_out]
        if self.plan.unlabelled:
            parts.append(f"{self.plan.unlabelled} labels left out: print(figure) has them")
        return " · ".join(parts)

    def box(self, x0: float, x1: float, y0: float, y1: float, **look: Any) -> None:
        """A rectangle."""
        self.axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **look))

    def line(
        self, start: Point, end: Point, colour: str, width: float, zorder: float, **look: Any
    ) -> None:
        """A straight line."""
        (x0, y0), (x1, y1) = start, end
        look = {"solid_capstyle": "butt", **look}
        self.axes.plot([x0, x1], [y0, y1], color=colour, linewidth=width, zorder=zorder, **look)

    def dot(self, at: Point, marker: str, size: float, zorder: float, **look: Any) -> None:
        """A mark at a point."""
        self.axes.plot([at[0]], [at[1]], marker=marker, markersize=size, zorder=zorder, **look)

    def text(self, x: float, y: float, text: str, size: float, colour: str, **look: Any) -> None:
        """A line of text, its middle at y."""
        look = {"zorder": 7, "ha": "left", **look}
        self.axes.text(x, y, text, fontsize=size, color=colour, va="center_baseline", **look)
