"""The foot of a space-time diagram: ticks at true times, the stretches that were squeezed, and what
was left out.
"""

from __future__ import annotations

from labkit.course.figures.board import RIGHT, Board
from labkit.course.figures.labels import Box, Places
from labkit.course.figures.style import CARD, FAINT, GRID, MUTED, SMALL_SIZE, WIDTH, wrapped
from labkit.course.figures.timescale import duration

_SIZE = SMALL_SIZE + 0.4
_LINE = 14.0


def foot_height(left_out: bool) -> float:
    """The pixels that `draw_axis` needs below the lanes."""
    return 56.0 + (_LINE if left_out else 0.0)


def draw_axis(board: Board, y: float) -> None:
    """The axis at height `y`; a stretch that was squeezed is dotted and says how long it is."""
    scale = board.scale
    board.line((board.left, y), (RIGHT, y), FAINT, 0.9, 1)
    ticks = Places(Box(board.left - 20, y, WIDTH - 4, y + 24))
    for instant, label in scale.ticks(room=46):
        x = scale.x(instant)
        board.line((x, y), (x, y + 4), FAINT, 0.9, 1)
        board.line((x, board.top), (x, y), GRID, 0.8, 0.2)
        ticks.put(label, _SIZE, [(x, y + 13, "center")])
        board.text(x, y + 13, label, size=_SIZE, colour=MUTED, ha="center")
    for start, end in scale.quiet:
        a, b = scale.x(start), scale.x(end)
        board.line((a + 3, y), (b - 3, y), CARD, 3, 2)
        board.line((a + 3, y), (b - 3, y), MUTED, 1.3, 2.1, linestyle=(0, (1, 2)))
        later = f"{duration(end - start)} later"
        if spot := ticks.put(later, SMALL_SIZE, [((a + b) / 2, y + 13, "center")]):
            board.text(*spot, later, size=SMALL_SIZE, colour=MUTED, style="italic")
    for i, line in enumerate(wrapped(_note(board), _SIZE, RIGHT - board.left)[:2]):
        board.text(board.left, y + 30 + i * _LINE, line, size=_SIZE, colour=MUTED)


def _note(board: Board) -> str:
    parts = [
        board.scale.unit[0]
        + ("" if board.scale.to_scale else " (not to scale: quiet stretches are squeezed)")
    ]
    parts += [f"left out: {text}" for text in board.view.left_out]
    if board.unlabelled:
        parts.append(f"{board.unlabelled} labels left out: print(figure) has them")
    return " · ".join(parts)
