"""The state of one saga, as the sum of the events in its log.

Shows: the log is the truth, and `Saga.note` is the only way to change the state. A driver notes an
event when it learns of it; recovery notes the same events when it reads them. So a recovered saga
cannot differ from one that never crashed.

A *leg* is one direction of a step: its action ("do") or its compensation ("undo").

| event | of | meaning |
|---|---|---|
| started | a leg | a call is announced; from now on it may have happened |
| called off | a leg | the call was announced and never made |
| completed | a leg | it happened |
| retry | a leg | a call ended with this error; the next one is announced |
| failed | a leg | no further call; an action did not happen, a compensation gave up |
| unknown | a leg | no further call; nobody knows whether the action happened |
| again | a leg | an operator allows further calls |
| resolved | a leg | an operator has done it by hand |
| a status | the saga | the saga has this status now, with this reason |

Leaves out: where the log is stored (`store`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from labkit.base.claims import UNCLAIMED
from labkit.sagas.definition import Direction, SagaDefinition, Step

ACTIVE = ("pending", "running", "compensating")
"""The statuses in which a worker has work to do."""
PARKED = ("compensation_failed", "stuck")
"""The statuses that wait for an operator."""
Status = Literal[
    "pending", "running", "compensating", "completed", "compensated", "compensation_failed", "stuck"
]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Fact:
    """One event, a row of a saga's log. `at`: seconds since 1970; `data`: the result, the error or
    the reason.
    """

    seq: int
    at: float
    event: str
    step: str | None = None
    direction: Direction | None = None
    data: Any = None


@dataclass
class Leg:
    """How far the action or the compensation of a step has come. `unsure`: an earlier call has an
    unknown outcome.
    """

    status: str = "pending"
    attempts: int = 0
    result: Any = None
    error: str | None = None
    unsure: bool = False


@dataclass
class Saga:
    """A saga as this worker knows it. `revision` grows with every commit; a worker with an old one
    cannot write.
    """

    id: str
    name: str
    version: int
    input: Any
    deadline: float | None = None
    created_at: float = 0.0
    revision: int = 0
    owner: str | None = None
    lease_until: float = UNCLAIMED
    cancel_requested: bool = False
    status: str = "pending"
    reason: str | None = None
    log: list[Fact] = field(default_factory=list)
    saved: int = 0
    """How many events of the log are in the database."""
    _legs: dict[tuple[str, Direction], Leg] = field(default_factory=dict)

    @property
    def direction(self) -> Direction:
        """Forward ("do") or back ("undo")."""
        turned_back = self.status in ("compensating", "compensated", "compensation_failed")
        return "undo" if turned_back else "do"

    @property
    def results(self) -> dict[str, Any]:
        """The results of the completed steps, by name."""
        return {
            name: leg.result
            for (name, way), leg in self._legs.items()
            if way == "do" and leg.status in ("completed", "resolved")
        }

    @property
    def why_it_turned_back(self) -> str | None:
        """The reason it turned back for, without what its compensations added later."""
        return next((fact.data for fact in self.log if fact.event == "compensating"), None)

    def leg(self, step: str, direction: Direction) -> Leg:
        """The leg of this step in this direction."""
        return self._legs.setdefault((step, direction), Leg())

    def given_up(self) -> list[tuple[str, Direction]]:
        """The legs that failed for good in the saga's direction: why it waits for an operator."""
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
        """Add one event to the log, and to the state."""
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
    """The steps to call or to compensate next: several only if they are in one group, none at the
    end. The step `but` is taken as done.

    On the way back, nothing else is compensated when the compensation of the pivot has given up:
    the pivot may have happened, and what came before it must stay until an operator knows.
    """
    forward = saga.direction == "do"
    if not forward and _may_have_pivoted(definition, saga):
        return ()
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


def _may_have_pivoted(definition: SagaDefinition, saga: Saga) -> bool:
    pivot = definition.pivot
    return pivot is not None and saga.leg(pivot.name, "undo").status == "failed"


def undo_is_due(step: Step, saga: Saga) -> bool:
    """Whether the step must be compensated when the saga turns back: it has or may have
    happened."""
    return step.compensation is not None and saga.leg(step.name, "do").status in (
        "started",
        "unknown",
        "completed",
        "resolved",
    )


def can_turn_back(definition: SagaDefinition, saga: Saga) -> bool:
    """Whether every step that has or may have happened can still be compensated."""
    pivot = definition.pivot
    if pivot is None:
        return True
    status = saga.leg(pivot.name, "do").status
    return status in ("pending", "failed") or (
        status in ("started", "unknown") and pivot.compensation is not None
    )
