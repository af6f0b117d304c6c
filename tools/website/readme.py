"""What the website takes from the README: the words before the first section, the table of lessons,
and the order of the folders of labkit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


@dataclass(frozen=True)
class Row:
    """A row of the table of lessons."""

    title: str
    file: str
    minutes: str
    exercises: str
    section: str


def introduction(text: str) -> tuple[str, list[str]]:
    """The title, and the paragraphs before the first section."""
    head = text.partition("\n## ")[0]
    title, *paragraphs = re.split(r"\n{2,}", head.strip())
    return title.removeprefix("# "), paragraphs


def rows(text: str) -> list[Row]:
    """The lessons in the order of the table."""
    cells = r"^\| \[(.+?)\]\(notebooks/(.+?)\) \| (.+?) \| ?(.*?) ?\| ?(.*?) ?\|$"
    found = re.findall(cells, text, re.M)
    return [Row(*row) for row in found]


def packages(text: str) -> list[str]:
    """The packages of labkit ("labkit.locks") in the order of the table of folders."""
    return [f"labkit.{name}" for name in re.findall(r"^\| `labkit/(\w+)` \|", text, re.M)]
