"""Curves over a common x axis, each with its label at its end, a marker and a dash of its own, and,
where given, a band around it.

Curves that run together stay visible: the first is the widest, and each later one lies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.course.figures._axes import Scale, label_ends, numbers, plain_axes, scaled, some
from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._style import (
    CARD,
    DASHES,
    FAINT,
    MARKERS,
    MUTED,
    SMALL_SIZE,
    colour,
    styled,
)
from labkit.course.figures.text import FigureError, columns, said

_FEW_POINTS = 24


def curve(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    alt: str,
    xlabel: str,
    ylabel: str,
    subtitle: str | None = None,
    band: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    marks: Mapping[str, float] | None = None,
    xscale: Scale = "linear",
    yscale: Scale = "linear",
    measured: bool = False,
) -> Figure:
    """Draw `series` (label: y values) over `x`.

    `band`: (low, high) around a series of the same label; `marks`: labelled vertical lines at an x;
    the axis labels name their units. `measured`: the numbers are times of this machine, see
    `Figure`."""
    title, alt, xlabel, ylabel = (
        said("title", title),
        said("alt", alt),
        said("xlabel", xlabel),
        said("ylabel", ylabel),
    )
    bands = band or {}
    some("series", series)
    xs = numbers("x", x)
    lines = {label: _as_long(label, values, xs) for label, values in series.items()}
    if stray := [label for label in bands if label not in lines]:
        raise FigureError(
            f"band must be of series among {', '.join(lines)}, got {', '.join(stray)}"
        )
    edges = {
        label: (_as_long(label, low, xs), _as_long(label, high, xs))
        for label, (low, high) in bands.items()
    }
    with styled():
        sheet, axes = plain_axes(title, subtitle, xlabel, ylabel, lines, above=16 if marks else 0)
        scaled(axes, xscale, yscale)
        for i, (label, ys) in enumerate(lines.items()):
            if label in edges:
                axes.fill_between(xs, *edges[label], color=colour(i), alpha=0.16, linewidth=0)
            look: dict[str, Any] = {"color": colour(i), "linestyle": DASHES[i]}
            look["linewidth"] = 2.0 + 0.7 * (len(lines) - 1 - i)
            if len(xs) <= _FEW_POINTS:
                look |= {"marker": MARKERS[i], "markersize": 5.5 + 0.8 * (len(lines) - 1 - i)}
                look |= {"markeredgecolor": CARD, "markeredgewidth": 0.9}
            axes.plot(xs, ys, clip_on=False, zorder=3 + i / 10, **look)
        axes.margins(x=0.01)
        for text, at in (marks or {}).items():
            axes.axvline(at, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(
                text,
                (at, 1),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=MUTED,
                fontsize=SMALL_SIZE,
                ha="center",
                va="bottom",
                annotation_clip=False,
            )
        label_ends(
            axes,
            [(label, xs[-1], ys[-1], colour(i)) for i, (label, ys) in enumerate(lines.items())],
        )
        return finished(
            sheet, title=title, alt=alt, data=_table(xlabel, xs, lines, edges), measured=measured
        )


def _as_long(label: str, values: Sequence[float], xs: list[float]) -> list[float]:
    found = numbers(f"series {label!r}", values)
    if len(found) != len(xs):
        raise FigureError(f"series {label!r} must have {len(xs)} values like x, got {len(found)}")
    return found


def _table(
    xlabel: str,
    xs: list[float],
    lines: Mapping[str, list[float]],
    edges: Mapping[str, tuple[list[float], list[float]]],
) -> str:
    head, parts = [xlabel], [xs]
    for label, ys in lines.items():
        head.append(label)
        parts.append(ys)
        if label in edges:
            head += [f"{label}, low", f"{label}, high"]
            parts += edges[label]
    return columns(head, list(zip(*parts, strict=True)))
