"""Packages load the names they offer when these are asked for: `labkit/_lazy.py`."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from labkit._lazy import lazily
from tools.dev import ROOT

PACKAGES = [
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in sorted((ROOT / "labkit").rglob("__init__.py"))
    if "lazily(" in path.read_text()
]


def seen_by_type_checkers(package: str) -> set[str]:
    """The names imported under `if TYPE_CHECKING`, each as itself."""
    source = Path(import_module(package).__file__ or "").read_text()
    block = next(node for node in ast.parse(source).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert {alias.asname for node in imports for alias in node.names} == names
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_python_and_type_checkers_see_the_same_names(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) == seen_by_type_checkers(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_a_name_loads_its_own_file_only() -> None:
    code = (
        "from labkit.check import Invariant; "
        "import sys; print('labkit.check.models' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "False\n"


def test_an_unknown_name_is_refused_as_usual() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Invariance'"):
        exec("from labkit.check import Invariance")
    with pytest.raises(AttributeError, match=r"module 'labkit\.check' has no attribute 'Invar'"):
        import_module("labkit.check").__getattr__("Invar")


def test_a_name_cannot_be_that_of_a_file() -> None:
    with pytest.raises(ValueError, match="'run' cannot be both a file and a name it offers"):
        lazily("labkit.sim", run="run sweep")
