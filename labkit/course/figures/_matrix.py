"""A matrix with labels: what each way of doing it (rows) does to each thing we care about
(columns).

Colour never speaks alone: a good, bad or doubtful cell also carries a sign, and a cell of a heat
map its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.patches import FancyBboxPatch

from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._style import (
    CARD,
    INK,
    MARGIN,
    MUTED,
    TEXT_SIZE,
    WIDTH,
    card,
    header_height,
    pixel_axes,
    styled,
    text_width,
    wrapped,
)
from labkit.course.figures.text import FigureError, columns, number, said

Tone = Literal["good", "bad", "doubtful", "plain"]
_LOOK: dict[Tone, tuple[str, str, str]] = {
    "good": ("#d5ecdf", "#0b5a3c", "✓ "),
    "bad": ("#f7d7cd", "#8f2108", "✗ "),
    "doubtful": ("#f6e7c1", "#6b4a00", "? "),
    "plain": ("#ecebe4", INK, ""),
}
_ROW, _HEAD_LINE, _GAP = 44.0, 14.0, 4.0


def matrix(
    rows: Sequence[str],
    cols: Sequence[str],
    cells: Sequence[Sequence[object]],
    *,
    title: str,
    alt: str,
    subtitle: str | None = None,
    tones: Sequence[Sequence[Tone]] | None = None,
    corner: str = "",
) -> Figure:
    """Draw `cells` (a list for every row).

    `tones` marks each cell good, bad, doubtful or plain; without it, a matrix of numbers is shaded
    from its least to its greatest, and a matrix with words in it is plain. `corner` names what the
    rows are."""
    title, alt = said("title", title), said("alt", alt)
    _rectangular("cells", cells, rows, cols)
    looks = _looks(cells, tones, rows, cols)
    left = MARGIN + max(text_width(name, TEXT_SIZE, bold=True) for name in (*rows, corner)) + 14
    step = min((WIDTH - MARGIN - left) / len(cols), 190.0)
    heads = [wrapped(name, TEXT_SIZE, step - 8) for name in cols]
    top = header_height(title, subtitle) + _HEAD_LINE * max(map(len, heads)) + 8
    height = top + _ROW * len(rows) + 22
    with styled():
        sheet = card(title, subtitle, height)
        axes = pixel_axes(sheet, height)
        base = top - 8
        axes.text(MARGIN, base, corner, color=MUTED, va="baseline")
        for j, lines in enumerate(heads):
            for k, line in enumerate(reversed(lines)):
                axes.text(
                    left + (j + 0.5) * step,
                    base - k * _HEAD_LINE,
                    line,
                    color=MUTED,
                    ha="center",
                    va="baseline",
                )
        for i, name in enumerate(rows):
            y = top + i * _ROW
            axes.text(
                MARGIN, y + _ROW / 2, name, color=INK, fontweight="bold", va="center_baseline"
            )
            for j in range(len(cols)):
                face, ink, sign = looks[i][j]
                axes.add_patch(
                    FancyBboxPatch(
                        (left + j * step + _GAP / 2, y + _GAP / 2),
                        step - _GAP,
                        _ROW - _GAP,
                        boxstyle="round,pad=0,rounding_size=5",
                        facecolor=face,
                        edgecolor=CARD,
                        linewidth=0,
                    )
                )
                axes.text(
                    left + (j + 0.5) * step,
                    y + _ROW / 2,
                    sign + number(cells[i][j]),
                    color=ink,
                    fontsize=10,
                    ha="center",
                    va="center_baseline",
                )
        table = [
            (
                name,
                *(
                    f"{look[2]}{number(cell)}"
                    for look, cell in zip(looks[i], cells[i], strict=True)
                ),
            )
            for i, name in enumerate(rows)
        ]
        return finished(sheet, title=title, alt=alt, data=columns((corner, *cols), table))


def _rectangular(
    name: str, cells: Sequence[Sequence[object]], rows: Sequence[str], cols: Sequence[str]
) -> None:
    shape = [len(line) for line in cells]
    if not rows or not cols or shape != [len(cols)] * len(rows):
        raise FigureError(
            f"{name} must be {len(rows)} rows of {len(cols)} (at least one of each), "
            f"got rows of {shape}"
        )


def _looks(
    cells: Sequence[Sequence[object]],
    tones: Sequence[Sequence[Tone]] | None,
    rows: Sequence[str],
    cols: Sequence[str],
) -> list[list[tuple[str, str, str]]]:
    if tones is not None:
        _rectangular("tones", tones, rows, cols)
        if wrong := [tone for line in tones for tone in line if tone not in _LOOK]:
            raise FigureError(f"tones must be among {', '.join(_LOOK)}, got {wrong[0]!r}")
        return [[_LOOK[tone] for tone in line] for line in tones]
    flat = [cell for line in cells for cell in line]
    values = [
        float(cell) for cell in flat if isinstance(cell, int | float) and not isinstance(cell, bool)
    ]
    if len(values) < len(flat):
        return [[_LOOK["plain"]] * len(cols) for _ in rows]
    low, high = min(values), max(values)
    shades = [_shade((value - low) / (high - low) if high > low else 0.0) for value in values]
    return [shades[i * len(cols) : (i + 1) * len(cols)] for i in range(len(rows))]


def _shade(share: float) -> tuple[str, str, str]:
    pale, deep = (0xE6, 0xEE, 0xF4), (0x00, 0x5A, 0x8F)
    mixed = [round(a + share * (b - a)) for a, b in zip(pale, deep, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed), "white" if share > 0.5 else INK, ""
