"""The space-time diagram: nodes as lanes, time to the right, messages as slanted lines, trouble as
marked areas.

What to look for: a lost message ends in a cross; a pause is a hatched block; a hold is a bar along
the lane, and where two lanes hold the same thing at once both bars turn red, which is the picture
this course is about. Leaves out: what does not fit (the oldest messages, labels without room); the
note below the axis says so, and the table that `print(figure)` shows has every entry. Follows:
Lamport, "Time, clocks, and the ordering of events in a distributed system", CACM 21(7), 1978."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.course.figures.areas import draw_overlaps, draw_spans
from labkit.course.figures.board import RIGHT, Board
from labkit.course.figures.chronicle import chronicle
from labkit.course.figures.figure import Figure, finished
from labkit.course.figures.style import MARGIN, card, header_height, pixel_axes, styled, text_width
from labkit.course.figures.text import said
from labkit.course.figures.timeline import draw_axis, foot_height
from labkit.course.figures.timescale import TimeScale
from labkit.course.figures.traffic import (
    NAME_SIZE,
    draw_events,
    draw_lanes,
    draw_message_labels,
    draw_messages,
)
from labkit.course.figures.view import view
from labkit.world import History, Run

_PITCH, _NARROW_PITCH = 86.0, 74.0


def spacetime(
    subject: Run | History,
    *,
    title: str,
    alt: str,
    subtitle: str | None = None,
    kinds: Sequence[str] | None = None,
    nodes: Sequence[str] | None = None,
    hide: Sequence[str] = (),
    start: float | None = None,
    end: float | None = None,
) -> Figure:
    """Draw a run or a history.

    `kinds`: the events to show (all); `nodes`: the lanes to show (all but the experimenter's);
    `hide`: the first words of the messages to leave out, with their answers (`["XACK"]`); `start`,
    `end`: the seconds to show (all). A stretch in which nothing happens is squeezed, and the axis
    says so. A run on real servers is a figure of measured times, see `Figure`."""
    title, alt = said("title", title), said("alt", alt)
    shown = view(subject, kinds=kinds, nodes=nodes, hide=hide, start=start, end=end)
    pitch = _PITCH if len(shown.lanes) <= 4 else _NARROW_PITCH
    top, foot = header_height(title, subtitle), foot_height(bool(shown.left_out))
    height = top + pitch * len(shown.lanes) + foot
    left = MARGIN + max(text_width(name, NAME_SIZE, bold=True) for name in shown.lanes) + 16
    rows = {name: top + pitch * (i + 0.5) for i, name in enumerate(shown.lanes)}
    scale = TimeScale(shown.instants(), left + 12, RIGHT - 14)
    with styled():
        sheet = card(title, subtitle, height)
        board = Board(pixel_axes(sheet, height), shown, scale, rows=rows, pitch=pitch, left=left)
        for draw in (
            draw_lanes,
            draw_spans,
            draw_overlaps,
            draw_messages,
            draw_events,
            draw_message_labels,
        ):
            draw(board)
        draw_axis(board, height - foot + 8)
        measured = isinstance(subject, Run) and subject.where == "real"
        return finished(sheet, title=title, alt=alt, data=chronicle(shown), measured=measured)
