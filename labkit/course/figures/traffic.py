"""Points and lines in a space-time diagram: lanes, messages and events, with their words where
there is room.
"""

from __future__ import annotations

from matplotlib.patches import FancyArrowPatch

from labkit.course.figures.board import RIGHT, Board
from labkit.course.figures.labels import Box
from labkit.course.figures.style import CARD, DANGER, FAINT, INK, MUTED, SMALL_SIZE, WIDTH
from labkit.course.figures.text import shortened
from labkit.world import Event

_REQUEST, _REPLY = ("#55616c", 1.15), ("#a9b3bb", 0.9)
_HEAD = "-|>,head_length=3.6,head_width=1.9"
_CROWD = 30  # with more messages than this, the words of answers are left to the table
_ABOVE_AND_BELOW = (-18.0, 18.0, -30.0, 30.0)
NAME_SIZE = 9.5


def draw_lanes(board: Board) -> None:
    """A line and a name for every node."""
    for name, y in board.rows.items():
        board.line((board.left, y), (RIGHT, y), FAINT, 1.0, 1)
        board.text(board.left - 12, y, name, size=NAME_SIZE, weight="bold", ha="right")
        board.places.take(Box(board.left, y - 3, WIDTH, y + 3))


def draw_messages(board: Board) -> None:
    """A slanted arrow each; answers lighter; a lost one ends half-way in a cross."""
    for message in board.view.messages:
        start, end = board.path(message)
        colour, width = _REPLY if message.reply else _REQUEST
        lost = message.arrived is None
        arrow = FancyArrowPatch(
            start, end, arrowstyle="-" if lost else _HEAD, shrinkA=0, shrinkB=0, color=colour, linewidth=width, zorder=2.8,
            mutation_scale=1.0, capstyle="round",
        )  # fmt: skip
        board.axes.add_patch(arrow)
        if lost:
            board.dot(end, "x", 6.5, 4, color=DANGER, markeredgewidth=1.9)


def draw_events(board: Board) -> None:
    """A dot each, with a label above or below the lane where there is room; the board counts those
    without.
    """
    dots = [(event, board.scale.x(event.at), board.rows[event.node]) for event in board.view.events]
    for _, x, y in dots:
        board.places.take(Box(x - 4, y - 4, x + 4, y + 4))
    for event, x, y in dots:
        board.dot((x, y), "o", 6, 6, color=INK, markeredgecolor=CARD, markeredgewidth=1.1)
        anchors = ((x - 4, "left"), (x, "center"), (x + 4, "right"))
        spots = [(at, y + dy, align) for dy in _ABOVE_AND_BELOW for at, align in anchors]
        if not any(board.label(text, spots, anchor=(x, y)) for text in _words(event)):
            board.unlabelled += 1


def draw_message_labels(board: Board) -> None:
    """The words of the messages, where there is still room; they are in the table in any case."""
    messages = board.view.messages
    asked = {message.label for message in messages if not message.reply}
    for message in sorted(messages, key=lambda message: message.reply):
        said_already = message.reply and (len(messages) > _CROWD or message.label in asked)
        if message.label and not said_already:
            (x0, y0), (x1, y1) = board.path(message)
            spots = [
                (x0 + share * (x1 - x0) + shift, y0 + share * (y1 - y0), align)
                for shift, align in ((5, "left"), (-5, "right"))
                for share in (0.5, 0.34, 0.66, 0.2, 0.8)
            ]
            style = "italic" if message.reply else "normal"
            board.label(
                shortened(message.label, 24), spots, colour=MUTED, size=SMALL_SIZE, style=style
            )


def _words(event: Event) -> list[str]:
    facts = " ".join(f"{name}={value}" for name, value in event.data.items())
    full = shortened(f"{event.kind} {facts}", 34)
    return [full, shortened(event.kind, 24)] if facts else [full]
