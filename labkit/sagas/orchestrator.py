"""The orchestrator: start a saga, drive it, and answer for it.

Shows: everything an orchestrator does is here as one line or two, and done in the module of its
name: `driver` (one saga to its rest), `recovery` (what others left behind), `operator` (cancel,
retry, resolve), `view` (status, list, timeline).

Guarantees: a saga that was started reaches a status in which it rests, as long as some worker with
its definition runs, on any schedule of crashes; either every step has happened, or every one that
may have is compensated, or it waits for an operator and says why. The workers' clocks need not
agree: a wrong one costs a repeated call, never a second effect.

Leaves out: waiting for messages from outside; definitions that change under a running saga (a new
version is for new sagas).

Sources: Garcia-Molina & Salem 1987, "Sagas"; Richardson, "Microservices Patterns", 2nd ed., ch. on
sagas."""

from __future__ import annotations

import random
import reprlib
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.calls import as_json
from labkit.base.errors import KeyReused
from labkit.base.observe import Observe, ignore
from labkit.base.validation import between, text
from labkit.sagas import operator, recovery, store, view
from labkit.sagas.definition import SagaDefinition
from labkit.sagas.driver import Drive
from labkit.sagas.errors import ClaimedElsewhere, SagaExists, UnknownDefinition
from labkit.sagas.moves import Worker
from labkit.sagas.state import ACTIVE, Saga


class Orchestrator:
    """Drives the sagas of one database (tables: `create_sagas(engine)`).

    `clock` gives seconds since 1970, `ids("saga-")` a fresh id. `owner` names this worker and must
    be new in every life of it. A claim outlasts the call under way by `lease` seconds; `within`
    bounds each transaction, in seconds. `observe(kind, **facts)` is told of everything that a crash
    could strike between: saving, saved, applied (a local step, not yet committed), calling, called.
    Every method raises `DatabaseUnavailable`."""

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
                    f"definitions must not repeat a version, got two of {made.name!r} version {made.version}"
                )
        self.worker = Worker(engine, clock, rng, owner, lease, within, observe)
        self.driving: set[str] = set()
        self._ids = ids

    def __repr__(self) -> str:
        known = ", ".join(f"{name} {version}" for name, version in self.definitions)
        return f"<Orchestrator {self.worker.owner}: {known}>"

    # -- start and drive

    async def start(
        self, name: str, input: Any, *, saga_id: str | None = None, deadline: float | None = None
    ) -> str:
        """Write down a new saga of the newest version of `name`, for any worker to drive; returns
        its id.

        Starting it again under the same `saga_id` changes nothing. After `deadline` (seconds since
        1970) it turns back. Raises `UnknownDefinition`, `KeyReused` (the id is that of another
        saga), `ValueError` for an id, an input or a deadline that cannot be one."""
        saga = self._fresh(name, input, saga_id, deadline)
        self.worker.observe("saving", saga=saga.id, status="pending")
        if not await store.add(self.worker.engine, saga, self.worker.within):
            await self._same(saga)
        self.worker.observe("saved", saga=saga.id, status="pending")
        return saga.id

    async def run(
        self, name: str, input: Any, *, saga_id: str | None = None, deadline: float | None = None
    ) -> str:
        """`start` and `drive` in one; its first commit is also that of the first step. Returns the
        status it rests in.

        Raises what these two raise.
        """
        saga = self._fresh(name, input, saga_id, deadline)
        try:
            return await self._drive(saga)
        except SagaExists:
            await self._same(saga)
            return await self.drive(saga.id)

    async def drive(self, saga_id: str) -> str:
        """Claim the saga and drive it until it rests; returns its status. One that rests already is
        left as it is.

        Raises `UnknownSaga`, `UnknownDefinition`, `ClaimLost` (`ClaimedElsewhere`: another worker
        drives it). After `DatabaseUnavailable`, drive it again, or let a worker."""
        saga = await store.load(self.worker.engine, saga_id, self.worker.within)
        if saga.status not in ACTIVE:
            return saga.status
        left = saga.lease_until - self.worker.clock()
        if saga.owner not in (None, self.worker.owner) and left > 0:
            raise ClaimedElsewhere(saga_id, str(saga.owner), left)
        return await self._drive(saga)

    async def recover(self, limit: int = 10) -> list[str]:
        """Drive up to `limit` sagas that nobody drives, side by side, until they rest; returns
        their ids, the oldest first.
        """
        return await recovery.recover(self, limit)

    async def work(self, poll: float = 1.0, limit: int = 10) -> None:
        """Recover for ever, at most `limit` sagas at a time; look for more every `poll` seconds."""
        await recovery.work(self, poll, limit)

    # -- operate

    async def cancel(self, saga_id: str) -> str:
        """Ask the saga to turn back; past its pivot it goes on. Returns its status now. Raises
        `UnknownSaga`.
        """
        return await operator.cancel(self.worker, saga_id)

    async def retry(self, saga_id: str) -> str:
        """Let a saga that waits for an operator try again what failed; its status now. Raises
        `UnknownSaga`, `WrongStatus`.
        """
        return await operator.retry(self.worker, saga_id)

    async def resolve(self, saga_id: str, note: str) -> str:
        """Take what failed as done by hand, as `note` says; its status now. Raises `UnknownSaga`,
        `WrongStatus`.
        """
        return await operator.resolve(self.worker, saga_id, note)

    # -- see

    async def status(self, saga_id: str) -> dict[str, Any]:
        """Where it is: {"saga_id", "status", "steps", "compensations", "reason", …}.

        Raises `UnknownSaga`, and `UnknownDefinition` when this worker does not have its version.
        """
        return await view.status(self.worker, self.definitions, saga_id)

    async def find(
        self, status: str | None = None, *, after: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The sagas in this status (None: all), the oldest first, starting after the one with the
        id `after`.

        Raises `UnknownSaga` when there is no `after`, `ValueError` for another status or a `limit`
        that is not 1 to 1000."""
        return await view.find(self.worker, status, after, limit)

    async def timeline(self, saga_id: str) -> list[dict[str, Any]]:
        """Everything that was written down of it, in order. Raises `UnknownSaga`."""
        return await view.timeline(self.worker, saga_id)

    # -- inside

    def _fresh(self, name: str, input: Any, saga_id: str | None, deadline: float | None) -> Saga:
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
        if deadline is not None and (
            isinstance(deadline, bool)
            or not isinstance(deadline, (int, float))
            or not isfinite(deadline)
        ):
            raise ValueError(
                f"deadline must be a time in seconds since 1970, or None, got {deadline!r}"
            )
        return Saga(new, name, max(versions), plain, deadline, self.worker.clock())

    async def _same(self, saga: Saga) -> None:
        """Whether the saga that is there under this id is this one."""
        there = await store.load(self.worker.engine, saga.id, self.worker.within)
        if (there.name, there.input) != (saga.name, saga.input):
            raise KeyReused(f"saga {saga.id!r} was started with another input")

    async def _drive(self, saga: Saga) -> str:
        definition = self.definitions.get((saga.name, saga.version))
        if definition is None:
            raise UnknownDefinition(
                saga.name,
                saga.version,
                [f"{name} {version}" for name, version in sorted(self.definitions)],
            )
        if saga.id in self.driving:
            raise ClaimedElsewhere(saga.id, self.worker.owner, self.worker.lease)
        self.driving.add(saga.id)
        try:
            return await Drive(self.worker, definition, saga).to_rest()
        finally:
            self.driving.discard(saga.id)
