"""How deep the tests search is said in one place, and every search repeats."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.depth import DEEP, QUICK, tenth_of
from tools.dev import ROOT

# Their subject is the search itself: what it finds and reports within so many runs.
OF_THE_SEARCH = (
    "tests/sim/test_search.py",
    "tests/sim/test_progress.py",
    "tests/sim/test_unbiased.py",
    "tests/sim/test_errors.py",
)
NUMBERS = {"falsify": "runs", "settings": "max_examples"}


def numbers_in(source: str) -> Iterator[str]:
    """Every depth that is written as a number, as "line: keyword=number"."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        for word in node.keywords:
            if word.arg == NUMBERS.get(called) and isinstance(word.value, ast.Constant):
                yield f"{node.lineno}: {word.arg}={word.value.value}"


def test_no_test_writes_a_depth_of_its_own() -> None:
    found = {
        str(path.relative_to(ROOT)): list(numbers_in(path.read_text(encoding="utf-8")))
        for path in (ROOT / "tests").rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in OF_THE_SEARCH
    }
    assert {name: numbers for name, numbers in found.items() if numbers} == {}


def test_a_depth_written_as_a_number_is_seen() -> None:
    assert list(numbers_in("falsify(a, b, runs=70)\n@settings(max_examples=9)\ndef t(): ...")) == [
        "1: runs=70",
        "2: max_examples=9",
    ]


def test_the_deep_profile_is_deeper_everywhere() -> None:
    assert all(DEEP.runs[cost] >= 10 * QUICK.runs[cost] for cost in QUICK.runs)
    assert all(DEEP.examples[cost] >= 10 * QUICK.examples[cost] for cost in QUICK.examples)
    assert DEEP.answers is None and DEEP.anew and not QUICK.anew
    assert DEEP.every == 1 < QUICK.every and DEEP.kills > QUICK.kills


def not_searching(source: str) -> Iterator[str]:
    """The tests that take a sample in the quick profile, and that the deep one does not run."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
        samples = any(isinstance(call, ast.Name) and call.id == "sampled" for call in calls)
        marks = [ast.unparse(decorator) for decorator in node.decorator_list]
        if samples and "pytest.mark.search" not in marks:
            yield node.name


def test_the_deep_profile_runs_every_test_that_takes_a_sample() -> None:
    files = (ROOT / "tests").rglob("*.py")
    assert [name for path in files for name in not_searching(path.read_text("utf-8"))] == []


def test_a_sample_that_the_deep_profile_would_not_complete_is_seen() -> None:
    bare = "def test_it():\n    for moment in sampled([1, 2]): ..."
    assert list(not_searching(bare)) == ["test_it"]
    assert list(not_searching("@pytest.mark.search\n" + bare)) == []


def pytest_of(folder: Path, source: str, *options: str, depth: str = "quick") -> str:
    """What pytest prints, with the plugins of this course, about a file of tests."""
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    ours = ["-c", str(ROOT / "pyproject.toml"), "-p", "tests.support.depth"]
    command = [sys.executable, "-m", "pytest", "-v", *ours, *options]
    # What other packages bring along takes seconds to load, and is not what is tested.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"--rootdir={folder}", str(folder / "test_it.py")],
        env={**os.environ, **alone, "PYTHONPATH": str(ROOT), "LABKIT_DEPTH": depth},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


PROPERTY = """
from hypothesis import given, settings, strategies as st
from tests.support.depth import examples

{decorator}
@given(st.integers())
def test_any(number): ...

def test_plain(): ...
"""
MACHINE = """
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, rule

class Machine(RuleBasedStateMachine):
    @rule()
    def step(self): ...

TestMachine = Machine.TestCase
TestMachine.settings = settings(derandomize={derandomize})
"""


@pytest.mark.parametrize(
    "source",
    [
        PROPERTY.format(decorator="@settings(derandomize=False)"),
        MACHINE.format(derandomize=False),
    ],
    ids=["property", "machine"],
)
def test_a_property_test_that_draws_other_examples_in_every_run_is_refused(
    source: str, tmp_path: Path
) -> None:
    said = pytest_of(tmp_path, source)
    assert "draws other examples in every run: leave out derandomize=False" in said
    assert "passed" not in said


@pytest.mark.parametrize(
    "source",
    [
        PROPERTY.format(decorator=""),
        PROPERTY.format(decorator='@examples("cheap")'),
        MACHINE.format(derandomize=True),
    ],
    ids=["property", "with a depth", "machine"],
)
def test_the_others_are_derandomised_and_belong_to_the_deep_search(
    source: str, tmp_path: Path
) -> None:
    said = pytest_of(tmp_path, source, "-m", "search")
    assert "1 passed" in said and "test_plain" not in said


def test_a_profile_that_does_not_exist_is_named(tmp_path: Path) -> None:
    said = pytest_of(tmp_path, "def test_plain(): ...", depth="deeper")
    assert "LABKIT_DEPTH must be one of quick, deep, got 'deeper'" in said


def test_the_tenths_are_all_tests_each_once(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.parametrize('n', range(30))\ndef test_it(n): ..."
    parts = [
        re.findall(r"test_it\[(\d+)\] PASSED", pytest_of(tmp_path, source, f"--tenth={tenth}"))
        for tenth in (0, 1)
    ]
    here = [[str(n) for n in range(30) if tenth_of(f"x[{n}]") == tenth] for tenth in (0, 1)]
    assert parts == here and any(parts)
    assert "--tenth must be from 0 to 9, got 10" in pytest_of(tmp_path, source, "--tenth=10")
