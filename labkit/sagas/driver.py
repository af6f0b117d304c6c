"""Drive one saga from where it is to where it rests: forward, or back through the compensations.

Shows: the whole of orchestration as a loop of two moves.
1. **Commit** what is known and what comes next: the outcomes of the last calls, a local step with its effect, and the
   announcement ("started") of the next calls. One transaction, which also checks and renews the claim.
2. **Call** what was announced. Never anything else: a call that nobody announced could be forgotten in a crash.

Guarantees:
- whatever crashes, the log says of every call that may have happened that it may have happened;
- an outcome that is not known (a time-out, a lost answer, a crash) is asked again under the same key, or compensated. Only an
  error whose own `outcome` is "failed" counts as "it did not happen";
- whoever lost the claim commits nothing. It lasts for longer than the announced call, and is looked at before the call;
- cancelling the task writes nothing: what was announced stays announced, and recovery goes on from there.

Leaves out: what a participant does that ignores the key. A call may be repeated; then, so is its effect. And a step that raises
SystemExit or its like: it is taken at its word, and ends the worker.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.consistency.errors import ClaimLost
from labkit.consistency.transactions import begin_immediate, is_temporary
from labkit.sagas import store
from labkit.sagas.calls import as_json, ended, outcome, said
from labkit.sagas.definition import Action, Context, SagaDefinition, Step
from labkit.sagas.state import ACTIVE, Saga, can_turn_back, next_steps


@dataclass(frozen=True)
class Worker:
    """Who drives, and with what. `lease`: seconds that a claim lasts beyond the longest announced call."""

    engine: AsyncEngine
    clock: Callable[[], float]
    rng: random.Random
    owner: str
    lease: float
    within: float | None
    observe: Callable[..., Any]


class _LocalStepFailed(Exception):
    def __init__(self, step: Step, error: Exception) -> None:
        self.step, self.error = step, error


class Drive:
    """One worker on one saga. Raises `ClaimLost`, or `DatabaseUnavailable` (the database then knows how far it came)."""

    def __init__(self, worker: Worker, definition: SagaDefinition, saga: Saga) -> None:
        self.worker, self.definition, self.saga = worker, definition, saga

    async def to_rest(self) -> str:
        """Drive until there is nothing more to do; returns the status."""
        saga = self.saga
        if saga.status == "pending":
            self._turn("running")
        while saga.status in ACTIVE:
            self._turn_back_if_asked()
            heading = saga.direction
            try:
                calls = await self._commit()
            except _LocalStepFailed as failed:
                calls = await self._after({failed.step: failed.error})
            else:
                self._turn_back_if_asked(unsent=calls)
            while calls and saga.direction == heading:
                calls = await self._after(await self._call_all(calls))
        return saga.status

    # -- the two moves

    async def _commit(self) -> tuple[Step, ...]:
        """Write what is known, do a local step if one is next, and announce the calls after it, which are returned."""
        saga = self.saga
        steps = next_steps(self.definition, saga)
        local = steps[0] if steps and steps[0].local else None
        after = next_steps(self.definition, saga, but=local) if local else steps
        calls = () if any(step.local for step in after) else after
        status, reason = (saga.status, saga.reason) if after else self._rest()
        longest = max((step.timeout for step in calls), default=0.0) + (local.timeout if local else 0.0)
        async with self._saving(status, reason, longest=longest) as connection:
            if local is not None:
                self._note(local, "completed", await self._apply(local, connection))
            for step in calls:
                self._note(step, "started")
            if not after:
                self._turn(status, reason)
        return calls

    async def _call_all(self, steps: Sequence[Step]) -> dict[Step, Exception]:
        """Call side by side; note what is done, and return what failed."""
        if self.worker.clock() + max(step.timeout for step in steps) > self.saga.lease_until:
            raise ClaimLost(f"the claim on saga {self.saga.id!r} may end during the call; somebody else may drive it then")
        if len(steps) == 1:
            outcomes = [await self._call(steps[0])]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._call(step)) for step in steps]
            outcomes = [task.result() for task in tasks]
        for step, (result, error) in zip(steps, outcomes, strict=True):
            if error is None:
                self._note(step, "completed", result)
        return {step: error for step, (_, error) in zip(steps, outcomes, strict=True) if error is not None}

    async def _after(self, failures: Mapping[Step, Exception]) -> tuple[Step, ...]:
        """Note what failed. When something is to be called again, announce that, wait, and return it."""
        saga, forward = self.saga, self.saga.direction == "do"
        retries = {step: step.retries(saga.direction) for step in failures}
        last = [step for step, error in failures.items() if retries[step].gives_up(self._attempt(step), error)]
        if last and forward:
            last = [*failures]  # of a group that turns back, nothing is called again
        for step in last:
            self._note(step, self._verdict(step, failures[step]), said(failures[step]))
        if last and forward:
            await self._give_up(f"{last[0].name}: {said(failures[last[0]])}")
            return ()
        again = [step for step in failures if step not in last]
        if not again:
            return ()
        wait = max(retries[step].wait(self._attempt(step), self.worker.rng) for step in again)
        if forward:
            wait = min(wait, self._time_left())
        for step in again:
            self._note(step, "retry", {"error": said(failures[step]), "outcome": outcome(failures[step])})
        async with self._saving(saga.status, saga.reason, longest=wait + max(step.timeout for step in again)):
            pass
        self._turn_back_if_asked()
        if forward == (saga.direction == "do"):
            await asyncio.sleep(wait)
            self._turn_back_if_asked()
        return tuple(step for step in again if not step.local)

    # -- turning back

    def _turn_back_if_asked(self, unsent: Sequence[Step] = ()) -> None:
        """Turn back when the saga is cancelled or late, if it still can. `unsent`: announced, and not called yet."""
        saga = self.saga
        if saga.status != "running" or not (saga.cancel_requested or self._time_left() <= 0):
            return
        fresh = [step for step in unsent if saga.leg(step.name, "do").attempts == 1 and not saga.leg(step.name, "do").unsure]
        if can_turn_back(self.definition, saga) or self.definition.pivot in fresh:
            for step in fresh:
                self._note(step, "called off")
            self._turn("compensating", "cancelled" if saga.cancel_requested else "the deadline passed")

    async def _give_up(self, reason: str) -> None:
        """A step will not happen: turn back, or beyond the pivot wait for an operator."""
        if can_turn_back(self.definition, self.saga):
            self._turn("compensating", reason)
            return
        self._turn("stuck", reason)
        async with self._saving("stuck", reason):
            pass

    def _rest(self) -> tuple[str, str | None]:
        """The status and reason it ends with."""
        saga = self.saga
        if saga.direction == "do":
            return "completed", None
        legs = [(step.undo_name, saga.leg(step.name, "undo")) for step in reversed(self.definition.steps)]
        left = [f"{name} failed: {leg.error}" for name, leg in legs if leg.status == "failed"]
        return (
            ("compensation_failed", "; ".join([f"{saga.why_it_turned_back}", *left])) if left else ("compensated", saga.reason)
        )

    def _time_left(self) -> float:
        """Seconds until the saga has to turn back; beyond the point of no return it never has to."""
        deadline = self.saga.deadline
        if deadline is None or not can_turn_back(self.definition, self.saga):
            return math.inf
        return deadline - self.worker.clock()

    # -- one call, one commit

    async def _call(self, step: Step) -> tuple[Any, Exception | None]:
        """The result, or the error that the call ended with."""
        worker, context = self.worker, self._context(step)
        facts = {"saga": self.saga.id, "step": step.name, "direction": context.direction}
        limit = min(step.timeout, max(0.0, self._time_left())) if context.direction == "do" else step.timeout
        worker.observe("calling", **facts)
        result, error = await ended(_action(step, context)(context), limit)
        worker.observe("called", **facts, outcome="ok" if error is None else outcome(error))
        return result, error

    async def _apply(self, step: Step, connection: AsyncConnection) -> Any:
        """The result of a local step, whose effect is in the open transaction."""
        context = self._context(step)
        result, error = await ended(_action(step, context)(context, connection), step.timeout)
        if error is not None and is_temporary(error) and not isinstance(error, OSError):
            raise error  # the database's doing, not the step's
        if error is not None:
            raise _LocalStepFailed(step, error) from error
        self.worker.observe("applied", saga=self.saga.id, step=step.name, direction=context.direction)
        return result

    @asynccontextmanager
    async def _saving(self, status: str, reason: str | None, *, longest: float = 0.0) -> AsyncIterator[AsyncConnection]:
        """One commit: first the claim, for `longest` seconds and the lease; last, what is new in the log."""
        worker, saga, goes_on = self.worker, self.saga, status in ACTIVE
        owner, until = (worker.owner, worker.clock() + longest + worker.lease) if goes_on else (None, 0.0)
        worker.observe("saving", saga=saga.id, status=status)
        async with begin_immediate(worker.engine, within=worker.within, writes_first=True) as connection:
            asked = await store.claim(connection, saga, owner=owner, lease_until=until, status=status, reason=reason)
            yield connection
            await store.append(connection, saga)
        saga.cancel_requested, saga.owner, saga.lease_until = asked, owner, until
        saga.revision, saga.saved = saga.revision + 1, len(saga.log)
        worker.observe("saved", saga=saga.id, status=status)

    def _context(self, step: Step) -> Context:
        saga = self.saga
        given, results = as_json([saga.input, saga.results])  # its own copy: no step can change what another sees
        attempt = self._attempt(step)
        return Context(saga.id, step.name, saga.direction, given, results, attempt, saga.deadline, saga.reason)

    def _attempt(self, step: Step) -> int:
        """The number of the call under way. A local step is not announced, so its log has only the calls that failed."""
        return self.saga.leg(step.name, self.saga.direction).attempts + step.local

    def _verdict(self, step: Step, error: Exception) -> str:
        """What is written of a step after its last call."""
        if step.local or self.saga.direction == "undo":
            return "failed"
        return "failed" if outcome(error) == "failed" and not self.saga.leg(step.name, "do").unsure else "unknown"

    def _note(self, step: Step, event: str, data: Any = None) -> None:
        self.saga.note(self.worker.clock(), event, step.name, self.saga.direction, data)

    def _turn(self, status: str, reason: str | None = None) -> None:
        self.saga.note(self.worker.clock(), status, data=reason)


def _action(step: Step, context: Context) -> Action:
    if context.direction == "do":
        return step.action
    assert step.compensation is not None  # the others are never to be undone: see `next_steps`
    return step.compensation
