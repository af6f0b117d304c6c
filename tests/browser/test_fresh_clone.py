"""What a reader sees who opens a lesson of a fresh clone and runs nothing: every figure, with its
alternative text, and no cell that must be scrolled sideways.

JupyterLab does not trust such a notebook. It shows no SVG of it, and cleans its HTML; an image
without alternative text gets a word of JupyterLab's own, so one word is none here. One page a
notebook is resized and re-themed, which is quicker than a page for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from playwright.sync_api import Page

from tests.browser.server import Lab
from tools.notebooks import KERNEL, ROOT, lessons

NAMES = [path.relative_to(ROOT / "notebooks").as_posix() for path in lessons([])]
WIDTHS = (1440, 1100)
THEMES = ("JupyterLab Light", "JupyterLab Dark")
PICTURES = {"image/svg+xml", "image/png", "image/jpeg"}
LOOK = """() => {
  const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
  const images = [...document.querySelectorAll('.jp-OutputArea-output img')].map(each => {
    const box = each.getBoundingClientRect();
    return {shown: each.complete && each.naturalWidth > 0 && box.width > 10 && box.height > 10,
            alt: each.alt.trim()};
  });
  const scrolled = [];
  cells.forEach((cell, place) => {
    for (const each of [cell, ...cell.querySelectorAll('*')]) {
      const how = getComputedStyle(each).overflowX;
      const over = each.scrollWidth - each.clientWidth;
      if ((how === 'auto' || how === 'scroll') && each.clientWidth > 0 && over > 1)
        scrolled.push(`cell ${place}: ${each.className || each.tagName} is ${over} px too narrow`);
    }
  });
  return {images, scrolled};
}"""


@dataclass(frozen=True)
class Look:
    """What a page shows: of each picture whether it is there and its text; what can be scrolled."""

    shown: int
    hidden: int
    without_text: int
    scrolled: list[str]


def figures_in(notebook: NotebookNode) -> int:
    """How many of a notebook's stored outputs are figures."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    bundles = [output.get("data", {}) for output in outputs]
    return sum(
        bool(data.keys() & PICTURES) or "<img" in data.get("text/html", "") for data in bundles
    )


def open_unexecuted(page: Page, lab: Lab, name: str) -> None:
    page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    cells = len(nbformat.read(lab.root / name, as_version=4).cells)
    page.wait_for_function(
        "n => document.querySelectorAll('.jp-Notebook .jp-Cell').length === n", arg=cells
    )


def look(page: Page, width: int, theme: str) -> Look:
    page.set_viewport_size({"width": width, "height": 1400})
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    light = "true" if "Light" in theme else "false"
    page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-OutputArea-output img')].every(i => i.complete)"
    )
    page.wait_for_timeout(700)  # editors measure themselves after a change of width
    seen = page.evaluate(LOOK)
    shown = sum(image["shown"] for image in seen["images"])
    return Look(
        shown=shown,
        hidden=len(seen["images"]) - shown,
        without_text=sum(" " not in image["alt"] for image in seen["images"]),
        scrolled=seen["scrolled"],
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_shown_and_nothing_is_cut(
    name: str, fresh_clone: Lab, page: Page, screenshots: Path
) -> None:
    expected = figures_in(nbformat.read(fresh_clone.root / name, as_version=4))
    open_unexecuted(page, fresh_clone, name)
    for width in WIDTHS:
        for theme in THEMES:
            seen = look(page, width, theme)
            page.screenshot(path=screenshots / f"fresh-{Path(name).stem}-{width}-{theme[11:]}.png")
            assert seen == Look(expected, 0, 0, []), f"at {width} px, {theme}"


SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'>"
    "<rect width='40' height='40'/></svg>"
)
IMAGE = "<img {} src='data:image/svg+xml;utf8," + SVG.replace("'", "%22").replace("#", "%23") + "'>"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"text/html": IMAGE.format("alt='a square'")}, Look(1, 0, 0, [])),
        ({"text/html": IMAGE.format("")}, Look(1, 0, 1, [])),
        ({"text/html": "<img alt='a square' src='data:image/png;base64,AAAA'>"}, Look(0, 1, 0, [])),
        ({"image/svg+xml": SVG}, Look(0, 0, 0, [])),
    ],
)
def test_what_is_not_shown_is_missed(
    data: dict[str, str], expected: Look, fresh_clone: Lab, page: Page
) -> None:
    output = nbformat.v4.new_output("display_data", data={**data, "text/plain": "a square"})
    write(fresh_clone, "broken.ipynb", nbformat.v4.new_code_cell("1", outputs=[output]))
    open_unexecuted(page, fresh_clone, "broken.ipynb")
    assert look(page, 1440, THEMES[0]) == expected


def test_a_line_that_is_too_long_is_seen(fresh_clone: Lab, page: Page) -> None:
    write(fresh_clone, "long.ipynb", nbformat.v4.new_code_cell("x = " + "1 + " * 60 + "1"))
    open_unexecuted(page, fresh_clone, "long.ipynb")
    assert any("cell 0" in sentence for sentence in look(page, 1440, THEMES[0]).scrolled)


def write(lab: Lab, name: str, *cells: NotebookNode) -> None:
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, lab.root / name)
