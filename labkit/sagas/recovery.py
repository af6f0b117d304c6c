"""Recovery: drive what was started, and what others left behind.

Shows: there is no difference between the two. A new saga, one whose worker died, one whose worker
lost its database for a moment: each is a row with something to do and nobody's lease on it. The
claim is its first commit (`store.claim`), so of two workers that find the same row one goes on and
the other is told.

Guarantees: after its worker died, a saga waits for what is left of the claim (the announced call, a
wait before it, and the lease) and one poll, longer only by what the dead worker's clock was ahead.
One that fails in an unforeseen way stops neither the worker nor the others; a worker leaves it out
for longer and longer.

Leaves out: waking up at once when a saga is started (LISTEN/NOTIFY, a queue): polling is enough for
correctness."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from labkit.base.calls import said
from labkit.base.errors import ClaimLost, DatabaseUnavailable
from labkit.base.validation import between, whole
from labkit.sagas import store

if TYPE_CHECKING:
    from labkit.sagas.orchestrator import Orchestrator


LONGEST_ASIDE = 300.0
"""For how many seconds at most a saga that fails in an unforeseen way is left out."""


async def recover(orchestrator: Orchestrator, limit: int) -> list[str]:
    """See `Orchestrator.recover`."""
    found = await _claimable(orchestrator, limit)
    async with asyncio.TaskGroup() as group:
        tasks = {saga_id: group.create_task(_drive(orchestrator, saga_id)) for saga_id in found}
    return [saga_id for saga_id, task in tasks.items() if task.result()]


async def work(orchestrator: Orchestrator, poll: float, limit: int) -> None:
    """See `Orchestrator.work`."""
    whole("limit", limit, 1)
    between(poll, "poll", 0.001, 86_400.0)
    clock = orchestrator.worker.clock
    failures: dict[str, int] = {}
    aside: dict[str, float] = {}

    async def drive(saga_id: str) -> None:
        if await _drive(orchestrator, saga_id) is not None:
            failures.pop(saga_id, None)
            return
        failures[saga_id] = failures.get(saga_id, 0) + 1
        aside[saga_id] = clock() + min(poll * 2.0 ** failures[saga_id], LONGEST_ASIDE)

    async with asyncio.TaskGroup() as group:  # cancelled, it cancels the drives too
        while True:
            for saga_id in [saga_id for saga_id, until in aside.items() if until <= clock()]:
                del aside[saga_id]
            try:
                found = await _claimable(orchestrator, limit - len(orchestrator.driving), aside)
            except DatabaseUnavailable as error:
                orchestrator.worker.observe("trouble", error=type(error).__name__)
                found = []
            for saga_id in found:
                group.create_task(drive(saga_id))
            await asyncio.sleep(poll)


async def _claimable(
    orchestrator: Orchestrator, limit: int, aside: Iterable[str] = ()
) -> list[str]:
    if limit <= 0:
        return []
    worker = orchestrator.worker
    known, busy = sorted(orchestrator.definitions), {*orchestrator.driving, *aside}
    return await store.claimable(
        worker.engine,
        worker.owner,
        worker.clock(),
        known,
        but=busy,
        limit=limit,
        within=worker.within,
    )


async def _drive(orchestrator: Orchestrator, saga_id: str) -> bool | None:
    """Whether it was driven until it rests; None when it failed in an unforeseen way."""
    try:
        await orchestrator.drive(saga_id)
    except Exception as error:
        orchestrator.worker.observe("let go", saga=saga_id, why=said(error))
        foreseen = isinstance(
            error, (ClaimLost, DatabaseUnavailable)
        )  # another has it, or it is found again at the next poll
        return False if foreseen else None
    return True
