"""Stretches of time in a space-time diagram: pauses, blocked loops, crashes, partitions, holds, and
holds that overlap.
"""

from __future__ import annotations

from labkit.course.figures.board import BAR, RIGHT, Board
from labkit.course.figures.labels import Box
from labkit.course.figures.style import CARD, DANGER, INK, MUTED, SMALL_SIZE, text_width
from labkit.course.figures.timescale import duration
from labkit.world import Span

_CUT, _BLOCKED = "#96407a", "#9c4500"
_HALF_BLOCK = 24.0
_BLOCKS = {
    "pause": ("#e9e6dc", "#b9b4a3", "\\\\\\", "paused", MUTED),
    "blocked": ("#fbe3cf", "#dd9a5e", "\\\\\\", "event loop blocked", _BLOCKED),
    "crash": ("#d9dcdf", "#8d969d", "", "down", MUTED),
}


def draw_spans(board: Board) -> None:
    """Pauses and crashes as blocks behind the lane, holds as bars on it, partitions as a dashed
    line below it.
    """
    for span in board.view.spans:
        x0 = board.scale.x(max(span.start, board.view.start))
        x1 = RIGHT if span.end is None else board.scale.x(board.view.span_end(span))
        if span.kind == "hold":
            _hold(board, span, x0, max(x1, x0 + 3))
        elif span.kind == "partition":
            y = board.rows[span.node]
            board.line((x0, y + 17), (x1, y + 17), _CUT, 1.6, 2.5, linestyle=(0, (3, 2)))
            _note(
                board,
                f"cut off from {span.label}" if span.label else "cut off",
                x0,
                x1,
                y,
                (27, -27),
                _CUT,
            )
        else:
            _block(board, span, x0, x1)


def draw_overlaps(board: Board) -> None:
    """Red on both lanes, and between them, for as long as both hold the same thing."""
    for overlap in board.view.overlaps():
        x0, x1 = (
            board.scale.x(overlap.start),
            max(board.scale.x(overlap.end), board.scale.x(overlap.start) + 3),
        )
        upper, lower = sorted(
            board.bar(node, overlap.label) for node in (overlap.first, overlap.second)
        )
        board.box(
            x0, x1, upper - BAR, lower + BAR, facecolor=DANGER, alpha=0.09, zorder=0.5, linewidth=0
        )
        for y in (upper, lower):
            board.box(x0, x1, y - BAR, y + BAR, facecolor=DANGER, linewidth=0, zorder=3.2)
            look = {
                "facecolor": "none",
                "edgecolor": "#ffffff66",
                "hatch": "////",
                "linewidth": 0,
                "zorder": 3.3,
            }
            board.box(x0, x1, y - BAR, y + BAR, **look)
        middle, centre = (upper + lower) / 2, (x0 + x1) / 2
        heights = (middle, middle - 15, middle + 15, upper + 20, lower - 20)
        spots = [(centre, y, align) for y in heights for align in ("center", "left", "right")]
        text = (
            f"both believe they hold {overlap.label}, for {duration(overlap.end - overlap.start)}"
        )
        board.label(text, spots, colour=DANGER, bold=True)


def _hold(board: Board, span: Span, x0: float, x1: float) -> None:
    y = board.bar(span.node, span.label)
    board.box(
        x0, x1, y - BAR, y + BAR, facecolor=board.hold_colour(span.label), linewidth=0, zorder=3
    )
    board.places.take(Box(x0, y - BAR - 1, x1, y + BAR + 1))
    red = [
        board.scale.x(o.start) for o in board.view.overlaps() if span.node in (o.first, o.second)
    ]
    room = min([x1, *(start for start in red if start > x0)]) - x0
    text = f"holds {span.label}".rstrip()
    if text_width(text, SMALL_SIZE) < room - 16:
        board.text(x0 + 9, y, text, size=SMALL_SIZE, colour="white")


def _block(board: Board, span: Span, x0: float, x1: float) -> None:
    y = board.rows[span.node]
    face, edge, hatch, words, ink = _BLOCKS[span.kind]
    look = {"facecolor": face, "edgecolor": edge, "hatch": hatch, "linewidth": 0.6, "zorder": 0.8}
    board.box(x0, x1, y - _HALF_BLOCK, y + _HALF_BLOCK, **look)
    if span.kind == "crash":
        board.dot((x0, y), "X", 9, 6.5, color=INK, markeredgecolor=CARD)
        board.places.take(Box(x0 - 6, y - 6, x0 + 6, y + 6))
    text = words if span.end is None else f"{words} {duration(span.end - span.start)}"
    _note(board, text, x0, x1, y, (-16, 16, -31, 31), ink)


def _note(
    board: Board, text: str, x0: float, x1: float, y: float, offsets: tuple[float, ...], colour: str
) -> None:
    anchors = (((x0 + x1) / 2, "center"), (x0, "left"), (x1, "right"))
    board.label(
        text,
        [(x, y + dy, align) for dy in offsets for x, align in anchors],
        colour=colour,
        size=SMALL_SIZE + 0.4,
    )
