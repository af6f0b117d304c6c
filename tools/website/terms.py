"""The terms of the course: the words that lessons set in bold, and what the glossary says of them.

A term is bold text inside a sentence, of at most three words. Bold text that opens a list item,
ends with a full stop, or stands alone is a heading in small, and no term. Bold words that only
stress something are listed in the glossary file under `stressed`, so that all are accounted for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

GLOSSARY = Path(__file__).with_name("glossary.toml")

_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", re.S)
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+$")
_MOST_WORDS = 3


@dataclass(frozen=True)
class Entry:
    """One term: how the lessons write it, what it is called in Spanish, and what it means."""

    term: str
    spanish: str
    meaning: str
    forms: tuple[str, ...] = ()

    def spellings(self) -> set[str]:
        """Every way in which a lesson may write the term, in lower case."""
        return {form.lower() for form in (self.term, *self.forms)}


@dataclass(frozen=True)
class Glossary:
    """The entries in alphabetical order, and the bold words that are no terms."""

    entries: tuple[Entry, ...]
    stressed: frozenset[str]

    def entry(self, bold: str) -> Entry | None:
        """The entry for a bold word of a lesson."""
        found = (entry for entry in self.entries if bold.lower() in entry.spellings())
        return next(found, None)

    def missing(self, bold: Iterable[str]) -> list[str]:
        """The bold words that are neither explained nor marked as stressed."""
        return sorted(
            {term for term in bold if not self.entry(term) and term.lower() not in self.stressed}
        )

    def unused(self, bold: Iterable[str]) -> list[str]:
        """The entries and stressed words that no lesson sets in bold."""
        used = {term.lower() for term in bold}
        entries = {entry.term for entry in self.entries if not entry.spellings() & used}
        return sorted(entries | {word for word in self.stressed if word not in used})


def read_glossary(path: Path = GLOSSARY) -> Glossary:
    """The glossary as its file says."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    entries = (
        Entry(term, given["es"], given["meaning"], tuple(given.get("forms", ())))
        for term, given in content["terms"].items()
    )
    return Glossary(
        entries=tuple(sorted(entries, key=lambda entry: entry.term.lower())),
        stressed=frozenset(word.lower() for word in content["stressed"]),
    )


def terms_in(markdown: str) -> Iterator[re.Match[str]]:
    """The bold terms of a text, as matches whose first group is the term."""
    for found in _BOLD.finditer(markdown):
        if _is_term(found, markdown):
            yield found


def _is_term(found: re.Match[str], markdown: str) -> bool:
    bold = found[1]
    if bold[-1] in ".:?!" or len(bold.split()) > _MOST_WORDS:
        return False
    line_so_far = markdown[: found.start()].rpartition("\n")[2]
    if _LIST_ITEM.match(line_so_far):
        return False
    rest_of_line = markdown[found.end() :].partition("\n")[0]
    return bool(line_so_far.strip() or rest_of_line.strip())
