"""Labels that lie on nothing: each is put at the first of its candidate places that is free.

Guarantees: a label that was put meets no rectangle and no line that was taken before it, and no
other label. The order of the calls and of the candidates decides, so the same drawing comes out
every time. Leaves out: the best arrangement. Nothing is moved once it is put."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from labkit.course.figures._style import text_width

Point = tuple[float, float]
Spot = tuple[float, float, str]
"""A place for a label: x, the middle line y, and which part of the text is at x ("left", "center",
"right").
"""
LINE = 1.55
"""The height of a line of text in pixels, for each point of its size."""
_FAR = 20.0  # pixels from which on a label is tied to its point by a thin line
_DOT = 6.0


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def crossed_by(self, start: Point, end: Point) -> bool:
        """Whether the straight line from `start` to `end` passes through (Liang and Barsky)."""
        first, last = 0.0, 1.0
        (x0, y0), (x1, y1) = start, end
        for delta, room in (
            (x0 - x1, x0 - self.left),
            (x1 - x0, self.right - x0),
            (y0 - y1, y0 - self.top),
            (y1 - y0, self.bottom - y0),
        ):
            if delta == 0:
                if room < 0:
                    return False
            elif delta < 0:
                first = max(first, room / delta)
            else:
                last = min(last, room / delta)
        return first <= last


@dataclass(frozen=True)
class Put:
    """Where a label was put: its left edge and middle line, and the line to its point, if any."""

    x: float
    y: float
    leader: tuple[Point, Point] | None = None


@dataclass
class Places:
    """The space inside `bounds`, and what of it is taken."""

    bounds: Box
    taken: list[Box] = field(default_factory=list)
    lines: list[tuple[Point, Point]] = field(default_factory=list)

    def take(self, box: Box) -> None:
        """Reserve a rectangle, free or not."""
        self.taken.append(box)

    def take_line(self, start: Point, end: Point) -> None:
        """Reserve a straight line, free or not."""
        self.lines.append((start, end))

    def free(self, box: Box) -> bool:
        """Whether a rectangle is inside and meets nothing."""
        inside = self.bounds.left <= box.left and box.right <= self.bounds.right
        inside = inside and self.bounds.top <= box.top and box.bottom <= self.bounds.bottom
        if not inside or any(box.meets(other) for other in self.taken):
            return False
        return not any(box.crossed_by(*line) for line in self.lines)

    def put(
        self,
        text: str,
        size: float,
        spots: Iterable[Spot],
        *,
        bold: bool = False,
        anchor: Point | None = None,
    ) -> Put | None:
        """Put `text` at the first free spot, tied by a thin line to its `anchor` when that is far;
        None when no spot is free.
        """
        width, height = text_width(text, size, bold), size * LINE
        for x, y, align in spots:
            left = x - {"left": 0.0, "center": width / 2, "right": width}[align]
            box = Box(left - 2, y - height / 2, left + width + 2, y + height / 2)
            if not self.free(box):
                continue
            leader = _leader(box, anchor) if anchor else None
            if leader and any(other.crossed_by(*leader) for other in self.taken):
                continue
            self.take(box)
            if leader:
                self.take_line(*leader)
            return Put(left, y, leader)
        return None


def _leader(box: Box, anchor: Point) -> tuple[Point, Point] | None:
    """A line from outside the dot at `anchor` straight up or down to the box."""
    x, y = anchor
    middle = (box.top + box.bottom) / 2
    if abs(middle - y) <= _FAR:
        return None
    if middle < y:
        return (x, y - _DOT), (x, box.bottom)
    return (x, y + _DOT), (x, box.top)
