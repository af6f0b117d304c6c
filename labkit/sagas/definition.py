"""A saga's definition: its steps in order, the compensation of each, and the point of no return.

Shows: a saga as a value. Each step is one of three kinds:
- `compensatable`: it can be undone by its `compensation` (None: there is nothing to undo, as for a
  step that only reads);
- `pivot`: the point of no return. Once it has certainly happened, the saga only goes forward. If
  the pivot has a compensation, it is called only while the outcome of the pivot is unknown, and
  must make sure that the pivot never happens afterwards. Until it has succeeded, nothing before
  the pivot is undone; when it gives up, the saga waits for an operator;
- `retriable`: it comes after the pivot and must succeed in the end. When its `retry` gives up, the
  saga waits for an operator.

Neighbouring steps with the same `group` run concurrently, and are compensated concurrently.

The action and the compensation of a `local` step also receive the connection: their effect is
committed with the saga's own log, in one transaction, and so happens exactly once without a key.

Guarantees: a definition that exists is valid; an invalid one raises `ValueError`, naming the step
and the field.

Leaves out: branches and loops. A step that is not needed can return at once.

Source: Garcia-Molina and Salem 1987, "Sagas"; Richardson, "Microservices Patterns" (compensatable,
pivot, retriable)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, Literal

from labkit.base.retry import Retry
from labkit.base.validation import whole

Direction = Literal["do", "undo"]
Kind = Literal["compensatable", "pivot", "retriable"]
_ORDER: Mapping[str, int] = {"compensatable": 0, "pivot": 1, "retriable": 2}


@dataclass(frozen=True)
class Context:
    """What a step receives: the saga's `input`, and the `results` of the completed steps by name.

    In a compensation, `results` has the step's own result only if it is known, and `reason` says
    why the saga turned back. `deadline` is the saga's, in seconds since 1970."""

    saga_id: str
    step: str
    direction: Direction
    input: Any
    results: Mapping[str, Any]
    attempt: int
    deadline: float | None = None
    reason: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key to send along: stable across retries and crashes, and different for
        the action and the compensation.
        """
        return f"{self.saga_id}:{self.step}:{self.direction}"


Action = Callable[..., Awaitable[Any]]
"""`async (Context) -> result`, or for a local step `async (Context, AsyncConnection) -> result`.
The result must fit into JSON.
"""


@dataclass(frozen=True, eq=False)
class Step:
    """One step. `timeout` bounds each call of the action or the compensation, in seconds; a call
    that times out has an unknown outcome (a local step is rolled back, so its outcome is known).

    `undo_retry` is the retry policy of the compensation, which deserves more patience than the
    action (None: the same as `retry`: an impatient pivot then has an impatient compensation)."""

    name: str
    action: Action
    compensation: Action | None = None
    kind: Kind = "compensatable"
    timeout: float = 5.0
    retry: Retry = field(default_factory=Retry)
    undo_retry: Retry | None = None
    group: str | None = None
    local: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 64 or ":" in self.name:
            raise ValueError(
                f"name of a step must be 1 to 64 characters without a colon, got {self.name!r}"
            )
        if self.kind not in _ORDER:
            raise ValueError(
                f"kind of step {self.name!r} must be one of {', '.join(_ORDER)}, got {self.kind!r}"
            )
        if not 0 < self.timeout < math.inf:
            raise ValueError(
                f"timeout of step {self.name!r} must be more than 0 seconds and finite, "
                f"got {self.timeout!r}"
            )
        for what, called in (("action", self.action), ("compensation", self.compensation)):
            if not callable(called) and (what == "action" or called is not None):
                raise ValueError(
                    f"{what} of step {self.name!r} must be an async function, got {called!r}"
                )
        if self.kind == "retriable" and self.compensation is not None:
            raise ValueError(
                f"compensation of step {self.name!r} must be None, it comes after the pivot and is "
                f"never undone; got {self.undo_name}"
            )
        if self.group is not None and (self.local or self.kind == "pivot"):
            why = "local" if self.local else "the pivot"
            raise ValueError(f"step {self.name!r} cannot be in group {self.group!r}: it is {why}")

    def retries(self, direction: Direction) -> Retry:
        """The retry policy in this direction."""
        if direction == "undo" and self.undo_retry is not None:
            return self.undo_retry
        return self.retry

    @property
    def undo_name(self) -> str:
        """The name of the compensation's function."""
        return getattr(self.compensation, "__name__", f"undo {self.name}")

    def __repr__(self) -> str:
        return f"<step {self.name}, {self.kind}{', local' if self.local else ''}>"


@dataclass(frozen=True)
class SagaDefinition:
    """The steps of one version of a saga. A running saga keeps the version it was started with."""

    name: str
    version: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 64:
            raise ValueError(f"name of a saga must be 1 to 64 characters, got {self.name!r}")
        whole(f"version of {self.name!r}", self.version, 1)
        names = [step.name for step in self.steps]
        if not names:
            raise ValueError(f"steps of {self.name!r} must be at least one")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names of steps must be unique, got {twice[0]!r} twice")
        ranks = [_ORDER[step.kind] for step in self.steps]
        if ranks != sorted(ranks) or ranks.count(1) > 1 or (2 in ranks and 1 not in ranks):
            kinds = ", ".join(f"{step.name}: {step.kind}" for step in self.steps)
            raise ValueError(
                f"steps must be compensatable, then at most one pivot, then retriable; got {kinds}"
            )
        groups = [batch[0].group for batch in self.batches if batch[0].group is not None]
        if apart := sorted({group for group in groups if groups.count(group) > 1}):
            raise ValueError(
                "steps of a group must be neighbours of one kind, "
                f"got group {apart[0]!r} in two places"
            )

    @cached_property
    def batches(self) -> tuple[tuple[Step, ...], ...]:
        """The steps in order, those of one group together."""
        runs = groupby(
            enumerate(self.steps),
            key=lambda each: (each[1].group, each[1].kind if each[1].group else each[0]),
        )
        return tuple(tuple(step for _, step in run) for _, run in runs)

    @cached_property
    def pivot(self) -> Step | None:
        """The point of no return, if there is one."""
        return next((step for step in self.steps if step.kind == "pivot"), None)

    def __repr__(self) -> str:
        names = ", ".join(step.name for step in self.steps)
        return f"<saga {self.name} version {self.version}: {names}>"
