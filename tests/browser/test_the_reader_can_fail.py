"""The browser check is proved able to fail: an error in the middle of a notebook is seen."""

from __future__ import annotations

import nbformat
from playwright.sync_api import Page

from tests.browser.reader import read_and_run
from tests.browser.server import Lab
from tools.notebooks import KERNEL


def write(lab: Lab, name: str, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, lab.root / name)


def test_an_error_and_the_cells_that_never_ran_are_seen(lab: Lab, page: Page) -> None:
    write(lab, "broken.ipynb", "print('fine')", "1 / 0", "print('never')")
    seen = read_and_run(page, lab, "broken.ipynb")
    assert seen.errors == ["ZeroDivisionError: division by zero"]
    assert (seen.ran, seen.cells) == (2, 3)


def test_a_figure_that_is_not_on_the_page_is_missed(lab: Lab, page: Page) -> None:
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{0}'>"
        "<rect width='{0}' height='{0}'/></svg>"
    )
    write(
        lab,
        "figures.ipynb",
        "from IPython.display import SVG",
        *(f'SVG("{svg.format(size)}")' for size in (40, 1)),
    )
    seen = read_and_run(page, lab, "figures.ipynb")
    assert (seen.figures, seen.shown) == (2, 1)
