"""What is known of one saga: a log of facts, and the state that they add up to.

Shows: the log is the truth, and `Saga.note` is the only way to the state. What runs on notes a fact
as it learns it; what recovers notes the same facts as it reads them. So a recovered saga cannot
differ from one that never crashed.

A *leg* is one direction of one step: its doing, or its undoing.

| event | of | means |
|---|---|---|
| started | a leg | a call is announced; whatever happens now, it may have happened |
| called off | a leg | it was announced and never sent |
| completed | a leg | it happened |
| retry | a leg | a call ended with this error; the next one is announced |
| failed, unknown | a leg | no further call; a doing did not happen, or nobody knows; an undoing is `failed` either way |
| again, resolved | a leg | an operator lets it be called again, or has seen to it by hand |
| a status | the saga | it is in this status now, with its reason |

Leaves out: where the log is kept (`store`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from labkit.sagas.definition import Direction, SagaDefinition, Step

ACTIVE = ("pending", "running", "compensating")
"""The statuses in which a worker has something to do."""
PARKED = ("compensation_failed", "stuck")
"""The statuses that wait for an operator."""
Status = Literal[
    "pending", "running", "compensating", "completed", "compensated", "compensation_failed", "stuck"
]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Fact:
    """One row of a saga's log. `at`: seconds since 1970; `data`: a result, or the error, or a
    reason.
    """

    seq: int
    at: float
    event: str
    step: str | None = None
    direction: Direction | None = None
    data: Any = None


@dataclass
class Leg:
    """How far the doing or the undoing of a step has come. `unsure`: an earlier call ended without
    an answer.
    """

    status: str = "pending"
    attempts: int = 0
    result: Any = None
    error: str | None = None
    unsure: bool = False


@dataclass
class Saga:
    """A saga as it is known here. `revision` grows with every commit: whoever holds an old one may
    not write.
    """

    id: str
    name: str
    version: int
    input: Any
    deadline: float | None = None
    created_at: float = 0.0
    revision: int = 0
    owner: str | None = None
    lease_until: float = 0.0
    cancel_requested: bool = False
    status: str = "pending"
    reason: str | None = None
    log: list[Fact] = field(default_factory=list)
    saved: int = 0
    """How many facts of the log are in the database."""
    _legs: dict[tuple[str, Direction], Leg] = field(default_factory=dict)

    @property
    def direction(self) -> Direction:
        """Where it is heading."""
        return (
            "undo"
            if self.status in ("compensating", "compensated", "compensation_failed")
            else "do"
        )

    @property
    def results(self) -> dict[str, Any]:
        """The results of the steps that are done."""
        return {
            name: leg.result
            for (name, way), leg in self._legs.items()
            if way == "do" and leg.status in ("completed", "resolved")
        }

    @property
    def why_it_turned_back(self) -> str | None:
        """The first reason, before anything that its compensations added."""
        return next((fact.data for fact in self.log if fact.event == "compensating"), None)

    def leg(self, step: str, direction: Direction) -> Leg:
        """The leg of this step in this direction."""
        return self._legs.setdefault((step, direction), Leg())

    def given_up(self) -> list[tuple[str, Direction]]:
        """The legs that no further call will be made for: why a saga waits for an operator."""
        way = self.direction
        return [
            key
            for key, leg in self._legs.items()
            if key[1] == way and leg.status in ("failed", "unknown")
        ]

    def note(
        self,
        at: float,
        event: str,
        step: str | None = None,
        direction: Direction | None = None,
        data: Any = None,
    ) -> None:
        """Take one more fact into account."""
        self.log.append(Fact(len(self.log), at, event, step, direction, data))
        if step is None or direction is None:
            self.status, self.reason = event, data
        else:
            _move(self.leg(step, direction), event, data)

    def __repr__(self) -> str:
        return f"<saga {self.id}, {self.status}{f': {self.reason}' if self.reason else ''}>"


def _move(leg: Leg, event: str, data: Any) -> None:
    match event:
        case "started":
            leg.unsure = leg.unsure or leg.status in (
                "started",
                "unknown",
            )  # announced before, and no answer is known
            leg.status, leg.attempts = "started", leg.attempts + 1
        case "called off":
            leg.status, leg.attempts = "pending", 0
        case "retry":
            leg.attempts, leg.error = leg.attempts + 1, data["error"]
            leg.unsure = leg.unsure or data["outcome"] == "unknown"
        case "completed":
            leg.status, leg.result, leg.error = "completed", data, None
        case "failed" | "unknown":
            leg.status, leg.error = event, data
        case "resolved":
            leg.status, leg.result = "resolved", data
        case "again":
            leg.status, leg.attempts = ("started" if leg.status == "unknown" else "pending"), 0
        case _:
            raise ValueError(f"unknown event {event!r} in a saga's log")


def next_steps(definition: SagaDefinition, saga: Saga, but: Step | None = None) -> tuple[Step, ...]:
    """The steps to do next, or to undo next; several only when they are of one group, none at the
    end. `but`: taken as done.
    """
    forward = saga.direction == "do"
    for batch in definition.batches if forward else reversed(definition.batches):
        open_ = tuple(
            step
            for step in batch
            if step is not but and (_to_do(step, saga) if forward else _to_undo(step, saga))
        )
        if open_:
            return open_
    return ()


def _to_do(step: Step, saga: Saga) -> bool:
    return saga.leg(step.name, "do").status not in ("completed", "resolved")


def _to_undo(step: Step, saga: Saga) -> bool:
    return undo_is_due(step, saga) and saga.leg(step.name, "undo").status not in (
        "completed",
        "failed",
        "resolved",
    )


def undo_is_due(step: Step, saga: Saga) -> bool:
    """Whether the step has to be undone should the saga turn back: it happened, or may have."""
    return step.compensation is not None and saga.leg(step.name, "do").status in (
        "started",
        "unknown",
        "completed",
        "resolved",
    )


def can_turn_back(definition: SagaDefinition, saga: Saga) -> bool:
    """Whether everything that happened, or may have happened, can still be undone."""
    pivot = definition.pivot
    if pivot is None:
        return True
    status = saga.leg(pivot.name, "do").status
    return status in ("pending", "failed") or (
        status in ("started", "unknown") and pivot.compensation is not None
    )
