"""Figures: the same bytes every time, readable by everyone, and a table of the same data."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_hex
from matplotlib.text import Text

from labkit.course.figures import Figure, FigureError, bars, cdf, curve, matrix, spacetime
from labkit.course.figures._style import (
    CARD,
    DANGER,
    INK,
    MUTED,
    PALETTE,
    SERVICES,
    service_colours,
    text_width,
    wrapped,
)
from labkit.course.figures.text import columns, number
from tests.course.histories import expired_lease
from tests.course.vision import contrast, difference, seen_by

WORDS: dict[str, Any] = {
    "title": "The finding costs $5 & <more>",
    "alt": 'What it shows, in "words"',
}


def one_of_each() -> list[Figure]:
    return [
        curve(
            [0, 1, 2],
            {"a": [0, 1, 4], "b": [1, 1, 1]},
            band={"a": ([0, 0.5, 3], [0.5, 1.5, 5])},
            marks={"here": 1.0},
            xlabel="pause, s",
            ylabel="share, %",
            **WORDS,
        ),
        matrix(
            ["x", "y"],
            ["sold", "oversold"],
            [[1, 0], [2, 3]],
            tones=[["good", "good"], ["plain", "bad"]],
            **WORDS,
        ),
        cdf({"poll": [3, 1, 2], "notify": [1, 1, 5]}, xlabel="wait, ms", xscale="log", **WORDS),
        bars(
            {"ours": 1.04, "theirs": 2.5},
            xlabel="time ÷ floor",
            reference="the floor",
            highlight="ours",
            **WORDS,
        ),
        spacetime(expired_lease().history, **WORDS),
    ]


def digest() -> str:
    return hashlib.sha256("".join(figure.svg for figure in one_of_each()).encode()).hexdigest()


def test_another_process_with_another_hash_seed_draws_the_same_bytes() -> None:
    root = Path(__file__).parents[2]
    program = "from tests.course.test_figures import digest; print(digest())"
    environ = {**os.environ, "PYTHONHASHSEED": "7"}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environ, capture_output=True, text=True
    )
    assert ran.stdout.strip() == digest(), ran.stderr


def test_the_readers_own_matplotlib_settings_neither_change_a_figure_nor_are_changed() -> None:
    before = digest()
    with matplotlib.rc_context({"font.size": 31, "svg.fonttype": "path", "axes.grid": True}):
        assert digest() == before
        assert matplotlib.rcParams["font.size"] == 31


@pytest.mark.parametrize("figure", one_of_each(), ids=lambda figure: figure.data.split()[0])
def test_an_svg_is_well_formed_and_says_what_it_shows(figure: Figure) -> None:
    root = ElementTree.fromstring(figure.svg)
    names = {child.get("id"): child.text for child in root if child.tag.endswith(("title", "desc"))}
    assert root.get("role") == "img"
    assert [names[id] for id in (root.get("aria-labelledby") or "").split()] == [
        WORDS["title"],
        WORDS["alt"],
    ]
    assert "metadata" not in figure.svg and "Matplotlib" not in figure.svg
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert WORDS["title"] in texts


def test_a_notebook_is_given_the_picture_and_the_table_in_one_output() -> None:
    figure = one_of_each()[0]
    data, _ = DisplayFormatter().format(figure)
    assert list(data) == ["text/html", "image/svg+xml", "text/plain"]
    assert data["text/plain"] == f"{WORDS['title']}\n{figure.table()}" == str(figure)


def pictured(html: str) -> tuple[str, bytes]:
    """The alternative text and the picture of an `<img>`, which must scale to the page."""
    tag = ElementTree.fromstring(html.replace(">", "/>") if html.endswith('">') else html)
    assert tag.tag == "img"
    assert tag.get("style") == "max-width:100%;height:auto"
    return tag.get("alt", ""), base64.b64decode((tag.get("src") or "").partition(";base64,")[2])


@pytest.mark.parametrize("figure", one_of_each(), ids=lambda figure: figure.data.split()[0])
def test_a_notebook_that_is_not_trusted_shows_the_same_picture_as_an_img(figure: Figure) -> None:
    data, _ = DisplayFormatter().format(figure)
    assert pictured(data["text/html"]) == (WORDS["alt"], data["image/svg+xml"].encode())


def test_two_figures_in_one_page_do_not_share_a_class() -> None:
    names = [set(re.findall(r"\.(c\w+){", figure.svg)) for figure in one_of_each()]
    assert all(names)
    for one, other in itertools.combinations(names, 2):
        assert not one & other


def test_an_svg_stays_small() -> None:
    figure = spacetime(expired_lease().history, **WORDS)
    assert len(figure.svg) < 15_000  # 23,000 as matplotlib writes it


def test_a_figure_of_measured_times_is_a_png_whose_text_has_no_number() -> None:
    figure = bars(
        {"ours": 1.04, "theirs": 2.5},
        xlabel="time ÷ floor",
        title="Ours is faster",
        alt="bars",
        measured=True,
    )
    data, metadata = DisplayFormatter().format(figure)
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert pictured(data["text/html"]) == ("bars", base64.b64decode(data["image/png"]))
    assert not any(letter.isdigit() for letter in data["text/plain"])
    assert "1.04" in figure.table()
    assert metadata["image/png"]["width"] > 0


def test_a_figure_can_be_kept_as_a_file(tmp_path: Path) -> None:
    figure = one_of_each()[1]
    figure.save(tmp_path / "f.svg")
    figure.save(tmp_path / "f.png")
    assert (tmp_path / "f.svg").read_text(encoding="utf-8") == figure.svg
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        figure.save(tmp_path / "f.pdf")


def test_every_text_colour_is_legible_on_the_card() -> None:
    for ink in (INK, MUTED, DANGER, *PALETTE, *SERVICES.values()):
        assert contrast(ink, CARD) >= 4.5, ink
        assert contrast(ink, "#ffffff") >= 4.5, f"white on a bar in {ink}"


@pytest.mark.parametrize("figure", one_of_each(), ids=lambda figure: figure.data.split()[0])
def test_every_text_that_is_drawn_is_legible_on_what_is_behind_it(figure: Figure) -> None:
    texts = [text for axes in figure.sheet.axes for text in axes.findobj(Text) if text.get_text()]
    behind = {
        "white": PALETTE[0],
        "#ffffff": PALETTE[0],
        "#0b5a3c": "#d5ecdf",
        "#8f2108": "#f7d7cd",
    }
    for text in texts:
        ink = str(text.get_color())
        assert contrast(to_hex(ink), behind.get(ink, CARD)) >= 4.5, (text.get_text(), ink)


def test_series_differ_in_marker_and_dash_besides_colour() -> None:
    lines = {name: [float(i), 1.0] for i, name in enumerate("abcdef")}
    figure = curve([0, 1], lines, title="t", alt="a", xlabel="x", ylabel="y")
    drawn = [line for line in figure.sheet.axes[0].lines if len(line.get_xdata()) == 2]
    assert len({line.get_marker() for line in drawn}) == 6
    assert len({str(line._dash_pattern) for line in drawn}) == 6


def test_a_service_has_the_same_colour_in_every_figure() -> None:
    shop = service_colours(["orders", "payments", "warehouse", "shipping", "orchestrator", "redis"])
    assert len(set(shop.values())) == 6
    assert service_colours(["payments", "someone", "orders"])["payments"] == shop["payments"]
    assert service_colours(["someone", "payments"])["someone"] != shop["payments"]


@pytest.mark.parametrize("eye", ["normal", "protan", "deutan", "tritan"])
def test_series_can_be_told_apart_by_every_eye(eye: str) -> None:
    for one, other in itertools.combinations(PALETTE, 2):
        assert difference(seen_by(eye, one), seen_by(eye, other)) > 12, (one, other)


def test_the_tables_hold_the_data() -> None:
    line, grid, distribution, ratios, _ = [str(figure.table()) for figure in one_of_each()]
    assert line.splitlines()[3].split() == ["2", "4", "3", "5", "1"]
    assert grid.splitlines()[2].split() == ["y", "2", "✗", "3"]
    assert distribution.splitlines()[2].split() == ["poll", "3", "2", "3", "3"]
    assert ratios.splitlines()[1].split() == ["ours", "1.04"]


def test_numbers_are_short_and_columns_line_up() -> None:
    assert [number(value) for value in (3, 3.0, 0.123456, -0.0, True, "p99", 123456.0)] == [
        "3", "3", "0.1235", "0", "True", "p99", "1.235e+05",
    ]  # fmt: skip
    assert (
        columns(("name", "n"), [("a", 1), ("bbbbbb", 100)])
        == "name      n\na         1\nbbbbbb  100"
    )


def test_a_long_title_is_wrapped_into_the_card() -> None:
    lines = wrapped("word " * 60, 11.5, 800, bold=True)
    assert len(lines) > 1
    assert all(text_width(line, 11.5, bold=True) <= 800 for line in lines)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: curve([1], {"a": [1]}, title="", alt="x", xlabel="x", ylabel="y"),
        lambda: curve([1], {"a": [1]}, title="t", alt=" ", xlabel="x", ylabel="y"),
        lambda: curve([1], {"a": [1]}, title="t", alt="a", xlabel="", ylabel="y"),
        lambda: curve([1, 2], {"a": [1]}, xlabel="x", ylabel="y", **WORDS),
        lambda: curve([1], {"a": [float("nan")]}, xlabel="x", ylabel="y", **WORDS),
        lambda: curve([1], {}, xlabel="x", ylabel="y", **WORDS),
        lambda: curve([1], {"a": [1]}, band={"b": ([0], [1])}, xlabel="x", ylabel="y", **WORDS),
        lambda: curve([1], {"a": [1]}, xscale="cubic", xlabel="x", ylabel="y", **WORDS),  # type: ignore[arg-type]
        lambda: matrix(["r"], ["c", "d"], [[1]], **WORDS),
        lambda: matrix(["r"], ["c"], [[1]], tones=[["great"]], **WORDS),  # type: ignore[list-item]
        lambda: cdf({"a": []}, xlabel="x", **WORDS),
        lambda: bars({"a": -1.0}, xlabel="x", **WORDS),
        lambda: bars({"a": 1.0}, xlabel="x", highlight="b", **WORDS),
    ],
)
def test_a_figure_without_its_words_or_with_impossible_data_is_refused(draw: Any) -> None:
    with pytest.raises(FigureError, match="must"):
        draw()


def test_the_labels_of_curves_that_end_together_do_not_lie_on_one_another() -> None:
    ends = {"left waiting": [0.0, 100.0], "both": [95.0, 100.0], "sold twice": [95.0, 0.0]}
    svg = curve([0.1, 20.0], ends, title="t", alt="a", xlabel="x", ylabel="y").svg
    heights = sorted(float(re.search(rf'y="([\d.]+)"[^>]*>{label}<', svg)[1]) for label in ends)  # type: ignore[index]
    assert all(lower - upper > 8 for upper, lower in itertools.pairwise(heights))


def test_a_distribution_begins_at_zero_where_that_is_asked() -> None:
    waits = {"poll": [150.0, 160.0, 170.0]}
    drawn = [cdf(waits, xlabel="wait, ms", from_zero=zero, **WORDS) for zero in (True, False)]
    assert [re.findall(r">([\d.]+)<", figure.svg)[0] for figure in drawn] == ["0", "150.0"]
