"""The figures that recur in every lesson. Each takes a title that states the finding and alt text,
and is also a table.
"""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.course.figures._bars import bars as bars
    from labkit.course.figures._cdf import cdf as cdf
    from labkit.course.figures._curve import curve as curve
    from labkit.course.figures._figure import Figure as Figure
    from labkit.course.figures._graph import Handler as Handler
    from labkit.course.figures._graph import graph as graph
    from labkit.course.figures._graph import handlers_of as handlers_of
    from labkit.course.figures._heatmap import heatmap as heatmap
    from labkit.course.figures._matrix import matrix as matrix
    from labkit.course.figures._spacetime import spacetime as spacetime
    from labkit.course.figures._stacked import stacked as stacked
    from labkit.course.figures.text import FigureError as FigureError
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        _bars="bars",
        _cdf="cdf",
        _curve="curve",
        _figure="Figure",
        _graph="Handler graph handlers_of",
        _heatmap="heatmap",
        _matrix="matrix",
        _spacetime="spacetime",
        _stacked="stacked",
        text="FigureError",
    )
