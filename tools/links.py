"""Every relative link in a notebook or a page opens what it names.

JupyterLab opens files only: a link to a folder is an error there. `dead_links` looks at Markdown
links and pictures and at `href` and `src`; links to other hosts are left out, as nothing here asks
the network. A heading's anchor is checked against the headings of the page, spelled as JupyterLab
(`#The-bench`) or GitHub (`#the-bench`) spells it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

MARKDOWN = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
HTML = re.compile(r"""\b(?:href|src)\s*=\s*["']([^"']+)["']""", re.I)
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.I)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)


def text_of(page: Path) -> str:
    """A page's Markdown: the file itself, or the text cells of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def links_in(text: str) -> Iterator[str]:
    """The targets of all links of a page that lead to a file or to a place in the page."""
    plain = CODE.sub("``", text)
    for pattern in (MARKDOWN, HTML):
        for found in pattern.findall(plain):
            if not ELSEWHERE.match(found):
                yield found


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, in JupyterLab's spelling and in GitHub's."""
    found = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, re.M):
        words = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found |= {words.replace(" ", "-"), re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")}
    return found


def dead_links(page: Path) -> list[str]:
    """Every link of a page that does not open what it names, as a sentence."""
    faults, text = [], text_of(page)
    for link in links_in(text):
        name, _, anchor = link.partition("#")
        target = page.parent / unquote(name) if name else page
        if not target.exists():
            faults.append(f"{link} names a file that is not there")
        elif target.is_dir() and page.suffix == ".ipynb":
            faults.append(f"{link} is a folder, which JupyterLab cannot open")
        elif anchor and unquote(anchor) not in anchors(text_of(target)):
            faults.append(f"{link} names a heading that is not there")
    for line in text.splitlines():
        if re.match(r"\W*Next\b\W*:", line) and not any(links_in(line)):
            faults.append(f"the line {line[:60]!r} names a next lesson without a link")
    return faults
