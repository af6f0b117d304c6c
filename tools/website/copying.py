"""Which files a team copies to use one class of labkit: worked out from the imports.

The files of a class are the module that defines it and every module of labkit that one imports, and
so on. The packages are what those files import from elsewhere. `__init__.py` files are no part of
it: in the copy each folder has an empty one, since labkit's own offer the whole folder. Leaves out:
packages that are named only in a database URL, such as aiosqlite and asyncpg."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Copy:
    """What using one class takes: its module, files relative to the project, packages, lines."""

    name: str
    module: str
    files: tuple[str, ...]
    packages: tuple[str, ...]
    lines: int


def copies(package: str) -> list[Copy]:
    """For each public class of a package (such as "labkit.locks") what it needs, except for errors:
    those come with the classes that raise them.
    """
    public = importlib.import_module(package)
    chosen = [name for name in public.__all__ if _is_class(getattr(public, name))]
    return [copy_of(name, getattr(public, name).__module__) for name in sorted(chosen)]


def copy_of(name: str, module: str) -> Copy:
    """What the class `name`, defined in `module`, needs."""
    modules = sorted(closure(module))
    imported = {package for each in modules for package in _imports(each)[1]}
    paths = [_path(each) for each in modules]
    return Copy(
        name=name,
        module=module,
        files=tuple(path.relative_to(ROOT).as_posix() for path in paths),
        packages=tuple(sorted({_distribution(package) for package in imported})),
        lines=sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths),
    )


def closure(module: str) -> set[str]:
    """The module and all modules of labkit that it needs."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += _imports(each)[0]
    return found


def _is_class(value: object) -> bool:
    return inspect.isclass(value) and not issubclass(value, BaseException)


@cache
def _imports(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """The modules of labkit and the outside packages that a module imports, anywhere in it."""
    named = set(_named(ast.parse(_path(module).read_text(encoding="utf-8"))))
    own = {_module(name) for name in named if name.split(".")[0] == "labkit"}
    outside = {name.split(".")[0] for name in named} - {"labkit"} - sys.stdlib_module_names
    return frozenset(own), frozenset(outside)


def _named(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that is imported, except for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not _for_types_only(node):
            yield from _named(node)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _module(name: str) -> str:
    """The module that an imported name means: itself, or the one that it is imported from."""
    if _path(name).is_file():
        return name
    parent = name.rpartition(".")[0]
    if _path(parent).is_file():
        return parent
    exported = getattr(importlib.import_module(parent), name.rpartition(".")[2])
    return str(exported.__module__)


def _path(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def _distribution(package: str) -> str:
    return min(_distributions()[package])


@cache  # reads the list of files of everything that is installed
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()
