"""What there is to see of a saga: its status in the document's shape, lists of sagas, and the
timeline of one.

Shows: the answer to "what became of my order?" is one read in one place. One saga is shown from its
log; lists are read from the head rows.

Leaves out: pushing changes to whoever waits (poll `GET /sagas/{id}`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, or_, select

from labkit.base.transactions import reading
from labkit.sagas.definition import SagaDefinition
from labkit.sagas.errors import UnknownDefinition, UnknownSaga
from labkit.sagas.moves import Worker
from labkit.sagas.state import STATUSES, Leg, undo_is_due
from labkit.sagas.store import load, sagas


async def status(
    worker: Worker, definitions: Mapping[tuple[str, int], SagaDefinition], saga_id: str
) -> dict[str, Any]:
    """See `Orchestrator.status`."""
    saga = await load(worker.engine, saga_id, worker.within)
    definition = definitions.get((saga.name, saga.version))
    if definition is None:
        raise UnknownDefinition(
            saga.name, saga.version, [f"{name} {version}" for name, version in sorted(definitions)]
        )
    back = saga.direction == "undo"
    undone = [step for step in reversed(definition.steps) if back and undo_is_due(step, saga)]
    return {
        "saga_id": saga.id,
        "saga": saga.name,
        "version": saga.version,
        "status": saga.status,
        "reason": saga.reason,
        "cancel_requested": saga.cancel_requested,
        "steps": [_leg(step.name, saga.leg(step.name, "do")) for step in definition.steps],
        "compensations": [_leg(step.undo_name, saga.leg(step.name, "undo")) for step in undone],
        "results": saga.results,
    }


async def find(
    worker: Worker, status: str | None, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """See `Orchestrator.find`."""
    if status is not None and status not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {status!r}")
    if not 1 <= limit <= 1000:
        raise ValueError(f"limit must be from 1 to 1000, got {limit!r}")
    columns = sagas.c
    found = select(
        columns.id,
        columns.name,
        columns.version,
        columns.status,
        columns.reason,
        columns.created_at,
    )
    if status is not None:
        found = found.where(columns.status == status)
    async with reading(worker.engine, within=worker.within) as connection:
        if after is not None:
            last = (
                await connection.execute(select(columns.created_at).where(columns.id == after))
            ).scalar_one_or_none()
            if last is None:
                raise UnknownSaga(after)
            found = found.where(
                or_(columns.created_at > last, and_(columns.created_at == last, columns.id > after))
            )
        rows = await connection.execute(found.order_by(columns.created_at, columns.id).limit(limit))
        return [
            {"saga_id": row.id, "saga": row.name, **{k: row._mapping[k] for k in _LISTED}}
            for row in rows
        ]


_LISTED = ("version", "status", "reason", "created_at")


async def timeline(worker: Worker, saga_id: str) -> list[dict[str, Any]]:
    """See `Orchestrator.timeline`."""
    saga = await load(worker.engine, saga_id, worker.within)
    return [
        {
            "at": fact.at,
            "event": fact.event,
            "step": fact.step,
            "direction": fact.direction,
            "data": fact.data,
        }
        for fact in saga.log
    ]


def _leg(name: str, leg: Leg) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "status": leg.status}
    if leg.attempts > 1:
        shown["attempts"] = leg.attempts
    if leg.error is not None:
        shown["error"] = leg.error
    return shown
