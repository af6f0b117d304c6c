"""Each gate is proved able to fail: the sample passes, and a copy with one thing wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from tools import gates
from tools.notebooks import normalised

SAMPLE = Path(__file__).parent / "data" / "sample.ipynb"
Change = Callable[[NotebookNode], Any]


@pytest.fixture
def sample() -> NotebookNode:
    return nbformat.read(SAMPLE, as_version=4)


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == name)


def prints(text: str, stream: str = "stdout") -> Change:
    return lambda notebook: cell(notebook, "printed").outputs.append(
        nbformat.v4.new_output("stream", name=stream, text=text)
    )


def source(name: str, text: str) -> Change:
    return lambda notebook: cell(notebook, name).update(source=text)


def shows(**data: str) -> Change:
    kinds = {"svg": "image/svg+xml", "png": "image/png", "plain": "text/plain", "html": "text/html"}
    bundle = {kinds[key]: value for key, value in data.items()}
    return lambda notebook: cell(notebook, "value").outputs.append(
        nbformat.v4.new_output("display_data", data=bundle)
    )


def stripped(notebook: NotebookNode) -> None:
    for each in notebook.cells:
        if each.cell_type == "code":
            each.update(outputs=[], execution_count=None)


def test_the_sample_passes(sample: NotebookNode) -> None:
    assert gates.faults_in(sample) == []
    assert gates.loosened(sample) == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (stripped, "execution count None"),
        (
            lambda notebook: cell(notebook, "value").update(execution_count=7),
            "execution count 7, not 2",
        ),
        (lambda notebook: notebook.cells.reverse(), "execution count 3, not 1"),
        (source("value", "  \n"), "empty code cell"),
        (prints("DeprecationWarning: soon", "stderr"), "writes to stderr: DeprecationWarning"),
        (prints("<Lock object at 0x7f2b9c0d1e50>"), "an object's address"),
        (prints("wrote /home/ada/course/run.svg"), "a path of this machine"),
        (prints("File /tmp/ipykernel_4711/cell.py"), "a path of this machine"),
        (prints(r"C:\Users\ada\course"), "a path of this machine"),
        (prints("listening on 127.0.0.1:45113"), "a port"),
        (prints("Valkey answers on port 45113"), "a port"),
        (source("value", "sum(range(5));"), "semicolon"),
        (source("value", f"total = {'1 + ' * 19}1"), "has a line of 85 columns: total = 1 +"),
        (prints("one\n" + "word " * 17), "prints a line of 85 columns: word word"),
        (shows(plain="word " * 17), "prints a line of 85 columns"),
        (shows(svg="<svg><desc>words</desc></svg>"), "SVG without a <title>"),
        (shows(svg="<svg><title>words</title></svg>"), "SVG without a <desc>"),
        (
            shows(svg="<svg><title>t</title><desc>d</desc><dc:date>2026</dc:date></svg>"),
            "the date in a figure",
        ),
        (
            shows(png="iVBORw0=", plain="<Figure size 640x480 with 1 Axes>"),
            "a picture whose text is '<Figure",
        ),
        (shows(png="iVBORw0="), "a picture whose text is ''"),
        (shows(png="iVBORw0=", plain="Take-over time"), "a picture without an <img>"),
        (shows(svg="<svg><title>t</title><desc>d</desc></svg>"), "a picture without an <img>"),
        (shows(html='<img src="a.png">'), "picture without alt text"),
        (shows(html='<img alt="It grows. See the table." src="a.png">'), "sends to a table"),
        (source("title", "![](a.png)"), "picture without alt text"),
        (source("title", '<img src="a.png" alt="">'), "picture without alt text"),
    ],
)
def test_a_fault_is_named(sample: NotebookNode, change: Change, fault: str) -> None:
    change(sample)
    found = gates.faults_in(sample)
    assert any(fault in sentence for sentence in found), found


@pytest.mark.parametrize(
    "change",
    [
        prints("09:00:00 order 1234 at http://orders/orders/1"),
        prints("token 0x1f, import work, export 80"),
        prints("-" * 80 + "\n" + "-" * 80),
        shows(html="<table><tr><td>one</td></tr></table>", plain="-" * 100),
        source("title", '![two squares](a.png) <img alt="two squares" src="a.png">'),
        shows(
            png="iVBORw0=",
            plain="Take-over time against lease length",
            html='<img alt="it falls" src="data:image/png;base64,iVBORw0=">',
        ),
    ],
)
def test_what_repeats_everywhere_is_let_pass(sample: NotebookNode, change: Change) -> None:
    change(sample)
    assert gates.faults_in(sample) == []


@pytest.mark.parametrize("mark", sorted(gates.LOOSENING))
def test_a_mark_that_loosens_the_comparison_is_counted_as_tag_and_as_comment(
    sample: NotebookNode, mark: str
) -> None:
    cell(sample, "value").metadata["tags"] = [mark]
    assert gates.loosened(sample) == {mark: 1}
    cell(sample, "printed").source = f"# {mark.upper().replace('-', '_')}\nprint('one')"
    assert gates.loosened(sample) == {mark: 2}


def test_normal_form_keeps_ids_and_tags_and_drops_what_changes_from_run_to_run(
    sample: NotebookNode,
) -> None:
    untouched = normalised(sample)
    printed, value = cell(sample, "printed"), cell(sample, "value")
    printed.metadata.update(execution={"iopub.status.busy": "2026-11-24"}, tags=["hide-input"])
    printed.outputs = [nbformat.v4.new_output("stream", text=text) for text in ("one\n", "two\n")]
    value.outputs[0].data["application/vnd.jupyter.widget-view+json"] = {"model_id": "4b1d"}
    for each, count in zip(
        (cell for cell in sample.cells if cell.cell_type == "code"), (3, 8, 9), strict=True
    ):
        each.execution_count = count
    sample.metadata["widgets"] = {}
    assert "hide-input" in normalised(sample)
    printed.metadata.pop("tags")
    assert normalised(sample) == untouched


def test_the_normal_form_of_a_normal_form_is_itself(sample: NotebookNode) -> None:
    assert (
        SAMPLE.read_bytes().decode()
        == normalised(sample)
        == normalised(nbformat.reads(normalised(sample), as_version=4))
    )
