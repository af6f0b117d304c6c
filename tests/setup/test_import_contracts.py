"""Who may import whom: `make test` checks the contracts, and here each is proved able to fail on a
broken copy.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.dev import ROOT

ALL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
CONTRACTS = [contract for contract in ALL if contract["type"] == "forbidden"]
LAYERS = {
    folder
    for contract in ALL
    if contract["type"] == "layers"
    for line in contract["layers"]
    for folder in line.split(" | ")
}
LESSONS = [contract for contract in ALL if contract["type"] == "independence"]
LINT = "from importlinter.cli import lint_imports_command as main; main()"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(
        ROOT / "labkit", tmp_path / "labkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-c", LINT, "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_the_untouched_copy_is_kept(copy: Path) -> None:
    code, said = lint(copy)
    assert code == 0, said


@pytest.mark.parametrize(
    ("package", "imports"),
    [
        (source.removeprefix("labkit."), forbidden)
        for contract in CONTRACTS
        for source, forbidden in zip(
            contract["source_modules"], contract["forbidden_modules"], strict=False
        )
    ],
)
def test_a_forbidden_import_is_noticed(copy: Path, package: str, imports: str) -> None:
    (copy / "labkit" / package / "stray.py").write_text(f"import {imports}\n")
    code, said = lint(copy)
    assert code == 1
    assert f"labkit.{package}.stray -> {imports}" in said, said


def test_a_detour_is_noticed_too(copy: Path) -> None:
    (copy / "labkit" / "world" / "stray.py").write_text("import labkit.sim\n")
    (copy / "labkit" / "shop" / "stray.py").write_text("import labkit.world.stray\n")
    code, said = lint(copy)
    assert code == 1
    assert "labkit.shop.stray -> labkit.world.stray" in said, said


@pytest.mark.parametrize(
    ("package", "imports"),
    [("sim", "labkit.real"), ("real", "labkit.sim"), ("world", "labkit.check")],
)
def test_neither_the_other_world_nor_a_folder_above_may_be_imported(
    copy: Path, package: str, imports: str
) -> None:
    (copy / "labkit" / package / "stray.py").write_text(f"import {imports}\n")
    code, said = lint(copy)
    assert code == 1
    assert f"labkit.{package} is not allowed to import {imports}" in said, said


ONLY_FOR_TYPES = """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import {}
"""


@pytest.mark.parametrize("folder", ["sim", "sim/kernel", "real", "world", "check", "course"])
def test_a_circle_of_two_files_is_noticed(copy: Path, folder: str) -> None:
    package = f"labkit.{folder.replace('/', '.')}"
    (copy / "labkit" / folder / "one.py").write_text(f"import {package}.other\n")
    (copy / "labkit" / folder / "other.py").write_text(ONLY_FOR_TYPES.format(f"{package}.one"))
    code, said = lint(copy)
    assert code == 1
    assert f"No cycles are allowed in {package}." in said, said


def test_the_kernel_may_not_know_what_stands_on_it(copy: Path) -> None:
    (copy / "labkit" / "sim" / "kernel" / "stray.py").write_text("import labkit.sim.sql\n")
    code, said = lint(copy)
    assert code == 1
    assert "No cycles are allowed in labkit.sim." in said, said


def test_no_file_imports_the_package_that_it_is_in() -> None:
    """It would be a circle that the linter does not see."""
    strays = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "labkit").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == ".".join(path.parent.relative_to(ROOT).parts)
        and any(not is_file(path.parent / alias.name) for alias in node.names)
    ]
    assert strays == []


def is_file(place: Path) -> bool:
    return place.with_suffix(".py").is_file() or place.is_dir()


def test_every_folder_has_its_layer() -> None:
    folders = {f"labkit.{path.parent.name}" for path in (ROOT / "labkit").glob("*/__init__.py")}
    assert folders == LAYERS


def test_every_folder_but_course_and_lessons_is_under_a_contract() -> None:
    folders = {f"labkit.{path.parent.name}" for path in (ROOT / "labkit").glob("*/__init__.py")}
    held = {module for contract in CONTRACTS for module in contract["source_modules"]}
    assert folders - {"labkit.course", "labkit.lessons"} == held


def test_nothing_may_import_the_course() -> None:
    assert all("labkit.course" in contract["forbidden_modules"] for contract in CONTRACTS)
    assert all("labkit.lessons" in contract["forbidden_modules"] for contract in CONTRACTS)


def test_every_lesson_is_independent_of_the_others() -> None:
    folders = {path.parent.name for path in (ROOT / "labkit/lessons").glob("*/__init__.py")}
    listed = {module for contract in LESSONS for module in contract["modules"]}
    assert {f"labkit.lessons.{folder}" for folder in folders - {"shared"}} == listed
