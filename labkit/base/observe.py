"""The callback to which a program reports what it does, so that a test or a lesson can watch it.

A pattern calls `observe("held", hold=…)` at each point at which something has just become true. In
a lesson, the callback is the world's `record`."""

from __future__ import annotations

from typing import Any, Protocol


class Observe(Protocol):
    """Called with the kind of event and its facts."""

    def __call__(self, kind: str, /, **facts: Any) -> object: ...


def ignore(kind: str, /, **facts: Any) -> None:
    """The default `observe`: it does nothing."""
