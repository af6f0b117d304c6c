"""A heat map of outcomes: many runs on a grid of small squares, the colour and the mark of each
saying how it ended.

Guarantees: colour never speaks alone. Every outcome has a mark of its own, in the squares, in the
legend and in the table; good outcomes are pale and bad ones strong, so that a glance at the
lightness is enough. A square that was not run stays empty. Leaves out: text in the squares
(`matrix` has it), and a scale of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from labkit.course.figures._figure import Figure, finished
from labkit.course.figures._style import (
    INK,
    MARGIN,
    MUTED,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    card,
    header_height,
    pixel_axes,
    styled,
    text_width,
)
from labkit.course.figures.text import FigureError, columns, said

Grid = Sequence[Sequence[str | None]]
Line = tuple[tuple[float, float], tuple[float, float]]

GOOD = (("#dcebe3", "·"), ("#b3d2ee", "○"))
BAD = (("#b03a12", "×"), ("#e39a2d", "/"), ("#7d5ba6", "="), ("#3d4248", "+"), ("#a98a63", "|"))
"""Fill and mark of each outcome, in the order in which they are given."""

_CELL, _GAP, _TICKS, _NAME, _SWATCH = 22.0, 2.0, 26.0, 38.0, 14.0
_LEGEND_ROW = 22.0
_STROKES: Mapping[str, tuple[Line, ...]] = {
    "×": (((-0.5, -0.5), (0.5, 0.5)), ((-0.5, 0.5), (0.5, -0.5))),
    "/": (((-0.5, 0.5), (0.5, -0.5)),),
    "=": (((-0.5, -0.22), (0.5, -0.22)), ((-0.5, 0.22), (0.5, 0.22))),
    "+": (((-0.5, 0.0), (0.5, 0.0)), ((0.0, -0.5), (0.0, 0.5))),
    "|": (((0.0, -0.5), (0.0, 0.5)),),
}
_DISCS: Mapping[str, float] = {"·": 0.14, "○": 0.42}


def heatmap(
    grids: Mapping[str, Grid],
    *,
    good: Sequence[str],
    bad: Sequence[str],
    title: str,
    alt: str,
    xlabel: str,
    ylabel: str,
    subtitle: str | None = None,
    origin: tuple[int, int] = (1, 1),
) -> Figure:
    """Draw `grids` (name: rows of outcomes, the first row on top, None where nothing was run) side
    by side.

    `good` (at most two) and `bad` (at most five) name the outcomes there can be. `origin` is the
    number of the first column and of the first row."""
    title, alt, xlabel, ylabel = (
        said("title", title),
        said("alt", alt),
        said("xlabel", xlabel),
        said("ylabel", ylabel),
    )
    looks = _looks(good, bad)
    counts = {name: _counted(name, grid, looks) for name, grid in grids.items()}
    if not 1 <= len(grids) <= 3:
        raise FigureError(f"grids must be 1 to 3, got {len(grids)}")
    legend = _SWATCH + 8 + max(text_width(name, TEXT_SIZE) for name in looks)
    left, side = MARGIN + 22, 12 + legend + MARGIN
    cell = min(
        _CELL,
        (WIDTH - left - side - _TICKS * (len(grids) + 1))
        / sum(len(grid[0]) for grid in grids.values()),
    )
    verdicts = {
        name: f"{sum(count[it] for it in good)} of {count.total()} end well"
        for name, count in counts.items()
    }
    heads = {
        name: max(text_width(name, TEXT_SIZE, bold=True), text_width(verdicts[name], TEXT_SIZE))
        for name in grids
    }
    widths = {name: max(len(grid[0]) * cell, heads[name]) for name, grid in grids.items()}
    if left + side + sum(widths.values()) + _TICKS * (len(grids) + 1) > WIDTH + 1:
        raise FigureError(f"grids must have names that fit side by side, got {', '.join(grids)}")
    top = header_height(title, subtitle) + _NAME
    tallest = max(max(len(grid) for grid in grids.values()) * cell, len(looks) * _LEGEND_ROW)
    height = top + tallest + 52
    with styled():
        sheet = card(title, subtitle, height)
        axes = pixel_axes(sheet, height)
        x = left + _TICKS
        axes.text(
            MARGIN + 8,
            top + tallest / 2,
            ylabel,
            color=MUTED,
            rotation=90,
            ha="center",
            va="center",
        )
        axes.text(x, top + tallest + 38, xlabel, color=MUTED, va="baseline")
        for name, grid in grids.items():
            axes.text(x, top - 25, name, color=INK, fontweight="bold", va="baseline")
            axes.text(x, top - 11, verdicts[name], color=MUTED, va="baseline")
            _squares(axes, grid, looks, x, top, cell)
            _numbers(axes, grid, origin, x, top, cell)
            x += widths[name] + _TICKS
        _legend(axes, looks, x + 12, top)
        return finished(sheet, title=title, alt=alt, data=_table(grids, counts, looks, origin))


def _looks(good: Sequence[str], bad: Sequence[str]) -> dict[str, tuple[str, str]]:
    names = [*good, *bad]
    if (
        len(set(names)) < len(names)
        or not names
        or not all(isinstance(name, str) and name.strip() for name in names)
    ):
        raise FigureError(f"good and bad must be different names, at least one, got {names!r}")
    if len(good) > len(GOOD) or len(bad) > len(BAD):
        raise FigureError(
            f"good must have at most {len(GOOD)} names and bad at most {len(BAD)}, got {names!r}"
        )
    return dict([*zip(good, GOOD, strict=False), *zip(bad, BAD, strict=False)])


def _counted(name: str, grid: Grid, looks: Mapping[str, object]) -> Counter[str]:
    widths = {len(row) for row in grid}
    if len(widths) != 1 or widths == {0}:
        raise FigureError(
            f"grid {name!r} must have rows of one width, at least 1, got widths {sorted(widths)}"
        )
    found = [outcome for row in grid for outcome in row if outcome is not None]
    if strange := sorted({outcome for outcome in found if outcome not in looks}):
        raise FigureError(
            f"grid {name!r} must hold outcomes among {', '.join(looks)}, or None, "
            f"got {strange[0]!r}"
        )
    if not found:
        raise FigureError(f"grid {name!r} must hold at least one outcome, got None everywhere")
    return Counter(found)


def _squares(
    axes: Axes, grid: Grid, looks: Mapping[str, tuple[str, str]], x: float, y: float, cell: float
) -> None:
    for outcome, look in looks.items():
        at = [
            (x + (j + 0.5) * cell, y + (i + 0.5) * cell)
            for i, row in enumerate(grid)
            for j, found in enumerate(row)
            if found == outcome
        ]
        _draw(axes, at, cell - _GAP, look)


def _draw(
    axes: Axes, at: Sequence[tuple[float, float]], size: float, look: tuple[str, str]
) -> None:
    """Squares of `size` round these points, with their marks: two paths however many there are."""
    if not at:
        return
    fill, mark = look
    half = size / 2
    square = Path(
        [(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)], closed=True
    )
    axes.add_patch(PathPatch(_moved(square, at), facecolor=fill, linewidth=0, zorder=2))
    if mark in _DISCS:
        marks = _moved(Path.circle(radius=_DISCS[mark] * half), at)
        axes.add_patch(
            PathPatch(
                marks,
                facecolor=ink_on(fill) if mark == "·" else "none",
                edgecolor=ink_on(fill),
                linewidth=0 if mark == "·" else 1.0,
                zorder=3,
            )
        )
        return
    strokes = [Path([(a * size * 0.6, b * size * 0.6) for a, b in line]) for line in _STROKES[mark]]
    marks = _moved(Path.make_compound_path(*strokes), at)
    axes.add_patch(
        PathPatch(marks, facecolor="none", edgecolor=ink_on(fill), linewidth=1.3, zorder=3)
    )


def _moved(path: Path, at: Sequence[tuple[float, float]]) -> Path:
    return Path.make_compound_path(*[path.transformed(Affine2D().translate(x, y)) for x, y in at])


def ink_on(fill: str) -> str:
    """The ink of a mark: dark on the pale fills and on amber and sand, white on the strong ones."""
    red, green, blue = (int(fill[i : i + 2], 16) for i in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "#ffffff"


def _numbers(
    axes: Axes, grid: Grid, origin: tuple[int, int], x: float, y: float, cell: float
) -> None:
    for j in range(len(grid[0])):
        if _numbered(j, origin[0], len(grid[0])):
            axes.text(
                x + (j + 0.5) * cell,
                y + len(grid) * cell + 14,
                f"{j + origin[0]}",
                color=MUTED,
                fontsize=SMALL_SIZE,
                ha="center",
                va="baseline",
            )
    for i in range(len(grid)):
        if _numbered(i, origin[1], len(grid)):
            axes.text(
                x - 5,
                y + (i + 0.5) * cell,
                f"{i + origin[1]}",
                color=MUTED,
                fontsize=SMALL_SIZE,
                ha="right",
                va="center_baseline",
            )


def _numbered(index: int, first: int, count: int) -> bool:
    """Few columns are numbered one by one, many by fives."""
    return count <= 10 or index == 0 or (index + first) % 5 == 0


def _legend(axes: Axes, looks: Mapping[str, tuple[str, str]], x: float, y: float) -> None:
    for i, (name, look) in enumerate(looks.items()):
        middle = y + (i + 0.5) * _LEGEND_ROW
        _draw(axes, [(x + _SWATCH / 2, middle)], _SWATCH, look)
        axes.text(x + _SWATCH + 8, middle, name, color=INK, va="center_baseline")


def _table(
    grids: Mapping[str, Grid],
    counts: Mapping[str, Counter[str]],
    looks: Mapping[str, tuple[str, str]],
    origin: tuple[int, int],
) -> str:
    totals = [
        (f"{mark} {name}", *(counts[grid][name] for grid in grids))
        for name, (_, mark) in looks.items()
    ]
    parts = [columns(("", *grids), totals)]
    for name, grid in grids.items():
        signs = [
            " ".join(" " if outcome is None else looks[outcome][1] for outcome in row)
            for row in grid
        ]
        last = origin[1] + len(grid) - 1
        rows = [
            f"{i + origin[1]:>{len(str(last))}}  {line}".rstrip() for i, line in enumerate(signs)
        ]
        parts.append("\n".join([name, *rows]))
    return "\n\n".join(parts)
