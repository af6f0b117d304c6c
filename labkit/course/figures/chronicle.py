"""A space-time diagram in words: everything it shows, in order of time."""

from __future__ import annotations

from labkit.course.figures.text import columns, one_line
from labkit.course.figures.timescale import duration
from labkit.course.figures.view import View
from labkit.world import Span

MOST_ROWS = 120


def chronicle(view: View) -> str:
    """The entries of a view as a table of at most `MOST_ROWS` rows."""
    rows: list[tuple[float, int, str, str]] = []
    for event in view.events:
        facts = "".join(f"  {name}={one_line(str(value))}" for name, value in event.data.items())
        rows.append((event.at, event.seq, event.node, event.kind + facts))
    for message in view.messages:
        end = "lost" if message.arrived is None else f"arrives {message.arrived:.4f}"
        what = "answers" if message.reply else "sends"
        rows.append(
            (
                message.sent,
                message.seq,
                message.src,
                f"{what} {message.dst}: {one_line(message.label) or 'a message'} ({end})",
            )
        )
    for span in view.spans:
        rows.append((span.start, span.seq, span.node, _span(span, view)))
    for overlap in view.overlaps():
        text = (
            f"both believe they hold {overlap.label}, for {duration(overlap.end - overlap.start)}"
        )
        rows.append((overlap.start, 1 << 60, f"{overlap.first}+{overlap.second}", text))
    rows.sort(key=lambda row: row[:2])
    lines = columns(
        ("  seconds", "node", "what"),
        [(f"{at:.4f}".rjust(9), node, what) for at, _, node, what in rows[:MOST_ROWS]],
    )
    notes = [f"… and {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else []
    notes += [f"left out: {text}" for text in view.left_out]
    return "\n".join([lines, *notes])


def _span(span: Span, view: View) -> str:
    words = {
        "pause": "paused",
        "blocked": "event loop blocked",
        "crash": "down",
        "partition": f"cut off from {span.label or 'the others'}",
        "hold": f"holds {span.label or 'the lock'}",
    }
    if span.end is None:
        return f"{words[span.kind]} to the end"
    return f"{words[span.kind]} until {span.end:.4f} ({duration(span.end - span.start)})"
