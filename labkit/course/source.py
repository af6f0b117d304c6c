"""Show the source of a class or function of labkit in a notebook, coloured by the notebook's own
theme, without a path, in lines of at most 80 columns.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from typing import Any

from labkit.course.wrap import wrapped_code


@dataclass(frozen=True, repr=False)
class Source:
    """Python source under the name of what it is the source of."""

    name: str
    code: str

    def __repr__(self) -> str:
        return f"# {self.name}\n{wrapped_code(self.code)}"

    def _repr_markdown_(self) -> str:
        fence = "```"
        while fence in self.code:
            fence += "`"
        return f"{fence}python\n{self!r}\n{fence}"


def source(thing: Any, *, docstrings: bool = True) -> Source:
    """The source of a class, function, method or module; without its docstrings when `docstrings`
    is False.

    Raises TypeError for anything that has no Python source.
    """
    try:
        code = textwrap.dedent(
            inspect.getsource(inspect.unwrap(thing) if callable(thing) else thing)
        ).rstrip()
    except (TypeError, OSError):
        raise TypeError(
            "source needs a class, function or module written in Python, "
            f"got {type(thing).__name__}"
        ) from None
    name = getattr(thing, "__name__", type(thing).__name__)
    if not inspect.ismodule(thing):
        name = f"{thing.__module__}.{thing.__qualname__}".rpartition("<locals>.")[2]
    return Source(name, code if docstrings else _without_docstrings(code))


def _without_docstrings(code: str) -> str:
    lines = code.splitlines()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(code)):
        if (
            isinstance(node, documented)
            and ast.get_docstring(node) is not None
            and len(node.body) > 1
        ):
            first, following = node.body[0], node.body[1]
            begin, end = first.lineno - 1, first.end_lineno or first.lineno
            while end < following.lineno - 1 and not lines[end].strip():
                end += 1
            lines[begin:end] = [None] * (end - begin)  # type: ignore[list-item]  # None marks a line to drop
    return "\n".join(line for line in lines if line is not None)
