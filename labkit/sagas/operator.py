"""What a person does with a saga: cancel it, let it retry, or take over by hand and say so.

Shows: three writes. `cancel` sets a flag beside the claim, which the driver reads back with its
next commit: it does not take the claim away, so a call under way ends in good order. `retry` and
`resolve` write facts into the log of a saga that rests, under the same compare-and-set as a
driver's, and leave it to a worker.

Guarantees: nothing is undone that may not be undone: past the pivot, `cancel` changes nothing. Of
two operators at once, the second is told `WrongStatus`.

Leaves out: who may do this, and who did (put the name into the note).
"""

from __future__ import annotations

from sqlalchemy import or_, update

from labkit.base.errors import ClaimLost
from labkit.base.transactions import begin_immediate
from labkit.sagas import store
from labkit.sagas.errors import UnknownSaga, WrongStatus
from labkit.sagas.moves import Worker
from labkit.sagas.state import ACTIVE, PARKED, Saga


async def cancel(worker: Worker, saga_id: str) -> str:
    """See `Orchestrator.cancel`."""
    asked = or_(
        store.sagas.c.cancel_requested, store.sagas.c.status.in_(ACTIVE)
    )  # one that rests is left as it is
    flag = (
        update(store.sagas)
        .where(store.sagas.c.id == saga_id)
        .values(cancel_requested=asked)
        .returning(store.sagas.c.status)
    )
    async with begin_immediate(worker.engine, within=worker.within) as connection:
        status: str | None = (await connection.execute(flag)).scalar_one_or_none()
    if status is None:
        raise UnknownSaga(saga_id)
    return status


async def retry(worker: Worker, saga_id: str) -> str:
    """See `Orchestrator.retry`."""
    saga = await _parked(worker, saga_id)
    for step, direction in saga.given_up():
        saga.note(worker.clock(), "again", step, direction)
    status, reason = (
        ("running", None) if saga.status == "stuck" else ("compensating", saga.why_it_turned_back)
    )
    return await _write(worker, saga, status, reason)


async def resolve(worker: Worker, saga_id: str, note: str) -> str:
    """See `Orchestrator.resolve`."""
    if not note.strip() or not is_plain(note):
        raise ValueError(f"note must say in plain text what was done by hand, got {note!r}")
    saga = await _parked(worker, saga_id)
    for step, direction in saga.given_up():
        saga.note(worker.clock(), "resolved", step, direction, note)
    by_hand = f"{saga.why_it_turned_back}; resolved: {note}"
    status, reason = ("running", None) if saga.status == "stuck" else ("compensated", by_hand)
    return await _write(worker, saga, status, reason)


def is_plain(text: str) -> bool:
    """Whether every database takes it: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


async def _parked(worker: Worker, saga_id: str) -> Saga:
    saga = await store.load(worker.engine, saga_id, worker.within)
    if saga.status not in PARKED:
        raise WrongStatus(saga_id, saga.status, PARKED)
    return saga


async def _write(worker: Worker, saga: Saga, status: str, reason: str | None) -> str:
    saga.note(worker.clock(), status, data=reason)
    try:
        async with begin_immediate(worker.engine, within=worker.within) as connection:
            await store.claim(
                connection, saga, owner=None, lease_until=0.0, status=status, reason=reason
            )
            await store.append(connection, saga)
    except ClaimLost:
        now = await store.load(worker.engine, saga.id, worker.within)
        raise WrongStatus(saga.id, f"{now.status} by now", PARKED) from None
    return status
