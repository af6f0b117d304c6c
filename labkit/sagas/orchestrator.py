"""The orchestrator: start sagas, drive and recover them, show them, and let an operator intervene.

Shows: driving and recovering are one thing. A new saga, one whose worker died, one whose worker
lost its database for a moment: each is a row that still has work and no valid claim. `work()` polls
for such rows; the claim is the driver's first commit (`store.claim`), so of two workers that find
the same row one continues and the other gets `ClaimLost`.

Guarantees: a saga that was started comes to a final status, as long as some worker with its
definition runs, under any schedule of crashes: all its steps have happened, or every step that may
have happened is compensated, or it waits for an operator and says why. The workers' clocks need not
agree: a wrong one costs a repeated call, never a second effect. A compensation that gives up does
not stop the others, unless it is the pivot's: then nothing before the pivot is undone. After a
crash, a saga waits for what is left of the claim (the announced call, the wait before it, and the
lease) and one poll. An operator cannot undo what must not be undone: past the pivot, `cancel`
changes nothing.

Leaves out: waiting for messages from outside; changing a definition under a running saga (a new
version is for new sagas); waking a worker at once when a saga is started (LISTEN/NOTIFY); pushing
changes to a client that waits (poll `GET /sagas/{id}`); who may operate a saga, and a record of who
did (put the name into the note).

Sources: Garcia-Molina and Salem 1987, "Sagas"; Richardson, "Microservices Patterns", 2nd ed., the
chapters on sagas."""

from __future__ import annotations

import asyncio
import random
import reprlib
from collections.abc import Callable, Collection, Iterable
from math import isfinite
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.calls import describe
from labkit.base.errors import ClaimLost, DatabaseUnavailable, KeyReused
from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate
from labkit.base.validation import between, text, whole
from labkit.base.working import work
from labkit.sagas import store
from labkit.sagas.definition import SagaDefinition
from labkit.sagas.driver import Driver, LocalStepFailed, Runtime, as_json
from labkit.sagas.errors import ClaimedElsewhere, SagaExists, UnknownDefinition, WrongStatus
from labkit.sagas.state import ACTIVE, PARKED, STATUSES, Leg, Saga, next_steps, undo_is_due

MAX_BACKOFF = 300.0
"""Seconds, at most, before a worker tries again a saga that failed with an unexpected error."""


class Orchestrator:
    """Drives the sagas of one database (tables: `create_sagas(engine)`).

    `clock` gives seconds since 1970, `ids("saga-")` a fresh id. `owner` names this worker and must
    be a new name after every restart. A claim outlasts the call under way by `lease` seconds;
    `within` bounds each transaction, in seconds. `observe(kind, **facts)` is told of every moment
    between two of which a crash could strike: saving, saved, applied (a local step, not committed
    yet), calling, called. Every method may raise `DatabaseUnavailable`."""

    def __init__(
        self,
        engine: AsyncEngine,
        definitions: Iterable[SagaDefinition],
        *,
        clock: Callable[[], float],
        ids: Callable[[str], str],
        rng: random.Random,
        owner: str,
        lease: float = 30.0,
        within: float | None = None,
        observe: Observe = ignore,
    ) -> None:
        between(lease, "lease", 0.001, 86_400.0)
        text("owner", owner, 64)
        self.definitions: dict[tuple[str, int], SagaDefinition] = {}
        for made in definitions:
            if self.definitions.setdefault((made.name, made.version), made) is not made:
                raise ValueError(
                    "definitions must not repeat a version, "
                    f"got two of {made.name!r} version {made.version}"
                )
        self.runtime = Runtime(engine, clock, rng, owner, lease, within, observe)
        self.driving: set[str] = set()
        self._ids = ids

    def __repr__(self) -> str:
        known = ", ".join(f"{name} {version}" for name, version in self.definitions)
        return f"<Orchestrator {self.runtime.owner}: {known}>"

    # -- start and drive

    async def start(
        self, name: str, input: Any, *, saga_id: str | None = None, deadline: float | None = None
    ) -> str:
        """Store a new saga of the newest version of `name`, for any worker to drive; returns its
        id.

        Starting it again with the same `saga_id` and input changes nothing. After `deadline`
        (seconds since 1970) it turns back. Raises `UnknownDefinition`, `KeyReused` (the id belongs
        to a saga with another input), `ValueError` for an id, an input or a deadline that is not
        allowed."""
        runtime, saga = self.runtime, self._new(name, input, saga_id, deadline)
        saga.note(saga.created_at, "pending")
        runtime.observe("saving", saga=saga.id, status="pending")
        try:
            await self._write(saga)
        except SagaExists:
            await self._require_same(saga)
        runtime.observe("saved", saga=saga.id, status="pending")
        return saga.id

    async def begin(
        self,
        connection: AsyncConnection,
        name: str,
        input: Any,
        *,
        saga_id: str | None = None,
        deadline: float | None = None,
    ) -> Any:
        """Store a new saga in the caller's transaction, with its first step done in it if that is a
        local one; returns the result of that step.

        `connection` is to this orchestrator's database. Raises what `start` and the step raise, and
        `SagaExists` when the id is taken: let the error roll the transaction back, or, after
        `SagaExists`, at least what the step has written."""
        saga = self._new(name, input, saga_id, deadline)
        definition = self.definitions[saga.name, saga.version]
        first, result = definition.steps[0], None
        saga.note(saga.created_at, "pending")
        if first.local:
            try:
                driver = Driver(self.runtime, definition, saga)
                result = await driver.run_local(first, connection)
            except LocalStepFailed as failed:
                raise failed.error from None
            saga.note(self.runtime.clock(), "completed", first.name, "do", result)
        await store.write(connection, saga)
        return result

    async def run(
        self, name: str, input: Any, *, saga_id: str | None = None, deadline: float | None = None
    ) -> str:
        """`start` and `drive` in one, with one commit less. Returns the status it ends in, and
        raises what these two raise.
        """
        saga = self._new(name, input, saga_id, deadline)
        try:
            return await self._drive(saga)
        except SagaExists:
            await self._require_same(saga)
            return await self.drive(saga.id)

    async def drive(self, saga_id: str) -> str:
        """Claim the saga and drive it until it ends or needs an operator; returns its status. A
        saga that has ended is left as it is.

        Raises `UnknownSaga`, `UnknownDefinition`, `ClaimLost` (`ClaimedElsewhere`: another worker
        drives it). After `DatabaseUnavailable`, drive it again, or let a worker."""
        runtime, saga = self.runtime, await self._load(saga_id)
        if saga.status not in ACTIVE:
            return saga.status
        left = saga.lease_until - runtime.clock()
        if saga.owner not in (None, runtime.owner) and left > 0:
            raise ClaimedElsewhere(saga_id, str(saga.owner), left)
        return await self._drive(saga)

    async def recover(self, limit: int = 10) -> list[str]:
        """Drive up to `limit` unclaimed sagas, concurrently, until they end or need an operator;
        returns their ids, the oldest first.
        """
        found = await self._claimable(limit)
        async with asyncio.TaskGroup() as group:
            tasks = {saga_id: group.create_task(self._attempt(saga_id)) for saga_id in found}
        return [saga_id for saga_id, task in tasks.items() if task.result()]

    async def work(self, poll: float = 1.0, limit: int = 10) -> None:
        """Drive unclaimed sagas for ever, at most `limit` at a time, looking for more every `poll`
        seconds; ends by cancellation.

        A saga that fails with an unexpected error is reported as "let go" and left out for longer
        and longer, so that it stops neither the worker nor the other sagas."""
        whole("limit", limit, 1)
        between(poll, "poll", 0.001, 86_400.0)
        clock = self.runtime.clock
        failures: dict[str, int] = {}
        left_out_until: dict[str, float] = {}

        async def drive(saga_id: str) -> None:
            if await self._attempt(saga_id) is not None:
                failures.pop(saga_id, None)
                return
            failures[saga_id] = failures.get(saga_id, 0) + 1
            wait = min(poll * 2.0 ** failures[saga_id], MAX_BACKOFF)
            left_out_until[saga_id] = clock() + wait

        async def look() -> int:
            now = clock()
            for saga_id in [key for key, until in left_out_until.items() if until <= now]:
                del left_out_until[saga_id]
            for saga_id in await self._claimable(limit - len(self.driving), left_out_until):
                group.create_task(drive(saga_id))
            return 0  # the tasks work while this loop waits for the next poll

        async with asyncio.TaskGroup() as group:  # when cancelled, it cancels the drives too
            await work(look, poll=poll, observe=self.runtime.observe)

    # -- operate

    async def cancel(self, saga_id: str) -> str:
        """Ask the saga to turn back; past its pivot it continues. Returns its status now. Raises
        `UnknownSaga`.

        The claim stays with the driver, which reads the request with its next commit: a call under
        way ends in good order."""
        async with begin_immediate(self.runtime.engine, within=self.runtime.within) as connection:
            return await store.request_cancel(connection, saga_id)

    async def retry(self, saga_id: str) -> str:
        """Let a saga that waits for an operator make its failed calls again; returns its status
        now. Raises `UnknownSaga`, `WrongStatus`.
        """
        saga = await self._parked(saga_id)
        for step, direction in saga.given_up():
            saga.note(self.runtime.clock(), "again", step, direction)
        if saga.status == "stuck":
            return await self._write_intervention(saga, "running", None)
        return await self._write_intervention(saga, "compensating", saga.why_it_turned_back)

    async def resolve(self, saga_id: str, note: str) -> str:
        """Record that what failed was done by hand, as `note` says; returns the saga's status now:
        it goes on if a step is left. Raises `UnknownSaga`, `WrongStatus`, and `UnknownDefinition`
        when this worker does not have its version.
        """
        if not note.strip() or not _is_storable(note):
            raise ValueError(f"note must say in plain text what was done by hand, got {note!r}")
        saga = await self._parked(saga_id)
        for step, direction in saga.given_up():
            saga.note(self.runtime.clock(), "resolved", step, direction, note)
        if saga.status == "stuck":
            return await self._write_intervention(saga, "running", None)
        left = next_steps(self._definition(saga), saga)  # if the pivot's compensation had failed
        reason = f"{saga.why_it_turned_back}; resolved: {note}"
        return await self._write_intervention(
            saga, "compensating" if left else "compensated", reason
        )

    # -- show

    async def status(self, saga_id: str) -> dict[str, Any]:
        """How far the saga has come: {"saga_id", "status", "steps", "compensations", "reason", …}.

        Raises `UnknownSaga`, and `UnknownDefinition` when this worker does not have its version.
        """
        saga = await self._load(saga_id)
        definition = self._definition(saga)
        undone = []
        if saga.direction == "undo":
            undone = [step for step in reversed(definition.steps) if undo_is_due(step, saga)]
        return {
            "saga_id": saga.id,
            "saga": saga.name,
            "version": saga.version,
            "status": saga.status,
            "reason": saga.reason,
            "cancel_requested": saga.cancel_requested,
            "steps": [_shown(step.name, saga.leg(step.name, "do")) for step in definition.steps],
            "compensations": [
                _shown(step.undo_name, saga.leg(step.name, "undo")) for step in undone
            ],
            "results": saga.results,
        }

    async def find(
        self, status: str | None = None, *, after: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The sagas in this status (None: in any), the oldest first, starting after the one with
        the id `after`.

        Raises `UnknownSaga` when there is no `after`, `ValueError` for another status or a `limit`
        that is not 1 to 1000."""
        if status is not None and status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {status!r}")
        if not 1 <= limit <= 1000:
            raise ValueError(f"limit must be from 1 to 1000, got {limit!r}")
        return await store.find(
            self.runtime.engine, status, after=after, limit=limit, within=self.runtime.within
        )

    async def timeline(self, saga_id: str) -> list[dict[str, Any]]:
        """The saga's log, in order. Raises `UnknownSaga`."""
        return [
            {
                "at": fact.at,
                "event": fact.event,
                "step": fact.step,
                "direction": fact.direction,
                "data": fact.data,
            }
            for fact in (await self._load(saga_id)).log
        ]

    # -- inside

    def _new(self, name: str, input: Any, saga_id: str | None, deadline: float | None) -> Saga:
        versions = [version for known, version in self.definitions if known == name]
        if not versions:
            raise UnknownDefinition(name, None, sorted({known for known, _ in self.definitions}))
        try:
            plain = as_json(input)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"input of a saga must fit into JSON, got {reprlib.repr(input)}"
            ) from error
        new = saga_id if saga_id is not None else self._ids("saga-")
        if not isinstance(new, str) or not 0 < len(new) <= 64 or not new.isprintable():
            raise ValueError(f"saga_id must be 1 to 64 printable characters, got {saga_id!r}")
        if deadline is not None and not _is_time(deadline):
            raise ValueError(
                f"deadline must be a time in seconds since 1970, or None, got {deadline!r}"
            )
        return Saga(new, name, max(versions), plain, deadline, self.runtime.clock())

    def _definition(self, saga: Saga) -> SagaDefinition:
        definition = self.definitions.get((saga.name, saga.version))
        if definition is None:
            known = [f"{name} {version}" for name, version in sorted(self.definitions)]
            raise UnknownDefinition(saga.name, saga.version, known)
        return definition

    async def _load(self, saga_id: str) -> Saga:
        return await store.load(self.runtime.engine, saga_id, self.runtime.within)

    async def _require_same(self, saga: Saga) -> None:
        """Raise `KeyReused` unless the saga stored under this id has the same name and input."""
        stored = await self._load(saga.id)
        if (stored.name, stored.input) != (saga.name, saga.input):
            raise KeyReused(f"saga {saga.id!r} was started with another input")

    async def _drive(self, saga: Saga) -> str:
        definition = self._definition(saga)
        if saga.id in self.driving:
            raise ClaimedElsewhere(saga.id, self.runtime.owner, self.runtime.lease)
        self.driving.add(saga.id)
        try:
            return await Driver(self.runtime, definition, saga).run()
        finally:
            self.driving.discard(saga.id)

    async def _attempt(self, saga_id: str) -> bool | None:
        """Whether it was driven to its end; None when it failed with an unexpected error."""
        try:
            await self.drive(saga_id)
        except Exception as error:
            self.runtime.observe("let go", saga=saga_id, why=describe(error))
            # Expected: another worker has it, or the next poll finds it again.
            expected = isinstance(error, (ClaimLost, DatabaseUnavailable))
            return False if expected else None
        return True

    async def _claimable(self, limit: int, left_out: Collection[str] = ()) -> list[str]:
        if limit <= 0:
            return []
        return await store.claimable(
            self.runtime.engine,
            self.runtime.owner,
            self.runtime.clock(),
            sorted(self.definitions),
            but={*self.driving, *left_out},
            limit=limit,
            within=self.runtime.within,
        )

    async def _parked(self, saga_id: str) -> Saga:
        saga = await self._load(saga_id)
        if saga.status not in PARKED:
            raise WrongStatus(saga_id, saga.status, PARKED)
        return saga

    async def _write_intervention(self, saga: Saga, status: str, reason: str | None) -> str:
        """Write an operator's decision, for a worker to carry out. Of two operators at the same
        moment, the second gets `WrongStatus`.
        """
        saga.note(self.runtime.clock(), status, data=reason)
        try:
            await self._write(saga)
        except ClaimLost:
            now = await self._load(saga.id)
            raise WrongStatus(saga.id, f"{now.status} by now", PARKED) from None
        return status

    async def _write(self, saga: Saga) -> None:
        async with begin_immediate(self.runtime.engine, within=self.runtime.within) as connection:
            await store.write(connection, saga)


def _shown(name: str, leg: Leg) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "status": leg.status}
    if leg.attempts > 1:
        shown["attempts"] = leg.attempts
    if leg.error is not None:
        shown["error"] = leg.error
    return shown


def _is_time(value: Any) -> bool:
    """Whether it is a finite number and not a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_storable(note: str) -> bool:
    """Whether every database takes the text: no NUL, no half of a surrogate pair."""
    return "\0" not in note and not any("\ud800" <= letter <= "\udfff" for letter in note)
