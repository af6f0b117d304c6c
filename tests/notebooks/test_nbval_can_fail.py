"""The comparison itself is proved able to fail: one stored output changed in a copy, and nbval goes
red.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from _pytest.pathlib import ImportMode, import_path
from nbformat import NotebookNode

from tools.notebooks import ROOT

SAMPLE = Path(__file__).parent / "data" / "sample.ipynb"


def changed_print(notebook: NotebookNode) -> None:
    notebook.cells[1].outputs[0].text += "three\n"


def changed_value(notebook: NotebookNode) -> None:
    notebook.cells[2].outputs[0].data["text/plain"] = "11"


def changed_figure(notebook: NotebookNode) -> None:
    svg = notebook.cells[3].outputs[0].data["image/svg+xml"]
    notebook.cells[3].outputs[0].data["image/svg+xml"] = svg.replace('x="20"', 'x="21"')


def changed_img(notebook: NotebookNode) -> None:
    html = notebook.cells[3].outputs[0].data["text/html"]
    notebook.cells[3].outputs[0].data["text/html"] = html.replace("base64,", "base64,AAAA")


def changed_alt(notebook: NotebookNode) -> None:
    html = notebook.cells[3].outputs[0].data["text/html"]
    notebook.cells[3].outputs[0].data["text/html"] = html.replace("Two", "Three")


def changed_png(notebook: NotebookNode) -> None:
    """The sample measures nothing, so both pictures are said to be PNG."""
    code = notebook.cells[3].source.replace("data:image/svg+xml", "data:image/png")
    notebook.cells[3].source = code
    html = notebook.cells[3].outputs[0].data["text/html"]
    html = html.replace("data:image/svg+xml;base64,", "data:image/png;base64,AAAA")
    notebook.cells[3].outputs[0].data["text/html"] = html


def stripped(notebook: NotebookNode) -> None:
    for cell in notebook.cells[1:]:
        cell.update(outputs=[], execution_count=None)


def untouched(notebook: NotebookNode) -> None:
    pass


CHANGES: list[Callable[[NotebookNode], None]] = [
    untouched,
    changed_print,
    changed_value,
    changed_figure,
    changed_img,
    changed_alt,
    changed_png,
    stripped,
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What nbval, called as `make test` calls it, says of the sample and of its changed copies."""
    folder = tmp_path_factory.mktemp("copies")
    for change in CHANGES:
        notebook = nbformat.read(SAMPLE, as_version=4)
        change(notebook)
        nbformat.write(notebook, folder / f"{change.__name__}.ipynb")
    (folder / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    (folder / "requirements.txt").write_bytes((ROOT / "requirements.txt").read_bytes())
    nbval = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=60"]
    quiet = ["-rA", "-p", "no:cacheprovider", "--color=no"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *nbval,
        *quiet,
        "--rootdir",
        str(folder),
        str(folder),
    ]
    # conftest.py loads plugins from tests/support, which only the project's own folder has.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout, ended.stderr
    return ended.stdout


def failed(report: str, name: str) -> list[str]:
    """The cells of one copy that nbval calls red."""
    ends = [
        line.split("::")[-1].split(" - ")[0]
        for line in report.splitlines()
        if line.startswith(f"FAILED {name}.ipynb::")
    ]
    assert f"PASSED {name}.ipynb::Cell" in report, report
    return ends


def test_an_untouched_copy_is_green(report: str) -> None:
    assert failed(report, "untouched") == []


def test_a_changed_print_is_red(report: str) -> None:
    assert failed(report, "changed_print") == ["Cell 0"]


def test_a_changed_value_is_red(report: str) -> None:
    assert failed(report, "changed_value") == ["Cell 1"]


def root_conftest() -> ModuleType:
    return import_path(
        ROOT / "conftest.py",
        mode=ImportMode.importlib,
        root=ROOT,
        consider_namespace_packages=False,
    )


def test_a_changed_figure_is_red_where_figures_are_pinned(report: str) -> None:
    conftest = root_conftest()
    pinned = conftest.figures_are_pinned(
        sys.platform, conftest.platform.machine(), conftest.version("matplotlib")
    )
    assert failed(report, "changed_figure") == (["Cell 2"] if pinned else [])
    assert failed(report, "changed_img") == (["Cell 2"] if pinned else [])


def test_an_alternative_text_is_compared_everywhere(report: str) -> None:
    assert failed(report, "changed_alt") == ["Cell 2"]


def test_a_measured_picture_is_never_compared(report: str) -> None:
    assert failed(report, "changed_png") == []


def test_elsewhere_the_picture_of_an_img_is_left_out_and_its_alternative_text_is_not() -> None:
    pattern = root_conftest().pixels_of("image/svg+xml")
    one = re.sub(pattern, r"\1", '<img alt="a" src="data:image/svg+xml;base64,AAAA">')
    assert one == '<img alt="a" src="data:image/svg+xml;base64,">'
    other = '<img alt="a" src="data:image/png;base64,AAAA">'
    assert re.sub(pattern, r"\1", other) == other


def test_figures_are_pinned_on_one_system_one_processor_and_one_version() -> None:
    conftest = root_conftest()
    locked = next(
        line.split("==")[1].split()[0]
        for line in conftest.LOCK.splitlines()
        if line.startswith("matplotlib==")
    )
    assert conftest.figures_are_pinned("linux", "x86_64", locked)
    for elsewhere in [
        ("darwin", "x86_64", locked),
        ("linux", "aarch64", locked),
        ("linux", "x86_64", "0.1"),
    ]:
        assert not conftest.figures_are_pinned(*elsewhere)


def test_a_stripped_copy_is_green_which_is_why_the_counts_have_their_own_gate(report: str) -> None:
    assert failed(report, "stripped") == []
