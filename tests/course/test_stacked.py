"""Stacked areas: the heights add up as drawn, the table has them, and the strips stand where they
belong.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.course import Figure, FigureError, stacked

WORDS: dict[str, Any] = {
    "title": "Every unit is somewhere",
    "alt": "Sold grows, held comes and goes, free falls.",
    "xlabel": "minutes",
    "ylabel": "stoves",
}
X = [0.0, 1.0, 4.0, 10.0]
PARTS = {"sold": [0, 0, 2, 2], "held": [0, 3, 1, 0], "free": [5, 2, 2, 3]}


def drawn(**more: Any) -> Figure:
    return stacked(X, PARTS, **{**WORDS, **more})


def test_the_table_has_every_value_at_its_instant() -> None:
    head, *rows = str(drawn().table()).splitlines()
    assert head.split() == ["minutes", "sold", "held", "free"]
    assert [row.split() for row in rows] == [
        ["0", "0", "0", "5"],
        ["1", "0", "3", "2"],
        ["4", "2", "1", "2"],
        ["10", "2", "0", "3"],
    ]


def test_the_bands_lie_on_one_another_and_keep_their_height_until_the_next_instant() -> None:
    axes = drawn().sheet.axes[0]
    edges = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    assert edges[:3] == [[0, 0, 2, 2], [0, 3, 3, 2], [5, 5, 5, 5]]
    assert all(line.get_drawstyle() == "steps-post" for line in axes.lines)
    assert edges[-1] == [5, 5, 5, 5], "the last line is the edge of the whole"


def test_a_strip_is_drawn_above_the_stack_over_its_own_stretch() -> None:
    figure = drawn(spans={"a is down": [(2.0, 3.0), (8.0, 99.0)], "b is down": [(0.0, 5.0)]})
    axes = figure.sheet.axes[0]
    bars = axes.collections[len(PARTS) :]
    boxes = [bar.get_paths()[0].get_extents() for bar in bars]
    assert [edge for box in boxes for edge in (box.x0, box.x1)] == pytest.approx(
        [0.2, 0.3, 0.8, 1.0, 0.0, 0.5]
    )
    assert all(box.y0 > 1.0 for box in boxes) and boxes[2].y1 < boxes[0].y0, (
        "the first on top, both over the axes"
    )
    assert str(figure.table()).splitlines()[-2:] == [
        "a is down: 2 to 3, 8 to 99",
        "b is down: 0 to 5",
    ]


def test_a_long_history_is_a_table_of_some_of_its_instants_the_first_and_last_among_them() -> None:
    long = stacked(range(100), {"all": [7] * 100}, **WORDS)
    lines = str(long.table()).splitlines()
    assert len(lines) == 26 and lines[-1] == "(24 of 100 instants)"
    assert lines[1].split() == ["0", "7"] and lines[-2].split() == ["99", "7"]


def test_every_part_and_every_strip_is_named_in_the_picture() -> None:
    figure = drawn(spans={"a is down": [(2, 3)]})
    texts = {
        element.text
        for element in ElementTree.fromstring(figure.svg).iter()
        if element.tag.endswith("text")
    }
    assert {"sold", "held", "free", "a is down", "minutes", "stoves", WORDS["title"]} <= texts


def test_the_label_of_a_part_that_has_run_out_does_not_lie_on_its_neighbours() -> None:
    svg = drawn().svg
    heights = sorted(float(re.search(rf'y="([\d.]+)"[^>]*>{label}<', svg)[1]) for label in PARTS)  # type: ignore[index]
    assert min(lower - upper for upper, lower in itertools.pairwise(heights)) > 8


@pytest.mark.parametrize(
    ("x", "series", "more", "says"),
    [
        ([0.0], {"a": [1]}, {}, "x must be 2 or more instants in ascending order"),
        ([0.0, 2.0, 1.0], {"a": [1, 1, 1]}, {}, "x must be 2 or more instants in ascending order"),
        ([0.0, 1.0], {"a": [1]}, {}, "series 'a' must have 2 values of at least 0"),
        ([0.0, 1.0], {"a": [1, -1]}, {}, "series 'a' must have 2 values of at least 0"),
        ([0.0, 1.0], {"a": [1, float("inf")]}, {}, "finite"),
        ([0.0, 1.0], {}, {}, "1 to 6 entries"),
        (
            [0.0, 1.0],
            {"a": [1, 1]},
            {"spans": {"down": [(1.0, 0.5)]}},
            "span 'down' must be one or more",
        ),
        ([0.0, 1.0], {"a": [1, 1]}, {"spans": {"down": []}}, "span 'down' must be one or more"),
        ([0.0, 1.0], {"a": [1, 1]}, {"ylabel": " "}, "ylabel must be a sentence"),
    ],
)
def test_what_cannot_be_stacked_is_refused(
    x: list[float], series: Any, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(FigureError, match=re.escape(says)):
        stacked(x, series, **{**WORDS, **more})


def digest() -> str:
    return hashlib.sha256(drawn(spans={"a is down": [(2, 3)]}).svg.encode()).hexdigest()


def test_another_process_with_another_hash_seed_draws_the_same_bytes() -> None:
    root = Path(__file__).parents[2]
    program = "from tests.course.test_stacked import digest; print(digest())"
    environ = {**os.environ, "PYTHONHASHSEED": "7"}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environ, capture_output=True, text=True
    )
    assert ran.stdout.strip() == digest(), ran.stderr
