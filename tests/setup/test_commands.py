"""The commands that README and CONTRIBUTING name exist, and the tool behind them says when
something failed.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cost import FIXED, LESSONS, OF_A_LESSON, WHOLE
from tools import dev
from tools.dev import ROOT

TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
PAGES = [page for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if page.exists()]


def commands(text: str, start: str) -> set[str]:
    """The words after `start` in the code of a page."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.S))
    return set(re.findall(rf"(?<![\w-]){start} ([a-z]+)", code))


def test_make_and_the_tool_have_the_same_commands() -> None:
    assert {"help", *dev.COMMANDS} == TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert commands(text, "make") <= TARGETS
    assert commands(text, r"(?:py|python3?) tools/dev\.py") <= set(dev.COMMANDS)


def test_readme_gives_the_two_commands_with_and_without_make() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"lab", "test"} <= commands(text, "make")
    assert {"lab", "test"} <= commands(text, r"py tools/dev\.py")


def test_the_development_container_uses_them() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"].removeprefix("make ") in TARGETS


def test_a_python_too_old_for_the_course_can_still_read_the_tool() -> None:
    ast.parse((ROOT / "tools" / "dev.py").read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(
    "culprit", ["ruff check", "ruff format", "mypy", "import contracts", "tests", "notebooks"]
)
def test_one_failing_stage_fails_the_whole_and_is_named(
    culprit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = {
        "ruff check": "check",
        "ruff format": "format",
        "mypy": "mypy",
        "import contracts": "--no-logo",
        "tests": "tests",
        "notebooks": "--nbval",
    }
    monkeypatch.setattr(dev, "run", lambda *command: int(marks[culprit] in command))
    assert dev.test([]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if "FAILED" in line]
    assert any(culprit in line for line in failed)


def commands_of(
    monkeypatch: pytest.MonkeyPatch, command: str, arguments: list[str]
) -> list[list[str]]:
    """What a command of the tool would run, each without the interpreter."""
    ran: list[list[str]] = []

    def note(*words: object) -> int:
        ran.append([str(word) for word in words[1:]])
        return 0

    monkeypatch.setattr(dev, "run", note)
    assert dev.COMMANDS[command](arguments) == 0
    return ran


def test_a_folder_alone_is_tested_and_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    (only,) = commands_of(monkeypatch, "test", ["-x", "tests/world"])
    assert only[-1] == "tests/world" and "tests" not in only
    assert "-x" in only and "--nbval" not in only


def test_a_lesson_alone_is_its_tests_and_its_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    tests, compared = commands_of(monkeypatch, "test", ["--only", "1_1a"])
    assert tests[tests.index("-k") :][:2] == ["-k", "1_1a or 1.1a"] and "tests/lessons" in tests
    chosen = [Path(word).stem for word in compared if word.endswith(".ipynb")]
    assert chosen and all(name.startswith("1_1a") for name in chosen)


def test_a_lesson_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(SystemExit, match=r"no notebook is named like '9_9'; there are 00_start"):
        dev.test(["--only", "9_9"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("browser", ["-k", "1_1a or 1.1a"]),
        ("notebooks", ["1_1a"]),
        ("deep", ["-k", "1_1a or 1.1a"]),
    ],
)
def test_every_command_takes_a_lesson_in_the_same_way(
    command: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_DEPTH", "quick")
    (ran,) = commands_of(monkeypatch, command, ["--only", "1_1a"])
    at = ran.index(words[0], 2) if command != "notebooks" else ran.index(words[0])
    assert ran[at : at + len(words)] == words


def test_a_lesson_that_is_only_a_number_is_not_looked_for_in_other_numbers(tmp_path: Path) -> None:
    """`-k 00` took every test whose name has a time such as 0.001 in it."""
    belong = ["00-1-increment", "notebooks/00_start_here.ipynb", "00_start_here.ipynb"]
    others = ["crash-0.001-east", "300-4", "1.1a-1-release"]
    marked = f"@pytest.mark.parametrize('id', {belong + others})"
    (tmp_path / "test_ids.py").write_text(f"import pytest\n{marked}\ndef test_it(id): ...\n")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *dev.named_like("00")]
    found = subprocess.run(
        [*command, str(tmp_path)],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    ids = [line.partition("[")[2][:-1] for line in found.stdout.splitlines() if "[" in line]
    assert ids == belong


def test_a_benchmark_is_chosen_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands_of(monkeypatch, "bench", ["--only", "sim"]) == [
        ["-m", "tests.benchmarks.bench_sim"]
    ]


@pytest.mark.parametrize(("commits", "tenth"), [("120", 0), ("137", 7)])
def test_ci_takes_the_tenth_of_its_commit(
    commits: str, tenth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_DEPTH", "quick")
    monkeypatch.setattr(dev, "answer", lambda *words: "false" if "rev-parse" in words else commits)
    (ran,) = commands_of(monkeypatch, "deep", ["--tenth"])
    assert f"--tenth={tenth}" in ran and "--tenth" not in ran


@pytest.mark.parametrize("shallow", ["true", None])
def test_a_shallow_clone_says_so_and_takes_the_first_tenth(
    shallow: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dev, "answer", lambda *words: shallow)
    assert dev.whose_turn() == 0
    assert "does not know how many commits there are" in capsys.readouterr().out


def test_the_summary_names_the_slowest_tests_and_what_each_folder_cost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(dev, "COSTS", tmp_path)

    def pytest_ran(*command: object) -> int:
        slowest = [[9.5, "a_slow_one"], [1.0, "another"]]
        told = {"cpu": {"tests/sim": 41.2}, "of a lesson": OF_A_LESSON, "slowest": slowest}
        (tmp_path / "tests.json").write_text(json.dumps(told))
        return 0

    monkeypatch.setattr(dev, "run", pytest_ran)
    assert dev.run_stages({"tests": ["pytest"]}) == 0
    said = capsys.readouterr().out
    assert re.search(r"9\.5 s +a_slow_one\n +1\.0 s +another", said) and "tests/sim 41" in said
    assert re.search(r"ok +tests +\d+ s +\d+ CPU-s", said)
    assert f"a lesson may cost {OF_A_LESSON} CPU-seconds" in said


def test_contributing_states_what_a_lesson_may_cost() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"A lesson may cost {OF_A_LESSON} CPU-seconds" in page
    assert f"{WHOLE:,} CPU-seconds" in page and f"about {FIXED}" in page
    assert f"With {LESSONS} lessons" in page


def test_all_stages_green_is_green(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "run", lambda *command: 0)
    assert dev.test([]) == 0


def test_a_change_of_the_lock_asks_for_a_new_set_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("pyproject.toml", "requirements.txt"):
        (tmp_path / name).write_text("a")
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    before = dev.fingerprint()
    assert dev.fingerprint() == before
    (tmp_path / "requirements.txt").write_text("b")
    assert dev.fingerprint() != before


def test_a_folder_that_is_no_environment_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    monkeypatch.setattr(dev, "VENV", tmp_path)
    with pytest.raises(SystemExit, match="is no virtual environment; move it away"):
        dev.make_venv("uv")
    assert (tmp_path / "thesis.txt").exists()


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command that `lab` becomes, and its environment."""
    seen: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(dev, "WINDOWS", False)
    monkeypatch.setattr(dev, "run", lambda *command: 0)
    monkeypatch.setattr(
        dev.os, "execve", lambda path, command, environment: seen.append((command, environment))
    )
    dev.lab(list(arguments))
    return seen[0]


def test_the_lab_opens_the_reader_s_copy_of_the_first_lesson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, environment = started(monkeypatch, "--no-browser")
    assert "--LabApp.default_url=/lab/tree/reading/00_start_here.ipynb" in command
    assert command[-1] == "--no-browser"
    first = environment["PATH"].split(dev.os.pathsep)[0]
    assert first == str(dev.VENV_PYTHON.parent)  # JupyterLab's terminals find the course's Python


def test_authors_open_the_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    command, _ = started(monkeypatch, "--originals")
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command
    assert "--originals" not in command


def test_without_python_make_says_what_to_install() -> None:
    done = subprocess.run(
        ["make", "lab", "PYTHON="], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no Python was found. Install Python 3.11 or newer" in done.stderr
