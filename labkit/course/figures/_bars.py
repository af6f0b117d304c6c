"""Ratios as horizontal bars, with a line at 1: what the others are compared with."""

from __future__ import annotations

from collections.abc import Mapping

from labkit.course.figures._axes import numbers
from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._style import (
    FAINT,
    INK,
    MARGIN,
    MUTED,
    PALETTE,
    TEXT_SIZE,
    WIDTH,
    axes_on,
    card,
    header_height,
    styled,
    text_width,
)
from labkit.course.figures.text import FigureError, columns, number, said

_ROW, _BOTTOM, _MOST = 32.0, 58.0, 16


def bars(
    ratios: Mapping[str, float],
    *,
    title: str,
    alt: str,
    xlabel: str,
    subtitle: str | None = None,
    reference: str = "",
    highlight: str | None = None,
    measured: bool = False,
) -> Figure:
    """Draw `ratios` (label: ratio, 0 or more) from top to bottom.

    `reference` says what 1 stands for; `highlight` is the label of the one bar to look at.
    `measured`: see `Figure`."""
    title, alt, xlabel = said("title", title), said("alt", alt), said("xlabel", xlabel)
    values = numbers("ratios", ratios.values())
    if min(values) < 0 or len(values) > _MOST:
        raise FigureError(
            f"ratios must be 1 to {_MOST} numbers of at least 0, got {dict(ratios)!r}"
        )
    if highlight is not None and highlight not in ratios:
        raise FigureError(f"highlight must be one of {', '.join(ratios)}, got {highlight!r}")
    top = header_height(title, subtitle) + (18 if reference else 4)
    height = top + _ROW * len(values) + _BOTTOM
    left = MARGIN + max(text_width(label, TEXT_SIZE, bold=True) for label in ratios) + 12
    with styled():
        sheet = card(title, subtitle, height)
        axes = axes_on(
            sheet, height, left=min(left, WIDTH / 2), right=MARGIN + 34, top=top, bottom=_BOTTOM
        )
        rows = range(len(values))
        inks = [PALETTE[0] if highlight in (None, label) else "#a9b4bd" for label in ratios]
        axes.barh(rows, values, height=0.62, color=inks, zorder=2)
        axes.axvline(1.0, color=INK, linewidth=1.1, linestyle=(0, (4, 3)), zorder=3)
        if reference:
            axes.annotate(
                reference,
                (1.0, 1.0),
                (0, 4),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=MUTED,
                ha="center",
                va="bottom",
                annotation_clip=False,
            )
        for row, value, label in zip(rows, values, ratios, strict=True):
            weight = "bold" if highlight == label else "normal"
            axes.annotate(
                f"{number(round(value, 2))}×",
                (value, row),
                (5, 0),
                textcoords="offset points",
                va="center",
                color=INK,
                fontweight=weight,
                annotation_clip=False,
                zorder=4,
                bbox={"facecolor": "#fbfaf6", "alpha": 0.85, "linewidth": 0, "pad": 0.8},
            )
        axes.set_yticks(rows, list(ratios), fontsize=TEXT_SIZE, color=INK)
        axes.set_ylim(len(values) - 0.45, -0.55)
        axes.set_xlim(0, max(*values, 1.0) * 1.04)
        axes.grid(axis="x")
        axes.spines["left"].set_color(FAINT)
        axes.set_xlabel(xlabel, loc="left", labelpad=6)
        return finished(
            sheet,
            title=title,
            alt=alt,
            data=columns(("", xlabel), list(ratios.items())),
            measured=measured,
        )
