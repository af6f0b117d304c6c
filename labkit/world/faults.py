"""Faults a run can be given, as plain data.

Every fault strikes at a time (`at`, seconds since the run began) or when a node records an event
(`after`, the event's kind; `nth` of them). A fault is a value: the list of a run's faults, with its
seed, repeats the run.

Leaves out: damage to what is stored or sent (a flipped bit, a torn write), and nodes that lie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Any


class FaultError(ValueError):
    """A fault that makes no sense: the message names the field, its value, and what is allowed."""


_SECONDS: tuple[str, Callable[[Any], bool]] = "at least 0 seconds", lambda value: value >= 0
_NODES: tuple[str, Callable[[Any], bool]] = (
    "a tuple of names",
    lambda value: isinstance(value, tuple) and len(value) > 0,
)
_ALLOWED: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "for_": _SECONDS,
    "restart_after": _SECONDS,
    "lag": _SECONDS,
    "node": ("a name", bool),
    "one": _NODES,
    "other": _NODES,
    "by": ("a finite number of seconds", isfinite),
    "rate": ("more than 0 and finite", lambda value: 0 < value < inf),
    "factor": ("more than 0 and finite", lambda value: 0 < value < inf),
    "probability": ("from 0 to 1", lambda value: 0 <= value <= 1),
}
"""What each field of a fault may be, in words and as a test."""


@dataclass(frozen=True, kw_only=True)
class _When:
    at: float | None = None
    after: str | None = None
    nth: int = 1

    def __post_init__(self) -> None:
        name = type(self).__name__
        if (self.at is None) == (self.after is None):
            raise FaultError(
                f"{name}: give either at=seconds or after='event kind', "
                f"got at={self.at!r}, after={self.after!r}"
            )
        if self.at is not None and not 0 <= self.at < inf:
            raise FaultError(f"{name}.at must be at least 0 seconds, got {self.at!r}")
        if self.nth < 1:
            raise FaultError(f"{name}.nth must be at least 1, got {self.nth!r}")
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and item.name in _ALLOWED and not _ALLOWED[item.name][1](value):
                raise FaultError(
                    f"{name}.{item.name} must be {_ALLOWED[item.name][0]}, got {value!r}"
                )

    def __repr__(self) -> str:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        given = [item.name for item in fields(self) if values[item.name] != item.default]
        given.sort(key=lambda name: name in ("at", "after", "nth", "for_"))
        return f"{type(self).__name__}({', '.join(f'{name}={values[name]!r}' for name in given)})"


@dataclass(frozen=True, repr=False)
class Pause(_When):
    """The whole node stops for `for_` seconds, and does not notice (garbage collection, the
    migration of a virtual machine).
    """

    node: str
    for_: float


@dataclass(frozen=True, repr=False)
class Crash(_When):
    """The node dies: none of its callbacks and finally blocks runs again. It comes back after
    `restart_after` seconds, or never.
    """

    node: str
    restart_after: float | None = None


@dataclass(frozen=True, repr=False)
class Skew(_When):
    """The node's wall clock jumps by `by` seconds and from then on runs `rate` times as fast."""

    node: str
    by: float = 0.0
    rate: float = 1.0


@dataclass(frozen=True, repr=False)
class Partition(_When):
    """For `for_` seconds no message passes between the nodes of `one` and those of `other` (all the
    rest, when not given).
    """

    one: tuple[str, ...]
    other: tuple[str, ...] | None = None
    for_: float = inf


@dataclass(frozen=True, repr=False)
class Loss(_When):
    """For `for_` seconds each message from `src` to `dst` (None: any) is lost with this
    `probability`.
    """

    probability: float
    src: str | None = None
    dst: str | None = None
    for_: float = inf


@dataclass(frozen=True, repr=False)
class Duplication(_When):
    """For `for_` seconds each HTTP request from `src` to `dst` (None: any) is delivered twice with
    `probability`.
    """

    probability: float
    src: str | None = None
    dst: str | None = None
    for_: float = inf


@dataclass(frozen=True, repr=False)
class LoseReply(_When):
    """The answer to the next request from `src` to `dst` (None: any) is lost: the request was
    executed, and its caller cannot know.

    `label` narrows it to requests whose label contains it ("COMMIT", "lock:42").
    """

    src: str | None = None
    dst: str | None = None
    label: str | None = None


@dataclass(frozen=True, repr=False)
class Slow(_When):
    """For `for_` seconds messages between `src` and `dst` (None: any) take `factor` times as
    long.
    """

    factor: float
    src: str | None = None
    dst: str | None = None
    for_: float = inf


@dataclass(frozen=True, repr=False)
class Failover(_When):
    """The Redis server `node` is replaced by its asynchronous replica, which lacks the writes of
    the last `lag` seconds.
    """

    node: str = "redis"
    lag: float = 0.1


Fault = Pause | Crash | Skew | Partition | Loss | Duplication | LoseReply | Slow | Failover
