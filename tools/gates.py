"""What must be true of a committed notebook beside what nbval compares: the faults of one, each as
a sentence.

nbval runs a cell without a count and compares nothing, never looks at a PNG, and cannot know that
an address, a path, a port or a warning will differ on the next machine. These gates do. A gate that
allows an exception takes it from a list in tests/notebooks, where each stands with its reason.
Leaves out: whether an output is *right*; that is what the asserts in the lessons are for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbformat import NotebookNode

COLUMNS = 80
LOOSENING = {
    "nbval-ignore-output",
    "nbval-skip",
    "nbval-raises-exception",
    "pytest-validate-ignore-output",
    "raises-exception",
    "skip-execution",
}
VOLATILE = {
    "an object's address": re.compile(r"\b0x[0-9a-f]{8,}", re.I),
    "a path of this machine": re.compile(
        r"(?<![\w.:/])/(?:home|root|Users|tmp|var|opt|work|usr|private|mnt)/|\b[A-Z]:\\|site-packages|ipykernel_\d"
    ),
    "a port": re.compile(
        r"\b(?:localhost|127\.0\.0\.1|0\.0\.0\.0)\]?:\d+|\bport[ =:]+\d{2,5}\b", re.I
    ),
    "the date in a figure": re.compile(r"<dc:date>"),
}
ALT = re.compile(r"""\balt\s*=\s*(?:"[^"]*\w[^"]*"|'[^']*\w[^']*')""", re.I)


def faults_in(notebook: NotebookNode) -> list[str]:
    """Everything wrong with a notebook, in the order of its cells."""
    return [
        *counts(notebook),
        *streams(notebook),
        *volatile(notebook),
        *endings(notebook),
        *widths(notebook),
        *figures(notebook),
    ]


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    return [(place, cell) for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def counts(notebook: NotebookNode) -> Iterator[str]:
    """Every code cell was run, once, in order."""
    for expected, (place, cell) in enumerate(code_cells(notebook), start=1):
        if not cell.source.strip():
            yield f"cell {place} is an empty code cell"
        if cell.execution_count != expected:
            yield (
                f"cell {place} has execution count {cell.execution_count}, not {expected}: run it "
                "all, in order"
            )


def streams(notebook: NotebookNode) -> Iterator[str]:
    """Nothing was written to stderr: no warning, no log line, no progress bar."""
    for place, cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {place} writes to stderr: {first_line(output.text)}"


def volatile(notebook: NotebookNode) -> Iterator[str]:
    """No output holds what the next machine will not repeat."""
    for place, cell in code_cells(notebook):
        for text in texts(cell):
            for what, pattern in VOLATILE.items():
                found = pattern.search(text)
                if found:
                    yield (
                        f"cell {place} shows {what}: "
                        f"{first_line(text[max(0, found.start() - 20) : found.end() + 20])}"
                    )


def endings(notebook: NotebookNode) -> Iterator[str]:
    """No semicolon hides an output: nbval would see it."""
    for place, cell in code_cells(notebook):
        if cell.source.rstrip().endswith(";"):
            yield f"cell {place} ends with a semicolon, which hides nothing from nbval: assign to _"


def widths(notebook: NotebookNode) -> Iterator[str]:
    """No line of code, and no line of text that is shown, is cut at the width of a laptop."""
    for place, cell in code_cells(notebook):
        for line in cell.source.splitlines():
            if len(line) > COLUMNS:
                yield f"cell {place} has a line of {len(line)} columns: {line.strip()[:40]} …"
        for line in (line for text in plain_texts(cell) for line in text.splitlines()):
            if len(line) > COLUMNS:
                yield f"cell {place} prints a line of {len(line)} columns: {line.strip()[:40]} …"


def plain_texts(cell: NotebookNode) -> Iterator[str]:
    """The texts that are shown as they are: not those that stand in for a picture or a table."""
    for output in cell.outputs:
        data = output.get("data", {})
        yield output.get("text", "")
        yield "" if "text/html" in data else data.get("text/plain", "")


def figures(notebook: NotebookNode) -> Iterator[str]:
    """Every picture says in words what it shows."""
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            yield from pictures_in_text(place, cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            svg, words = data.get("image/svg+xml"), data.get("text/plain", "")
            if svg is not None and not re.search(r"<title[^>]*>[^<]*\w[^<]*</title>", svg):
                yield f"cell {place} shows an SVG without a <title>"
            if svg is not None and not re.search(r"<desc[^>]*>[^<]*\w[^<]*</desc>", svg):
                yield f"cell {place} shows an SVG without a <desc>: its alt text"
            if data.keys() & {"image/svg+xml", "image/png"} and "<img " not in data.get(
                "text/html", ""
            ):
                yield (
                    f"cell {place} shows a picture without an <img>: "
                    "a notebook of a fresh clone hides it"
                )
            if data.keys() & {"image/png", "image/jpeg"} and (not words or words.startswith("<")):
                yield (
                    f"cell {place} shows a picture whose text is {words!r}: it must say what the "
                    "picture shows"
                )
            yield from pictures_in_text(place, data.get("text/html", ""))


def pictures_in_text(place: int, text: str) -> Iterator[str]:
    """Markdown's and HTML's pictures without alt text."""
    for picture in re.findall(r"!\[\s*\]\([^)]*\)", text):
        yield f"cell {place} has a picture without alt text: {picture}"
    for picture in re.findall(r"<img\b[^>]*>", text, re.I):
        if "see the table" in picture.lower():
            yield f"cell {place} has an alternative text that sends to a table"
        if not ALT.search(picture):
            yield f"cell {place} has a picture without alt text: {first_line(picture)}"


def loosened(notebook: NotebookNode) -> dict[str, int]:
    """How often each tag or comment that loosens nbval's comparison is used."""
    found: dict[str, int] = {}
    for _, cell in code_cells(notebook):
        comments = {
            line.strip().lstrip("#").strip().lower().replace("_", "-")
            for line in comment_lines(cell.source)
        }
        for mark in (comments | set(cell.metadata.get("tags", []))) & LOOSENING:
            found[mark] = found.get(mark, 0) + 1
    return found


def comment_lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip().startswith("#")]


def texts(cell: NotebookNode) -> Iterator[str]:
    """Every text among a cell's outputs."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield output.get("evalue", "")
        yield "\n".join(output.get("traceback", []))
        yield from (
            value
            for kind, value in output.get("data", {}).items()
            if kind.startswith("text/") or "svg" in kind
        )


def first_line(text: str) -> str:
    return " ".join(text.split())[:100]
