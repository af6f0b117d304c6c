"""Empirical distributions: which share of the samples is at most x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

from matplotlib.axes import Axes

from labkit.course.figures._axes import Scale, numbers, plain_axes, scaled, some
from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._labels import Box, Places, Point
from labkit.course.figures._style import DASHES, TEXT_SIZE, colour, styled
from labkit.course.figures.text import columns, said

_QUANTILES = (50, 90, 100)


def cdf(
    samples: Mapping[str, Sequence[float]],
    *,
    title: str,
    alt: str,
    xlabel: str,
    ylabel: str = "share of samples, %",
    subtitle: str | None = None,
    xscale: Scale = "linear",
    from_zero: bool = False,
    measured: bool = False,
) -> Figure:
    """Draw the distribution of each of `samples` (label: values); the table has the nearest-rank
    quantiles. `from_zero`: the horizontal axis begins at 0, so that distances are seen as shares of
    the whole.
    """
    title, alt, xlabel, ylabel = (
        said("title", title),
        said("alt", alt),
        said("xlabel", xlabel),
        said("ylabel", ylabel),
    )
    some("samples", samples)
    ordered = {
        label: sorted(numbers(f"samples {label!r}", values)) for label, values in samples.items()
    }
    with styled():
        sheet, axes = plain_axes(title, subtitle, xlabel, ylabel, [""])
        scaled(axes, xscale)
        for i, values in enumerate(ordered.values()):
            shares = [100 * (k + 1) / len(values) for k in range(len(values))]
            look: dict[str, Any] = {"color": colour(i), "linestyle": DASHES[i], "zorder": 3}
            axes.step([values[0], *values], [0.0, *shares], where="post", **look)
        axes.set_ylim(0, 104)
        axes.set_yticks([0, 25, 50, 75, 100])
        axes.margins(x=0.02)
        if from_zero:
            axes.set_xlim(left=0)
        _name_the_lines(axes, ordered)
        rows = [
            (label, len(values), *(_quantile(values, share) for share in _QUANTILES))
            for label, values in ordered.items()
        ]
        data = f"{xlabel}\n" + columns(("", "samples", "p50", "p90", "max"), rows)
        return finished(sheet, title=title, alt=alt, data=data, measured=measured)


def _name_the_lines(axes: Axes, ordered: Mapping[str, list[float]]) -> None:
    """Each label beside its own line, where it lies on none and on no other label."""
    axes.get_xlim(), axes.get_ylim()  # matplotlib fits the axes when it is asked, not before
    left, bottom, right, top = axes.get_window_extent().extents
    places = Places(Box(left + 4, bottom + 4, right, top - 2))
    corners = {label: _corners(axes, values) for label, values in ordered.items()}
    for path in corners.values():
        for start, end in pairwise(path):
            places.take_line(start, end)
    for i, (label, path) in enumerate(corners.items()):
        uprights = [(a, b) for a, b in pairwise(path) if a[0] == b[0]]
        middle = (top + bottom) / 2
        near = sorted(uprights, key=lambda pair: abs((pair[0][1] + pair[1][1]) / 2 - middle))
        points = [(a[0], a[1] + share * (b[1] - a[1])) for a, b in near for share in (0.5, 0, 1)]
        sides = ((8.0, "left"), (-8.0, "right"), (30.0, "left"), (-30.0, "right"))
        spots = [(x + dx, y, side) for dx, side in sides for x, y in points]
        put = places.put(label, TEXT_SIZE, spots, bold=True)
        at = (put.x, put.y) if put else (points[0][0] + 8, points[0][1])
        x, y = axes.transData.inverted().transform(at)
        style: dict[str, Any] = {"fontsize": TEXT_SIZE, "fontweight": "bold", "va": "center"}
        axes.text(x, y, label, color=colour(i), zorder=5, **style)


def _corners(axes: Axes, values: list[float]) -> list[Point]:
    """The steps of a distribution in pixels, y upwards."""
    steps: list[Point] = [(values[0], 0.0)]
    for k, value in enumerate(values):
        steps += [(value, steps[-1][1]), (value, 100 * (k + 1) / len(values))]
    return [(float(x), float(y)) for x, y in axes.transData.transform(steps)]


def _quantile(ordered: list[float], percent: float) -> float:
    return ordered[max(ceil(percent / 100 * len(ordered)), 1) - 1]
