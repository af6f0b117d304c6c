"""The figures that recur in every lesson. Each takes a title that states the finding and alt text,
and is also a table.
"""

from labkit.course.figures.bars import bars
from labkit.course.figures.cdf import cdf
from labkit.course.figures.curve import curve
from labkit.course.figures.figure import Figure
from labkit.course.figures.graph import graph
from labkit.course.figures.graph_layout import Reaction, reactions
from labkit.course.figures.heatmap import heatmap
from labkit.course.figures.matrix import matrix
from labkit.course.figures.spacetime import spacetime
from labkit.course.figures.stacked import stacked
from labkit.course.figures.text import FigureError

__all__ = [
    "Figure",
    "FigureError",
    "Reaction",
    "bars",
    "cdf",
    "curve",
    "graph",
    "heatmap",
    "matrix",
    "reactions",
    "spacetime",
    "stacked",
]
