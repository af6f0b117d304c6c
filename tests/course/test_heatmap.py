"""A heat map of outcomes: each square can be read by every eye, the table says the same, bad data
is refused by name.
"""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from labkit.course import FigureError, heatmap
from labkit.course.figures._heatmap import BAD, GOOD, ink_on
from labkit.course.figures._style import CARD
from tests.course.vision import contrast, difference, seen_by

WORDS: dict[str, Any] = {
    "title": "Half <lost>",
    "alt": "runs",
    "xlabel": "first crash",
    "ylabel": "second crash",
}
OUTCOMES: dict[str, Any] = {"good": ["all", "none"], "bad": ["twice", "stuck"]}
SKETCH: list[list[str | None]] = [["all", "twice", None], ["stuck", "all", "twice"]]
BOTH: dict[str, list[list[str | None]]] = {"sketch": SKETCH, "ours": [["none", "all"]]}


def test_the_table_counts_the_outcomes_and_shows_every_square() -> None:
    figure = heatmap(BOTH, origin=(1, 0), **OUTCOMES, **WORDS)
    assert str(figure.table()) == (
        "         sketch  ours\n"
        "· all         2     1\n"
        "○ none        0     1\n"
        "× twice       2     0\n"
        "/ stuck       1     0\n"
        "\n"
        "sketch\n"
        "0  · ×\n"
        "1  / · ×\n"
        "\n"
        "ours\n"
        "0  ○ ·"
    )


def test_the_picture_names_the_panels_how_many_end_well_and_every_outcome() -> None:
    svg = heatmap(BOTH, **OUTCOMES, **WORDS).svg
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    for said in (
        "Half <lost>",
        "first crash",
        "second crash",
        "sketch",
        "2 of 5 end well",
        "ours",
        "2 of 2 end well",
    ):
        assert said in texts
    assert [text for text in texts if text in ("all", "none", "twice", "stuck")] == [
        "all",
        "none",
        "twice",
        "stuck",
    ]


def test_an_outcome_costs_two_paths_however_many_squares_it_has() -> None:
    row: list[str | None] = ["all", "twice"]
    few, many = (heatmap({"x": [row * n] * n}, **OUTCOMES, **WORDS).svg for n in (1, 9))
    assert many.count("<path") == few.count("<path")


def test_the_same_data_gives_the_same_bytes() -> None:
    assert (
        heatmap({"x": SKETCH}, **OUTCOMES, **WORDS).svg
        == heatmap({"x": SKETCH}, **OUTCOMES, **WORDS).svg
    )


@pytest.mark.parametrize("eye", ["normal", "protan", "deutan", "tritan"])
def test_two_outcomes_differ_in_their_mark_and_in_colour_for_every_eye(eye: str) -> None:
    for (fill, mark), (other, its_mark) in itertools.combinations([*GOOD, *BAD], 2):
        assert mark != its_mark
        assert difference(seen_by(eye, fill), seen_by(eye, other)) > 12, (mark, its_mark)


def test_a_mark_is_legible_in_its_square_and_bad_is_stronger_than_good_on_the_card() -> None:
    for fill, _ in (*GOOD, *BAD):
        assert contrast(ink_on(fill), fill) >= 4.5
    assert (
        max(contrast(fill, CARD) for fill, _ in GOOD)
        < 2
        < min(contrast(fill, CARD) for fill, _ in BAD)
    )


@pytest.mark.parametrize(
    ("grids", "outcomes", "says"),
    [
        ({}, OUTCOMES, "grids must be 1 to 3, got 0"),
        (
            {"x": [["all"], ["all", "all"]]},
            OUTCOMES,
            r"grid 'x' must have rows of one width, at least 1, got widths \[1, 2\]",
        ),
        ({"x": [[]]}, OUTCOMES, "at least 1"),
        (
            {"x": [["lost"]]},
            OUTCOMES,
            "grid 'x' must hold outcomes among all, none, twice, stuck, or None, got 'lost'",
        ),
        ({"x": [[None]]}, OUTCOMES, "at least one outcome"),
        ({"x": [["all"]]}, {"good": ["all"], "bad": ["all"]}, "must be different names"),
        (
            {"x": [["a"]]},
            {"good": ["a", "b", "c"], "bad": []},
            "good must have at most 2 names and bad at most 5",
        ),
        (
            {"a long name " * 9: [["all"]], "b" * 60: [["all"]]},
            OUTCOMES,
            "names that fit side by side",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(
    grids: Any, outcomes: dict[str, Any], says: str
) -> None:
    with pytest.raises(FigureError, match=says):
        heatmap(grids, **outcomes, **WORDS)
