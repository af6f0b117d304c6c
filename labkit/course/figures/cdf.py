"""Empirical distributions: which share of the samples is at most x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from labkit.course.figures.figure import Figure, finished
from labkit.course.figures.plain import Scale, numbers, plain_axes, scaled, some
from labkit.course.figures.style import CARD, TEXT_SIZE, colour, styled
from labkit.course.figures.text import columns, said

_QUANTILES = (50, 90, 99, 100)


def cdf(
    samples: Mapping[str, Sequence[float]],
    *,
    title: str,
    alt: str,
    xlabel: str,
    ylabel: str = "share of samples, %",
    subtitle: str | None = None,
    xscale: Scale = "linear",
    measured: bool = False,
) -> Figure:
    """Draw the distribution of each of `samples` (label: values); the table has the nearest-rank
    quantiles.
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
            axes.step([values[0], *values], [0.0, *shares], where="post", color=colour(i), zorder=3)
        axes.set_ylim(0, 104)
        axes.set_yticks([0, 25, 50, 75, 100])
        axes.margins(x=0.02)
        for i, (label, values) in enumerate(ordered.items()):
            share = 82 - 60 * (i + 0.5) / len(ordered)
            axes.annotate(label, (_quantile(values, share), share), (11, 0), textcoords="offset points", color=colour(i),
                          fontsize=TEXT_SIZE, fontweight="bold", va="center", zorder=5,
                          bbox={"facecolor": CARD, "alpha": 0.85, "linewidth": 0, "pad": 1.2})  # fmt: skip
        rows = [
            (label, len(values), *(_quantile(values, share) for share in _QUANTILES))
            for label, values in ordered.items()
        ]
        data = f"{xlabel}\n" + columns(("", "samples", "p50", "p90", "p99", "max"), rows)
        return finished(sheet, title=title, alt=alt, data=data, measured=measured)


def _quantile(ordered: list[float], percent: float) -> float:
    return ordered[max(ceil(percent / 100 * len(ordered)), 1) - 1]
