"""The glossary explains every term that a lesson sets in bold, and nothing else."""

from __future__ import annotations

import nbformat
import pytest

from tools.website.source import NOTEBOOKS, notebooks
from tools.website.terms import Entry, Glossary, read_glossary, terms_in


def bold_in_lessons() -> list[str]:
    """Every bold term of every lesson and solution."""
    cells = (cell for place in notebooks() for cell in nbformat.read(NOTEBOOKS / place, 4).cells)
    return [
        found[1]
        for cell in cells
        if cell.cell_type == "markdown"
        for found in terms_in(cell.source)
    ]


def test_every_bold_term_of_every_lesson_is_explained() -> None:
    missing = read_glossary().missing(bold_in_lessons())
    assert missing == [], "add them to tools/website/glossary.toml"


def test_every_entry_is_used_by_a_lesson() -> None:
    unused = read_glossary().unused(bold_in_lessons())
    assert unused == [], "take them out of tools/website/glossary.toml"


@pytest.mark.parametrize("entry", read_glossary().entries, ids=lambda entry: entry.term)
def test_an_entry_has_a_spanish_name_and_one_or_two_sentences(entry: Entry) -> None:
    assert entry.spanish.strip()
    assert entry.meaning.endswith(".")
    assert 1 <= entry.meaning.count(". ") + 1 <= 2


def test_a_term_without_an_entry_and_an_entry_without_a_term_are_found() -> None:
    entries = (
        Entry("outbox", "bandeja", "A table."),
        Entry("lease", "plazo", "Time."),
    )
    glossary = Glossary(entries, frozenset({"one step"}))
    bold = ["Outbox", "relay", "one step"]
    assert glossary.missing(bold) == ["relay"]
    assert glossary.unused(bold) == ["lease"]
    assert glossary.unused(["lease", "outbox"]) == ["one step"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("A **relay** reads.", ["relay"]),
        ("**CP** and **AP** name what it does.", ["CP", "AP"]),
        ("in one transaction: an **outbox**.\nA **relay**\nreads", ["outbox", "relay"]),
        ("| the **inbox** | no |", ["inbox"]),
        ("- **show** the schedule", []),
        ("3. **Every hold** ends", []),
        ("**Step 1: renewal.** It works.", []),
        ("**Sources**\n\n- one", []),
        ("so **that is a whole sentence** in bold", []),
        ("`a ** b` and 2 ** 3", []),
    ],
)
def test_a_term_is_bold_and_inside_a_sentence(text: str, terms: list[str]) -> None:
    assert [found[1] for found in terms_in(text)] == terms
