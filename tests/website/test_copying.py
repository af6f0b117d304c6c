"""What the page "Which files do I copy?" says is enough: a class needs no other file."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from tools.website import readme
from tools.website.copying import ROOT, Copy, closure, copies, copy_of
from tools.website.source import patterns

ALL = [copy for package in patterns() for copy in copies(package)]

# Imports each class from a folder of its own, in one process: labkit is forgotten in between.
IMPORTS = """
import importlib, json, sys
for folder, module, name in json.loads(sys.stdin.read()):
    for loaded in [each for each in sys.modules if each.split(".")[0] == "labkit"]:
        del sys.modules[loaded]
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        getattr(importlib.import_module(module), name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
    outside = [
        each.__file__ for key, each in sys.modules.items()
        if key.split(".")[0] == "labkit" and not each.__file__.startswith(folder)
    ]
    if outside:
        print(f"{name}: imports {outside}")
    sys.path.remove(folder)
"""


def copied(copy: Copy, folder: Path) -> list[str]:
    """Copy the files of a class as the page tells to: with their folders, an empty `__init__.py` in
    each.
    """
    for name in copy.files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    for part in {parent for name in copy.files for parent in (folder / name).parents}:
        if folder in part.parents:
            (part / "__init__.py").write_text("")
    return [str(folder), copy.module, copy.name]


def imported(copies: list[list[str]]) -> str:
    """What goes wrong when each class is imported from its folder."""
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(
        command, input=json.dumps(copies), capture_output=True, text=True, check=True, cwd="/"
    )
    return done.stdout


def test_every_class_can_be_imported_from_its_files_alone(tmp_path: Path) -> None:
    places = [copied(copy, tmp_path / str(number)) for number, copy in enumerate(ALL)]
    assert len(places) > 20
    assert imported(places) == ""


def test_a_file_that_is_left_out_is_missed(tmp_path: Path) -> None:
    lock = next(copy for copy in ALL if copy.name == "LockManager")
    place = copied(lock, tmp_path)
    (tmp_path / lock.files[0]).unlink()
    assert "LockManager: ModuleNotFoundError" in imported([place])


def test_the_packages_are_dependencies_of_labkit() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {Requirement(line).name.lower() for line in project["dependencies"]}
    # What FastAPI, httpx and SQLAlchemy bring with them and labkit imports by name.
    brought = {"pydantic", "pydantic_core", "starlette"}
    assert {name.lower() for copy in ALL for name in copy.packages} <= declared | brought


def test_a_module_needs_what_its_modules_need_and_nothing_of_the_bench() -> None:
    needed = closure("labkit.locks.manager")
    assert len(needed) > 1
    assert all(closure(module) <= needed for module in needed)
    assert not any(name.startswith(("labkit.sim", "labkit.course")) for name in needed)


def test_its_lines_are_those_of_its_files() -> None:
    copy = copy_of("StaleToken", "labkit.base.errors")
    assert copy.files == ("labkit/base/errors.py",)
    assert copy.lines == len((ROOT / "labkit/base/errors.py").read_text().splitlines())


def test_every_package_with_public_names_is_in_the_readme() -> None:
    folders = sorted(path.parent.name for path in (ROOT / "labkit").glob("*/__init__.py"))
    public = [
        name for name in folders if hasattr(importlib.import_module(f"labkit.{name}"), "__all__")
    ]
    listed = readme.packages(readme.README.read_text(encoding="utf-8"))
    assert {f"labkit.{name}" for name in public} <= set(listed)
