"""What a reader does first: open the lesson in JupyterLab, choose Run All, look. Every lesson, not
the solutions.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.reader import open_notebook, photograph, read_and_run
from tests.browser.server import Lab
from tools.notebooks import ROOT

LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_there_is_a_lesson_to_open() -> None:
    assert "00_start_here.ipynb" in LESSONS


@pytest.mark.parametrize("name", LESSONS)
def test_every_cell_runs_and_every_figure_is_on_the_page(
    name: str, lab: Lab, page: Page, screenshots: Path, request: pytest.FixtureRequest
) -> None:
    lab.set_theme("JupyterLab Light")
    seen = read_and_run(page, lab, name)
    photograph(page, screenshots, f"{Path(name).stem}-light")
    if request.config.getoption("--dark"):
        lab.set_theme("JupyterLab Dark")
        open_notebook(page, lab, name)
        photograph(page, screenshots, f"{Path(name).stem}-dark")
    assert seen.errors == []
    assert seen.script_errors == []
    assert seen.ran == seen.cells > 0
    assert seen.shown == seen.figures > 0
