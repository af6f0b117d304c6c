"""Figures as text: the same data in columns, for screen readers, for diffs and for strict nbval."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real


class FigureError(ValueError):
    """A figure was asked for with data it cannot show: names the argument, its value, and what is
    allowed.
    """


def number(value: object) -> str:
    """A number in at most four significant digits, anything else as `str`: the same on every
    machine.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    if isinstance(value, Integral):
        return str(int(value))
    text = f"{float(value):.4g}"
    return "0" if text == "-0" else text


def columns(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under a head, the columns aligned: numbers to the right, words to the left."""
    cells = [[number(cell) for cell in row] for row in rows]
    right = [
        bool(rows) and all(isinstance(row[i], Real) or row[i] in ("", "-") for row in rows)
        for i in range(len(head))
    ]
    widths = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]
    lines = []
    for line in [list(head), *cells]:
        parts = [
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def said(name: str, value: str) -> str:
    """`value` if it says something; every figure needs its `title` and its `alt`."""
    if not isinstance(value, str) or not value.strip():
        raise FigureError(f"{name} must be a sentence, got {value!r}")
    return one_line(value)


def one_line(text: str) -> str:
    """`text` on one line, without characters that cannot be shown."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, on one line."""
    text = one_line(text)
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def duration(seconds: float) -> str:
    """A length of time in two or three digits: "3 s", "1.5 s", "40 ms"."""
    number, unit = (seconds, "s") if seconds >= 0.9995 else (seconds * 1000, "ms")
    return f"{float(f'{number:.3g}'):.10g} {unit}"
