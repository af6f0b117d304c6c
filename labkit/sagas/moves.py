"""The two moves on one saga: a commit, and a call.

Shows: where time-outs, transactions and crashes meet. What to do next is decided elsewhere
(`driver`).
- a **commit** checks and renews the claim first, and appends what is new of the log last; in
  between, a local step may add its effect. All of it, or nothing;
- a **call** is given its key and a copy of what the saga knows, and ends in one of three ways
  (`calls`).

Guarantees: whoever lost the claim commits nothing. `observe` is told before and after each move: of
everything that a crash could strike between.

Leaves out: that a call was announced by a commit. The driver sees to that.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.calls import as_json, ended, outcome
from labkit.base.observe import Observe
from labkit.base.transactions import begin_immediate, is_temporary
from labkit.sagas import store
from labkit.sagas.definition import Action, Context, Step
from labkit.sagas.state import ACTIVE, Saga


@dataclass(frozen=True)
class Worker:
    """Who drives, and with what. `lease`: seconds that a claim lasts beyond the longest announced
    call.
    """

    engine: AsyncEngine
    clock: Callable[[], float]
    rng: random.Random
    owner: str
    lease: float
    within: float | None
    observe: Observe


class LocalStepFailed(Exception):
    """A local step ended with `error`: its transaction is rolled back."""

    def __init__(self, step: Step, error: Exception) -> None:
        self.step, self.error = step, error


class Moves:
    """What one worker does on one saga. `saga` is changed by it: it is what the worker knows."""

    def __init__(self, worker: Worker, saga: Saga) -> None:
        self.worker, self.saga = worker, saga

    async def call(self, step: Step, limit: float) -> tuple[Any, Exception | None]:
        """Call what was announced, for `limit` seconds: its result, or the error that it ended
        with.
        """
        worker, context = self.worker, self._context(step)
        facts = {"saga": self.saga.id, "step": step.name, "direction": context.direction}
        worker.observe("calling", **facts)
        result, error = await ended(_action(step, context)(context), limit)
        worker.observe("called", **facts, outcome="ok" if error is None else outcome(error))
        return result, error

    async def apply(self, step: Step, connection: AsyncConnection) -> Any:
        """The result of a local step, whose effect is in the open transaction."""
        context = self._context(step)
        result, error = await ended(_action(step, context)(context, connection), step.timeout)
        if error is not None and is_temporary(error) and not isinstance(error, OSError):
            raise error  # the database's doing, not the step's
        if error is not None:
            raise LocalStepFailed(step, error) from error
        self.worker.observe(
            "applied", saga=self.saga.id, step=step.name, direction=context.direction
        )
        return result

    @asynccontextmanager
    async def saving(
        self, status: str, reason: str | None, *, longest: float = 0.0
    ) -> AsyncIterator[AsyncConnection]:
        """One commit: first the claim, for `longest` seconds and the lease; last, what is new in
        the log.
        """
        worker, saga, goes_on = self.worker, self.saga, status in ACTIVE
        owner, until = (
            (worker.owner, worker.clock() + longest + worker.lease) if goes_on else (None, 0.0)
        )
        worker.observe("saving", saga=saga.id, status=status)
        async with begin_immediate(
            worker.engine, within=worker.within, writes_first=True
        ) as connection:
            asked = await store.claim(
                connection, saga, owner=owner, lease_until=until, status=status, reason=reason
            )
            yield connection
            await store.append(connection, saga)
        saga.cancel_requested, saga.owner, saga.lease_until = asked, owner, until
        saga.revision, saga.saved = saga.revision + 1, len(saga.log)
        worker.observe("saved", saga=saga.id, status=status)

    def _context(self, step: Step) -> Context:
        saga = self.saga
        given, results = as_json(
            [saga.input, saga.results]
        )  # its own copy: no step can change what another sees
        attempt = self.attempt(step)
        return Context(
            saga.id, step.name, saga.direction, given, results, attempt, saga.deadline, saga.reason
        )

    def attempt(self, step: Step) -> int:
        """The number of the call under way. A local step is not announced, so its log has only the
        calls that failed.
        """
        return self.saga.leg(step.name, self.saga.direction).attempts + step.local

    def note(self, step: Step, event: str, data: Any = None) -> None:
        """Take down a fact about a step; the next commit keeps it."""
        self.saga.note(self.worker.clock(), event, step.name, self.saga.direction, data)

    def turn(self, status: str, reason: str | None = None) -> None:
        """Take down that the saga is in this status now."""
        self.saga.note(self.worker.clock(), status, data=reason)


def _action(step: Step, context: Context) -> Action:
    if context.direction == "do":
        return step.action
    assert step.compensation is not None  # the others are never to be undone: see `next_steps`
    return step.compensation
