"""Every relative link of every notebook and page opens what it names, from the originals and from
the reader's copy of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.course.reading import Reading
from tools.links import dead_links
from tools.notebooks import ROOT, lessons

PAGES = [*lessons([]), *sorted(ROOT.glob("*.md")), *sorted((ROOT / "data").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_opens_what_it_names(page: Path) -> None:
    assert dead_links(page) == []


def test_so_it_is_in_the_reader_s_copy(tmp_path: Path) -> None:
    for name in ("notebooks", "data", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    reading = Reading.of(tmp_path)
    reading.prepare()
    copies = sorted(reading.copies.rglob("*.ipynb"))
    assert len(copies) == len(lessons([]))
    assert [fault for page in copies for fault in dead_links(page)] == []


def test_every_lesson_has_its_solutions_under_a_name_of_their_own() -> None:
    folder = ROOT / "notebooks"
    named = {path.stem for path in folder.glob("*.ipynb")}
    solved = {path.stem for path in (folder / "solutions").glob("*.ipynb")}
    assert solved == {f"{name}_solutions" for name in named}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[solutions](solutions/)", "is a folder"),
        ("[gone](1_9z_gone.ipynb)", "not there"),
        ("![picture](none.png)", "not there"),
        ('<img alt="x" src="none.svg">', "not there"),
        ("[up](other.ipynb#No-such)", "names a heading that is not there"),
        ("[here](#nowhere)", "names a heading that is not there"),
        ("Next: 1.2, the sagas.", "without a link"),
    ],
)
def test_a_dead_link_is_named(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "solutions").mkdir()
    notebook(tmp_path / "other.ipynb", "# The other one")
    notebook(tmp_path / "lesson.ipynb", text)
    (found,) = dead_links(tmp_path / "lesson.ipynb")
    assert fault in found


@pytest.mark.parametrize(
    "text",
    [
        "[other](other.ipynb) and [there](other.ipynb#The-other-one)",
        "[there](other.ipynb#the-other-one) and [top](#Top)\n\n# Top",
        "Next: [the other one](other.ipynb).",
        "[far](https://example.org/none) and `[code](nothing)`",
        "```\n[code](nothing)\n```",
    ],
)
def test_a_link_that_opens_something_is_let_pass(text: str, tmp_path: Path) -> None:
    notebook(tmp_path / "other.ipynb", "# The other one")
    notebook(tmp_path / "lesson.ipynb", text)
    assert dead_links(tmp_path / "lesson.ipynb") == []


def notebook(path: Path, text: str) -> None:
    cell = {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}
    body = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(body))
