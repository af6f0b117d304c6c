"""Run notebooks in place and write them back in normal form: `python tools/notebooks.py [PART OF A
NAME ...]`.

Each notebook runs from a fresh kernel, in its own folder, as nbval will run it. Normal form is what
review and nbval need: counts 1 to n, streams merged as nbval merges them, cell ids kept, no
timings, no widget state, no versions of the kernel, LF line ends. Running twice changes nothing; a
notebook whose outputs would not repeat fails tools/gates.py or nbval. Leaves out: cells that fail.
The notebook is then left as it was, and the error shown."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbval.plugin import coalesce_streams

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.gates import faults_in  # noqa: E402 - the project's folder has to be on the path first

CELL_SECONDS = 60
KEPT_METADATA = {"tags", "jupyter", "jp-MarkdownHeadingCollapsed"}
WIDGET = "application/vnd.jupyter.widget-view+json"
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def lessons(parts: list[str]) -> list[Path]:
    """The notebooks whose path has one of `parts` in it; all of them when there is no part."""
    folder = ROOT / "notebooks"
    found = sorted(
        path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    return [
        path
        for path in found
        if not parts or any(part in str(path.relative_to(folder)) for part in parts)
    ]


def execute(path: Path) -> NotebookNode:
    """The notebook with the outputs of a fresh run: without progress bars, and without counting
    solutions as solved.
    """
    os.environ.update(LABKIT_QUIET="1", LABKIT_PROGRESS="")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
    )
    return client.execute()


def normalised(notebook: NotebookNode) -> str:
    """The text of the notebook's file."""
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    count = 0
    for place, cell in enumerate(notebook.cells):
        cell.setdefault("id", hashlib.sha256(f"{place}\n{cell.source}".encode()).hexdigest()[:8])
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in KEPT_METADATA}
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            cell.execution_count = count = count + 1
        cell.outputs = coalesce_streams(cell.outputs)
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    notebook.metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def refresh(path: Path) -> list[str]:
    """Run one notebook and write it; what is wrong with it, in sentences."""
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet", str(path)], cwd=ROOT, check=True
    )
    before, began = path.read_bytes(), monotonic()
    try:
        text = normalised(execute(path))
    except CellExecutionError as error:
        return [str(error)]
    path.write_bytes(text.encode())
    done = "unchanged" if text.encode() == before else "rewritten"
    print(f"{path.relative_to(ROOT)}: {done}, {monotonic() - began:.0f} s", flush=True)
    return faults_in(nbformat.reads(text, as_version=4))


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run notebooks in place and write them back in normal form."
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="part of a notebook's path, such as 1_1a; none means all",
    )
    parts = parser.parse_args().parts
    chosen = lessons(parts)
    if not chosen:
        parser.error(f"no notebook has {parts} in its name")
    faults = {path.relative_to(ROOT): refresh(path) for path in chosen}
    for path, found in faults.items():
        for fault in found:
            print(f"{path}: {fault}")
    return int(any(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
