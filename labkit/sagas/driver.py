"""Drive one saga from where it is to where it rests: forward, or back through the compensations.

Shows: the whole of orchestration as a loop of two moves.
1. **Commit** what is known and what comes next: the outcomes of the last calls, a local step with
   its effect, and the announcement ("started") of the next calls. One transaction, which also
   checks and renews the claim.
2. **Call** what was announced. Never anything else: a call that nobody announced could be forgotten
   in a crash.

Guarantees:
- whatever crashes, the log has a `started` for every call that may have happened;
- an outcome that is not known (a time-out, a lost answer, a crash) is asked again under the same
  key, or compensated. Only an error whose own `outcome` is "failed" counts as "it did not happen";
- whoever lost the claim commits nothing. It lasts for longer than the announced call, and is looked
  at before the call;
- cancelling the task writes nothing: what was announced stays announced, and recovery goes on from
  there.

Leaves out: what a participant does that ignores the key. A call may be repeated; then, so is its
effect. And a step that raises SystemExit or its like: it is taken at its word, and ends the worker.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from labkit.base.calls import outcome, said
from labkit.base.errors import ClaimLost
from labkit.sagas.definition import SagaDefinition, Step
from labkit.sagas.moves import LocalStepFailed, Moves, Worker
from labkit.sagas.state import ACTIVE, Saga, can_turn_back, next_steps


class Drive:
    """One worker on one saga. Raises `ClaimLost`, or `DatabaseUnavailable` (the database then knows
    how far it came).
    """

    def __init__(self, worker: Worker, definition: SagaDefinition, saga: Saga) -> None:
        self.worker, self.definition, self.saga = worker, definition, saga
        self.moves = Moves(worker, saga)

    async def to_rest(self) -> str:
        """Drive until there is nothing more to do; returns the status."""
        saga = self.saga
        if saga.status == "pending":
            self.moves.turn("running")
        while saga.status in ACTIVE:
            self._turn_back_if_asked()
            heading = saga.direction
            try:
                calls = await self._commit()
            except LocalStepFailed as failed:
                calls = await self._after({failed.step: failed.error})
            else:
                self._turn_back_if_asked(unsent=calls)
            while calls and saga.direction == heading:
                calls = await self._after(await self._call_all(calls))
        return saga.status

    # -- the two moves

    async def _commit(self) -> tuple[Step, ...]:
        """Write what is known, do a local step if one is next, and announce the calls after it,
        which are returned.
        """
        saga = self.saga
        steps = next_steps(self.definition, saga)
        local = steps[0] if steps and steps[0].local else None
        after = next_steps(self.definition, saga, but=local) if local else steps
        calls = () if any(step.local for step in after) else after
        status, reason = (saga.status, saga.reason) if after else self._rest()
        longest = max((step.timeout for step in calls), default=0.0) + (
            local.timeout if local else 0.0
        )
        async with self.moves.saving(status, reason, longest=longest) as connection:
            if local is not None:
                self.moves.note(local, "completed", await self.moves.apply(local, connection))
            for step in calls:
                self.moves.note(step, "started")
            if not after:
                self.moves.turn(status, reason)
        return calls

    async def _call_all(self, steps: Sequence[Step]) -> dict[Step, Exception]:
        """Call side by side; note what is done, and return what failed."""
        if self.worker.clock() + max(step.timeout for step in steps) > self.saga.lease_until:
            raise ClaimLost(
                f"the claim on saga {self.saga.id!r} may end during the call; somebody else may drive it then"
            )
        if len(steps) == 1:
            outcomes = [await self.moves.call(steps[0], self._limit(steps[0]))]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.moves.call(step, self._limit(step))) for step in steps
                ]
            outcomes = [task.result() for task in tasks]
        for step, (result, error) in zip(steps, outcomes, strict=True):
            if error is None:
                self.moves.note(step, "completed", result)
        return {
            step: error
            for step, (_, error) in zip(steps, outcomes, strict=True)
            if error is not None
        }

    async def _after(self, failures: Mapping[Step, Exception]) -> tuple[Step, ...]:
        """Note what failed. When something is to be called again, announce that, wait, and return
        it.
        """
        saga, forward = self.saga, self.saga.direction == "do"
        retries = {step: step.retries(saga.direction) for step in failures}
        last = [
            step
            for step, error in failures.items()
            if retries[step].gives_up(self.moves.attempt(step), error)
        ]
        if last and forward:
            last = [*failures]  # of a group that turns back, nothing is called again
        for step in last:
            self.moves.note(step, self._verdict(step, failures[step]), said(failures[step]))
        if last and forward:
            await self._give_up(f"{last[0].name}: {said(failures[last[0]])}")
            return ()
        again = [step for step in failures if step not in last]
        if not again:
            return ()
        wait = max(retries[step].wait(self.moves.attempt(step), self.worker.rng) for step in again)
        if forward:
            wait = min(wait, self._time_left())
        for step in again:
            self.moves.note(
                step, "retry", {"error": said(failures[step]), "outcome": outcome(failures[step])}
            )
        async with self.moves.saving(
            saga.status, saga.reason, longest=wait + max(step.timeout for step in again)
        ):
            pass
        self._turn_back_if_asked()
        if forward == (saga.direction == "do"):
            await asyncio.sleep(wait)
            self._turn_back_if_asked()
        return tuple(step for step in again if not step.local)

    # -- turning back

    def _turn_back_if_asked(self, unsent: Sequence[Step] = ()) -> None:
        """Turn back when the saga is cancelled or late, if it still can. `unsent`: announced, and
        not called yet.
        """
        saga = self.saga
        if saga.status != "running" or not (saga.cancel_requested or self._time_left() <= 0):
            return
        fresh = [
            step
            for step in unsent
            if saga.leg(step.name, "do").attempts == 1 and not saga.leg(step.name, "do").unsure
        ]
        if can_turn_back(self.definition, saga) or self.definition.pivot in fresh:
            for step in fresh:
                self.moves.note(step, "called off")
            self.moves.turn(
                "compensating", "cancelled" if saga.cancel_requested else "the deadline passed"
            )

    async def _give_up(self, reason: str) -> None:
        """A step will not happen: turn back, or beyond the pivot wait for an operator."""
        if can_turn_back(self.definition, self.saga):
            self.moves.turn("compensating", reason)
            return
        self.moves.turn("stuck", reason)
        async with self.moves.saving("stuck", reason):
            pass

    def _rest(self) -> tuple[str, str | None]:
        """The status and reason it ends with."""
        saga = self.saga
        if saga.direction == "do":
            return "completed", None
        legs = [
            (step.undo_name, saga.leg(step.name, "undo"))
            for step in reversed(self.definition.steps)
        ]
        left = [f"{name} failed: {leg.error}" for name, leg in legs if leg.status == "failed"]
        return (
            ("compensation_failed", "; ".join([f"{saga.why_it_turned_back}", *left]))
            if left
            else ("compensated", saga.reason)
        )

    def _time_left(self) -> float:
        """Seconds until the saga has to turn back; beyond the point of no return it never has to."""
        deadline = self.saga.deadline
        if deadline is None or not can_turn_back(self.definition, self.saga):
            return math.inf
        return deadline - self.worker.clock()

    def _limit(self, step: Step) -> float:
        """Seconds for a call: a step's time-out, and forward no longer than the saga has left."""
        return (
            min(step.timeout, max(0.0, self._time_left()))
            if self.saga.direction == "do"
            else step.timeout
        )

    def _verdict(self, step: Step, error: Exception) -> str:
        """What is written of a step after its last call."""
        if step.local or self.saga.direction == "undo":
            return "failed"
        return (
            "failed"
            if outcome(error) == "failed" and not self.saga.leg(step.name, "do").unsure
            else "unknown"
        )
