"""What a space-time diagram is drawn on: rows and instants as pixels, bars, boxes, and labels that
find their own place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from labkit.course.figures.labels import Box, Places, Spot
from labkit.course.figures.style import (
    CARD,
    FAINT,
    INK,
    MARGIN,
    PALETTE,
    TEXT_SIZE,
    WIDTH,
    text_width,
)
from labkit.course.figures.timescale import TimeScale
from labkit.course.figures.view import View
from labkit.world import Message

BAR = 7.0
"""Half the height of the bar of a hold, in pixels."""
RIGHT = WIDTH - MARGIN
_HOLD_COLOURS = (PALETTE[0], PALETTE[2], PALETTE[4], PALETTE[5])
_FARTHEST = 41.0

Point = tuple[float, float]


class Board:
    """A view on axes whose unit is the pixel, y downwards. What is labelled first gets the better
    place.
    """

    def __init__(
        self,
        axes: Axes,
        view: View,
        scale: TimeScale,
        *,
        rows: Mapping[str, float],
        pitch: float,
        left: float,
    ) -> None:
        self.axes, self.view, self.scale, self.rows, self.left = axes, view, scale, rows, left
        self.reach = min(pitch / 2 - 2, _FARTHEST)
        self.top, self.bottom = min(rows.values()) - self.reach, max(rows.values()) + self.reach
        self.places = Places(Box(left, self.top, RIGHT + 8, self.bottom))
        self.unlabelled = 0
        self._held = list(dict.fromkeys(span.label for span in view.spans if span.kind == "hold"))

    def hold_colour(self, label: str) -> str:
        """The colour in which holds of `label` are drawn."""
        return _HOLD_COLOURS[self._held.index(label) % len(_HOLD_COLOURS)]

    def bar(self, node: str, label: str) -> float:
        """The middle line of the bar on which `node` holds `label`; a node that holds several
        things has a bar for each.
        """
        slots = sorted(
            {
                self._held.index(s.label)
                for s in self.view.spans
                if s.kind == "hold" and s.node == node
            }
        )
        here = slots.index(self._held.index(label))
        return self.rows[node] + (here - (len(slots) - 1) / 2) * (2 * BAR + 2)

    def path(self, message: Message) -> tuple[Point, Point]:
        """From where to where a message goes; a lost one goes half-way."""
        x0, y0, y1 = self.scale.x(message.sent), self.rows[message.src], self.rows[message.dst]
        if message.arrived is None:
            return (x0, y0), (x0 + 14, (y0 + y1) / 2)
        return (x0, y0), (self.scale.x(message.arrived), y1)

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

    def text(
        self, x: float, y: float, text: str, *, size: float, colour: str = INK, **look: Any
    ) -> None:
        """A line of text, its middle at y."""
        look = {"zorder": 7, "ha": "left", **look}
        self.axes.text(x, y, text, fontsize=size, color=colour, va="center_baseline", **look)

    def label(
        self, text: str, spots: Sequence[Spot], *, colour: str = INK, size: float = TEXT_SIZE,
        bold: bool = False, style: str = "normal", anchor: Point | None = None,
    ) -> bool:  # fmt: skip
        """Text at the first free one of `spots`, with a thin line to its `anchor` when that is far;
        False when none is free.
        """
        spot = self.places.put(text, size, spots, bold)
        if spot is None:
            return False
        x, y = spot
        half = size * 0.7
        self.box(
            x - 1,
            x + text_width(text, size, bold) + 1,
            y - half,
            y + half,
            facecolor=CARD,
            alpha=0.82,
            linewidth=0,
            zorder=5,
        )
        self.text(
            x, y, text, size=size, colour=colour, weight="bold" if bold else "normal", style=style
        )
        if anchor and abs(y - anchor[1]) > 20:
            near = y + 6 if y < anchor[1] else y - 6
            self.line(anchor, (anchor[0], near), FAINT, 0.7, 4.5)
        return True
