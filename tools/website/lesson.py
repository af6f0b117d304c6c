"""A notebook as a page of the website.

Text, code and stored outputs stay as they are, with three exceptions. Each figure becomes a picture
in a file of its own with its alternative text, wrapped in a link that enlarges it. The first time a
lesson uses a term of the glossary, the term links there. Links to files that are no page of the
site become plain text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import PurePosixPath

import nbformat
from nbformat import NotebookNode

from tools.website.terms import Glossary, terms_in

_IMAGE = re.compile(r"<img\b[^>]*>", re.I)
_DATA = re.compile(r"\bsrc=[\"']data:image/(svg\+xml|png|jpeg);base64,([^\"']+)[\"']", re.I)
_ALT = re.compile(r"\balt=(\"[^\"]*\"|'[^']*')", re.I)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_SUFFIX = {"svg+xml": "svg", "png": "png", "jpeg": "jpg"}


@dataclass
class Page:
    """A lesson on its way to the website. `path` is its place among the notebooks, `pages` are the
    places of all; `pictures` fills with the files of its figures.
    """

    path: PurePosixPath
    pages: set[PurePosixPath]
    glossary: Glossary
    pictures: dict[str, bytes] = field(default_factory=dict)
    terms: dict[str, str] = field(default_factory=dict)

    def rendered(self, notebook: NotebookNode) -> str:
        """The text of the page's notebook."""
        notebook = nbformat.from_dict(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = self._linked(self._explained(cell.source))
            for output in cell.get("outputs", []):
                if "data" in output:
                    output.data = self._shown(output.data)
        return nbformat.writes(notebook)

    def figure(self, content: bytes, suffix: str, alt: str) -> str:
        """The HTML of a picture that can be enlarged, kept as a file."""
        name = f"figure-{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        self.pictures[name] = content
        source = "../" * (len(self.path.parts) - 1) + f"_static/{name}"
        picture = f'<img class="dark-light" src="{source}" alt="{escape(alt)}"{_size(content)}>'
        return f'<figure class="enlarge"><a href="{source}">{picture}</a></figure>'

    def _shown(self, data: NotebookNode) -> NotebookNode:
        """An output's data with its figure as HTML, or as it is."""
        html, svg = str(data.get("text/html", "")), data.get("image/svg+xml")
        if _DATA.search(html):
            return NotebookNode({"text/html": _IMAGE.sub(self._kept, html)})
        if svg:
            alt = _first(r"<desc[^>]*>(.*?)</desc>", svg)
            return NotebookNode({"text/html": self.figure(svg.encode(), "svg", alt)})
        if "image/png" in data:
            alt = data.get("text/plain", "").partition("\n")[0]
            png = base64.b64decode(data["image/png"])
            return NotebookNode({"text/html": self.figure(png, "png", alt)})
        return data

    def _kept(self, image: re.Match[str]) -> str:
        data, alt = _DATA.search(image[0]), _ALT.search(image[0])
        if not data:
            return image[0]
        words = unescape(alt[1][1:-1]) if alt else ""
        return self.figure(base64.b64decode(data[2]), _SUFFIX[data[1].lower()], words)

    def _explained(self, markdown: str) -> str:
        """The text with the first mention of each term linked to the glossary."""

        def linked(found: re.Match[str]) -> str:
            entry = self.glossary.entry(found[1])
            if entry is None or entry.term in self.terms:
                return found[0]
            self.terms[entry.term] = found[1]
            return f"**{{term}}`{found[1]} <{entry.term}>`**"

        return _replaced(markdown, list(terms_in(markdown)), linked)

    def _linked(self, markdown: str) -> str:
        """The text without links to files that are no page of the site."""

        def kept(found: re.Match[str]) -> str:
            target = found[2].partition("#")[0]
            if not target or re.match(r"[a-z]+:", target):
                return found[0]
            return found[0] if self._place(target) in self.pages else found[1]

        return _LINK.sub(kept, markdown)

    def _place(self, target: str) -> PurePosixPath:
        parts: list[str] = list(self.path.parent.parts)
        for part in PurePosixPath(target).parts:
            if part == ".." and parts:
                parts.pop()
            else:
                parts.append(part)
        return PurePosixPath(*parts)


def _replaced(text: str, matches: list[re.Match[str]], new: Callable[[re.Match[str]], str]) -> str:
    parts, end = [], 0
    for match in matches:
        parts += [text[end : match.start()], new(match)]
        end = match.end()
    return "".join([*parts, text[end:]])


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.S)
    return unescape(found[1]).strip() if found else ""


def _size(content: bytes) -> str:
    """The width and height of an SVG in pixels, so that the page does not jump while it loads."""
    found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', content)
    if not found:
        return ""
    width, height = (round(float(number) * 96 / 72) for number in found.groups())
    return f' width="{width}" height="{height}"'
