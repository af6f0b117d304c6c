"""Every notebook of the course passes every gate. That its outputs are right is nbval's part of
`make test`.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tools import gates
from tools.notebooks import ROOT, lessons, normalised

# notebook, mark: (how often, why the comparison has to be loosened there). A new one needs its
# reason here.
LOOSENED: dict[tuple[str, str], tuple[int, str]] = {}


def names() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in lessons([])]


def read(name: str) -> NotebookNode:
    return nbformat.read(ROOT / name, as_version=4)


@pytest.mark.parametrize("name", names())
def test_nothing_in_the_notebook_is_at_fault(name: str) -> None:
    assert gates.faults_in(read(name)) == []


@pytest.mark.parametrize("name", names())
def test_the_file_is_in_normal_form(name: str) -> None:
    stored = (ROOT / name).read_bytes().decode("utf-8")
    assert stored == normalised(read(name)), (
        f"make notebooks ONLY={Path(name).stem} brings it into normal form"
    )


def test_the_comparison_is_loosened_only_where_a_reason_stands() -> None:
    found = {
        (name, mark): count
        for name in names()
        for mark, count in gates.loosened(read(name)).items()
    }
    assert found == {place: count for place, (count, _) in LOOSENED.items()}
    assert all(reason for _, reason in LOOSENED.values())
