"""Stacked areas over time: parts of one whole, each the height of its band, and stretches in which
something was down.

A part keeps its value from one instant to the next, so the bands have steps: stock, held units and
queues change at instants. Where the upper edge of the stack is level, nothing was lost and nothing
came from nowhere; that edge is drawn. Leaves out: parts below zero, which have no place in a stack;
and in the table, when there are many instants, some of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from labkit.course.figures._axes import HEIGHT, label_ends, numbers, some
from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._style import (
    CARD,
    DANGER,
    INK,
    MARGIN,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    axes_on,
    card,
    colour,
    header_height,
    styled,
    text_width,
)
from labkit.course.figures.text import FigureError, columns, number, said

_ROWS = 24
_HATCHES = ("", "///", "...", "\\\\\\", "xx", "--")
_STRIP, _HALF_BAR, _FOOT = 17.0, 3.0, 60.0


def stacked(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    alt: str,
    xlabel: str,
    ylabel: str,
    subtitle: str | None = None,
    spans: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """Draw `series` (label: values of at least 0), one on the other from the bottom up, over the
    ascending instants `x`.

    A value holds from its instant to the next. `spans`: label and its (start, end) stretches of x,
    drawn as a strip above the stack. The axis labels name their units."""
    title, alt, xlabel, ylabel = (
        said("title", title),
        said("alt", alt),
        said("xlabel", xlabel),
        said("ylabel", ylabel),
    )
    some("series", series)
    xs = numbers("x", x)
    if len(xs) < 2 or any(later < earlier for earlier, later in pairwise(xs)):
        raise FigureError(f"x must be 2 or more instants in ascending order, got {xs!r}")
    parts = {label: _part(label, values, xs) for label, values in series.items()}
    strips = {label: _stretches(label, stretches) for label, stretches in (spans or {}).items()}
    above = _STRIP * len(strips)
    right = (
        MARGIN + max(text_width(label, TEXT_SIZE, bold=True) for label in (*parts, *strips)) + 10
    )
    with styled():
        height = HEIGHT + header_height(title, subtitle) - 52 + above
        sheet = card(title, subtitle, height)
        top = header_height(title, subtitle) + 8 + above
        axes = axes_on(
            sheet, height, left=MARGIN + 52, right=min(right, WIDTH / 3), top=top, bottom=_FOOT
        )
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(xlabel, loc="left", labelpad=6)
        axes.set_ylabel(ylabel, labelpad=8)
        label_ends(axes, _bands(axes, xs, parts))
        for i, (label, stretches) in enumerate(strips.items()):
            _strip(axes, label, stretches, above - _STRIP * (i + 0.5), height - top - _FOOT)
        return finished(sheet, title=title, alt=alt, data=_table(xlabel, xs, parts, strips))


def _part(label: str, values: Sequence[float], xs: list[float]) -> list[float]:
    found = numbers(f"series {label!r}", values)
    if len(found) != len(xs) or min(found) < 0:
        raise FigureError(
            f"series {label!r} must have {len(xs)} values of at least 0 like x, got {found!r}"
        )
    return found


def _stretches(label: str, stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    found = [(float(start), float(end)) for start, end in stretches]
    if not found or any(end < start for start, end in found):
        raise FigureError(
            f"span {label!r} must be one or more (start, end) with start at most end, "
            f"got {list(stretches)!r}"
        )
    return found


def _bands(
    axes: Axes, xs: list[float], parts: Mapping[str, list[float]]
) -> list[tuple[str, float, float, str]]:
    """Draw the bands; returns where the label of each belongs: at the middle of its last height."""
    lower, ends = [0.0] * len(xs), []
    for i, (label, heights) in enumerate(parts.items()):
        upper = [below + height for below, height in zip(lower, heights, strict=True)]
        axes.fill_between(
            xs,
            lower,
            upper,
            step="post",
            facecolor=_shade(colour(i)),
            edgecolor=colour(i),
            hatch=_HATCHES[i],
            linewidth=0,
            zorder=2,
        )
        axes.step(xs, upper, where="post", color=CARD, linewidth=0.9, zorder=3)
        ends.append((label, xs[-1], (lower[-1] + upper[-1]) / 2, colour(i)))
        lower = upper
    axes.step(xs, lower, where="post", color=INK, linewidth=1.3, zorder=4, clip_on=False)
    axes.set_xlim(xs[0], xs[-1])
    axes.set_ylim(0, max(*lower, 1.0) * 1.02)
    return ends


def _shade(ink: str) -> str:
    """The paler colour of a band, on which its hatch can be seen."""
    parts = [int(ink[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + 0.42 * (255 - part)):02x}" for part in parts)


def _strip(
    axes: Axes, label: str, stretches: list[tuple[float, float]], above: float, height: float
) -> None:
    """A bar for each stretch, `above` pixels over the top of axes that are `height` pixels high."""
    low, high = axes.get_xlim()
    bottom, top = (1 + (above + half) / height for half in (-_HALF_BAR, _HALF_BAR))
    for start, end in stretches:
        left, right = ((min(max(x, low), high) - low) / (high - low) for x in (start, end))
        axes.fill_between(
            [left, max(right, left + 0.004)],
            bottom,
            top,
            color=DANGER,
            alpha=0.75,
            linewidth=0,
            transform=axes.transAxes,
            clip_on=False,
            zorder=5,
        )
    axes.annotate(
        label,
        (1, (bottom + top) / 2),
        (10, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        color=DANGER,
        fontsize=SMALL_SIZE,
        va="center",
        annotation_clip=False,
    )


def _table(
    xlabel: str,
    xs: list[float],
    parts: Mapping[str, list[float]],
    strips: Mapping[str, list[tuple[float, float]]],
) -> str:
    rows = list(zip(xs, *parts.values(), strict=True))
    shown = (
        rows
        if len(rows) <= _ROWS
        else [rows[round(i * (len(rows) - 1) / (_ROWS - 1))] for i in range(_ROWS)]
    )
    lines = [columns((xlabel, *parts), shown)]
    if len(shown) < len(rows):
        lines.append(f"({len(shown)} of {len(rows)} instants)")
    for label, stretches in strips.items():
        lines.append(
            f"{label}: {', '.join(f'{number(start)} to {number(end)}' for start, end in stretches)}"
        )
    return "\n".join(lines)
