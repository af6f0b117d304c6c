"""What the plain figures share: axes on a card, labels at the lines instead of a legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from labkit.course.figures._style import (
    MARGIN,
    TEXT_SIZE,
    WIDTH,
    axes_on,
    card,
    header_height,
    text_width,
)
from labkit.course.figures.text import FigureError, number

Scale = Literal["linear", "log"]
HEIGHT = 344.0
_LINE = 15.0


def plain_axes(
    title: str,
    subtitle: str | None,
    xlabel: str,
    ylabel: str,
    labels: Iterable[str],
    *,
    above: float = 0.0,
) -> tuple[Sheet, Axes]:
    """A card of the usual height with one pair of axes, room to their right for the labels of the
    lines, and `above` pixels over them for marks.
    """
    top = header_height(title, subtitle) + above
    right = MARGIN + max(text_width(label, TEXT_SIZE, bold=True) for label in labels) + 10
    sheet = card(title, subtitle, HEIGHT + top - 52)
    height = HEIGHT + top - 52
    axes = axes_on(
        sheet, height, left=MARGIN + 52, right=min(right, WIDTH / 3), top=top + 8, bottom=60
    )
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(xlabel, loc="left", labelpad=6)
    axes.set_ylabel(ylabel, labelpad=8)
    return sheet, axes


def scaled(axes: Axes, x: Scale, y: Scale = "linear") -> None:
    """Give both axes their scales; a logarithmic one is labelled in plain numbers, 1, 2 and 5 of
    each decade.
    """
    for name, scale, axis, apply in (
        ("xscale", x, axes.xaxis, axes.set_xscale),
        ("yscale", y, axes.yaxis, axes.set_yscale),
    ):
        if scale not in ("linear", "log"):
            raise FigureError(f"{name} must be 'linear' or 'log', got {scale!r}")
        if scale == "log":
            apply("log")
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
            axis.set_minor_formatter(NullFormatter())


def label_ends(axes: Axes, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Write each (label, x, y, colour) to the right of its point, moved up or down where they would
    touch.
    """
    (
        axes.get_xlim(),
        axes.get_ylim(),
    )  # matplotlib fits the axes to the data when it is asked, not before
    place = axes.transData
    points = sorted(
        (
            (float(place.transform((x, y))[1]), float(place.transform((x, y))[0]), label, ink)
            for label, x, y, ink in ends
        )
    )
    heights = [y for y, _, _, _ in points]
    for _ in range(100):
        for i in range(1, len(heights)):
            gap = heights[i] - heights[i - 1]
            if gap < _LINE - 0.01:
                heights[i] += (_LINE - gap) / 2
                heights[i - 1] -= (_LINE - gap) / 2
    for height, (_, x, label, ink) in zip(heights, points, strict=True):
        at = axes.transData.inverted().transform((x + 10, height))
        axes.text(
            at[0], at[1], label, color=ink, fontweight="bold", va="center", ha="left", clip_on=False
        )


def numbers(name: str, values: Iterable[float]) -> list[float]:
    """`values` as floats; at least one, all finite."""
    found = [float(value) for value in values]
    if not found or not all(isfinite(value) for value in found):
        raise FigureError(f"{name} must be one or more finite numbers, got {found!r}")
    return found


def some(name: str, series: Mapping[str, object]) -> None:
    """Refuse a figure without a series, or with more than the palette can tell apart."""
    if not 1 <= len(series) <= 6:
        raise FigureError(f"{name} must have 1 to 6 entries, got {len(series)}")
