"""Who is told what a program does, for a test or a lesson that watches it.

Shows: `observe("held", hold=…)` at each point at which something has just become true; a world's
`record` will do."""

from __future__ import annotations

from typing import Any, Protocol


class Observe(Protocol):
    """Is told what happens: a kind, and the facts of it."""

    def __call__(self, kind: str, /, **facts: Any) -> object: ...


def ignore(kind: str, /, **facts: Any) -> None:
    """The `observe` of a program that nobody watches."""
