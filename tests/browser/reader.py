"""A reader in a browser: opens a notebook, chooses Run > Run All Cells, waits for the end, saves,
and looks at the figures.

Whether a cell ran is read from the file JupyterLab saved; whether a figure is there is asked of the
page. Two traps are kept in mind here: a Run All clicked too early is lost, so it is repeated while
every prompt is blank; and after an error JupyterLab drops the cells in the queue, so "done" means
idle, nothing pending, and still so a second later."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Page

from tests.browser.server import Lab

RUN_SECONDS = 180
PAGE_HEIGHT = 1400
STATE = """() => {
  const found = document.querySelectorAll('.jp-CodeCell .jp-InputPrompt');
  const prompts = [...found].map(each => each.textContent);
  const status = document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status;
  if (prompts.some(text => text.includes('*')) || status !== 'idle') return 'busy';
  return prompts.some(text => /\\[\\d+\\]/.test(text)) ? 'done' : 'blank';
}"""
FIGURES = """() => {
  const found = document.querySelectorAll('.jp-OutputArea-output img');
  return [...found].map(each => {
    const box = each.getBoundingClientRect();
    return box.width > 10 && box.height > 10 && each.naturalWidth !== 0;
  });
}"""


@dataclass(frozen=True)
class Seen:
    """What the saved file says of the cells, and what the page shows of the figures."""

    cells: int
    ran: int
    errors: list[str]
    figures: int
    shown: int
    script_errors: list[str]


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook and wait until its kernel is there."""
    page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    page.wait_for_function(
        "() => /Python/.test(document.querySelector('.jp-KernelName')?.textContent || '')"
    )


def run_all(page: Page) -> None:
    """Choose Run All and wait until everything that will run has run."""
    deadline, clicked = time.monotonic() + RUN_SECONDS, 0.0
    while True:
        state = page.evaluate(STATE)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the notebook is still {state} after {RUN_SECONDS} s")
        if state == "done":
            page.wait_for_timeout(1000)
            if page.evaluate(STATE) == "done":
                return
        elif state == "blank" and time.monotonic() - clicked > 4:
            page.keyboard.press("Escape")
            page.click('.lm-MenuBar-item:has-text("Run")')
            page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
            clicked = time.monotonic()
        page.wait_for_timeout(250)


def save(page: Page, path: Path) -> None:
    """Save the notebook and wait until the file is newer than it was."""
    before = path.stat().st_mtime_ns
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    deadline = time.monotonic() + 20
    while path.stat().st_mtime_ns == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path.name} was not saved")
        page.wait_for_timeout(200)
    page.wait_for_timeout(300)


def read_and_run(page: Page, lab: Lab, name: str) -> Seen:
    """Do all of it with one notebook."""
    script_errors: list[str] = []
    page.on("pageerror", lambda error: script_errors.append(str(error)))
    open_notebook(page, lab, name)
    run_all(page)
    save(page, lab.root / name)
    code = [
        cell
        for cell in nbformat.read(lab.root / name, as_version=4).cells
        if cell.cell_type == "code"
    ]
    outputs = [output for cell in code for output in cell.outputs]
    pictures = [
        output
        for output in outputs
        if output.get("data", {}).keys() & {"image/svg+xml", "image/png", "image/jpeg"}
    ]
    return Seen(
        cells=len(code),
        ran=sum(cell.execution_count is not None for cell in code),
        errors=[
            f"{output.ename}: {output.evalue}"
            for output in outputs
            if output.output_type == "error"
        ],
        figures=len(pictures),
        shown=sum(page.evaluate(FIGURES)),
        script_errors=script_errors,
    )


def photograph(page: Page, folder: Path, name: str) -> None:
    """Screenshots of the whole notebook, a screen at a time."""
    area = page.locator(".jp-WindowedPanel-outer").first
    height, step = area.evaluate("area => [area.scrollHeight, area.clientHeight]")
    for number, top in enumerate(range(0, height, step), start=1):
        area.evaluate("(area, top) => { area.scrollTop = top }", top)
        page.wait_for_timeout(150)
        page.screenshot(path=folder / f"{name}-{number:02}.png")
