"""Names that a package offers and loads only when they are asked for (PEP 562).

`from labkit.check import Invariant` then imports the file that `Invariant` is in, and no other. A
package's `__init__` says the names twice: once for type checkers and editors, once for Python.

    if TYPE_CHECKING:
        from labkit.check.verdict import Invariant as Invariant
        from labkit.check.verdict import Verdict as Verdict
    else:
        __all__, __getattr__, __dir__ = lazily(__name__, verdict="Invariant Verdict")

`tests/setup/test_lazy_names.py` compares the two. Leaves out: a function with the name of a file of
its package. Python would put the module in the function's place, so that is an error here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

Lazy = tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]


def lazily(package: str, **files: str) -> Lazy:
    """`__all__`, `__getattr__` and `__dir__` for the package. Each of its `files` is given with the
    names that it holds, separated by spaces.
    """
    home = {name: file for file, names in files.items() for name in names.split()}
    if taken := sorted(home.keys() & files.keys()):
        raise ValueError(f"{package}: {taken[0]!r} cannot be both a file and a name it offers")

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, found)  # the next time, nobody asks here
        return found

    return sorted(home), load, lambda: sorted({*vars(sys.modules[package]), *home})
