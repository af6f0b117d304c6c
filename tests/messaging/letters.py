"""Events for the tests of the choreography's parts, and a clock one can set."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from labkit.messaging import Catalog, Envelope


@dataclass(frozen=True)
class Asked:
    order: str


@dataclass(frozen=True)
class Answered:
    order: str
    cents: int


@dataclass(frozen=True)
class Refused:
    order: str


CATALOG = Catalog(Asked, Answered, Refused)


class Clock:
    """Shows `now`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def numbered() -> Callable[[str], str]:
    """Ids that count: event-1, event-2 …"""
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def asked(number: int = 1, order: str = "o1") -> str:
    """A message on the wire."""
    return CATALOG.encode(
        Envelope(
            f"event-{number}", "shop", order, number, f"event-{number}", None, 0.0, Asked(order)
        )
    )
