"""What a lesson is made of besides its text: figures, exercises and their judges, self-tests, and a
few helpers for cells.
"""

from labkit.course.exercises import Result, check, hint
from labkit.course.expect import expect_error
from labkit.course.figures import (
    Figure,
    FigureError,
    Handler,
    bars,
    cdf,
    curve,
    graph,
    handlers_of,
    heatmap,
    matrix,
    spacetime,
    stacked,
)
from labkit.course.judge import ExerciseError, judge
from labkit.course.lessons import show_progress
from labkit.course.retell import retell
from labkit.course.selftest import Question, SelfTest, quiz
from labkit.course.source import Source, source

__all__ = [
    "ExerciseError",
    "Figure",
    "FigureError",
    "Handler",
    "Question",
    "Result",
    "SelfTest",
    "Source",
    "bars",
    "cdf",
    "check",
    "curve",
    "expect_error",
    "graph",
    "handlers_of",
    "heatmap",
    "hint",
    "judge",
    "matrix",
    "quiz",
    "retell",
    "show_progress",
    "source",
    "spacetime",
    "stacked",
]
