"""Drive one saga: forward through its steps, or back through their compensations.

Shows: orchestration as a loop of two moves.
1. **Commit** the outcomes of the last calls and the intent to make the next ones ("started"), in
   one transaction. Its first statement checks and renews the claim, its last appends to the log; in
   between, a local step may add its effect.
2. **Call** what was announced by that commit, and nothing else: a call without a `started` in the
   log would be forgotten in a crash.

Guarantees:
- after a crash at any moment, the log has a `started` for every call that may have happened;
- a call with an unknown outcome (a time-out, a lost answer, a crash) is made again under the same
  idempotency key, or compensated. "It did not happen" is concluded only from an error whose own
  `outcome` is "failed";
- a driver that has lost its claim commits nothing. The claim lasts longer than the announced call
  may take, and is checked again before the call;
- cancelling the task writes nothing: what was announced stays announced, and recovery continues
  from there;
- `observe` is told before and after every move, so that a test can crash the worker in each gap.

Leaves out: participants that ignore the idempotency key. A call may be repeated, and then its
effect is repeated too. A call that timed out is cancelled here; what it has sent is on its way. A
step that raises SystemExit or KeyboardInterrupt ends the worker.

Source: Garcia-Molina and Salem 1987, "Sagas"; Gray and Reuter 1993, "Transaction Processing" (write
the log first)."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.calls import describe, only_our_cancellation
from labkit.base.claims import UNCLAIMED
from labkit.base.errors import ClaimLost
from labkit.base.observe import Observe
from labkit.base.transactions import begin_immediate, is_temporary
from labkit.sagas import store
from labkit.sagas.definition import Action, Context, SagaDefinition, Step
from labkit.sagas.state import ACTIVE, Saga, can_turn_back, next_steps


@dataclass(frozen=True)
class Runtime:
    """What a worker drives sagas with. `owner` is its name in claims; a claim outlasts the longest
    announced call by `lease` seconds; `within` bounds each transaction, in seconds.
    """

    engine: AsyncEngine
    clock: Callable[[], float]
    rng: random.Random
    owner: str
    lease: float
    within: float | None
    observe: Observe


class LocalStepFailed(Exception):
    """A local step ended with `error`, and its transaction was rolled back."""

    def __init__(self, step: Step, error: Exception) -> None:
        self.step, self.error = step, error


class Driver:
    """Drives one saga for one worker. `saga` is what this worker knows, and changes as it goes."""

    def __init__(self, runtime: Runtime, definition: SagaDefinition, saga: Saga) -> None:
        self.runtime, self.definition, self.saga = runtime, definition, saga

    async def run(self) -> str:
        """Drive until no step is left to call; returns the status. Raises `ClaimLost`, or
        `DatabaseUnavailable`: the log then says how far it came.
        """
        saga = self.saga
        if saga.status == "pending":
            self._enter("running")
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

    # -- commit

    async def _commit(self) -> tuple[Step, ...]:
        """Write what is known, run the next step if it is local, and announce the calls that
        follow, which are returned.
        """
        saga = self.saga
        steps = next_steps(self.definition, saga)
        local = steps[0] if steps and steps[0].local else None
        after = next_steps(self.definition, saga, but=local) if local else steps
        calls = () if any(step.local for step in after) else after
        status, reason = (saga.status, saga.reason) if after else self._final_status()
        longest = max((step.timeout for step in calls), default=0.0)
        if local is not None:
            longest += local.timeout
        async with self._saving(status, reason, longest=longest) as connection:
            if local is not None:
                self._record(local, "completed", await self.run_local(local, connection))
            for step in calls:
                self._record(step, "started")
            if not after:
                self._enter(status, reason)
        return calls

    async def run_local(self, step: Step, connection: AsyncConnection) -> Any:
        """The result of a local step, whose effect is then in the open transaction. Raises
        `LocalStepFailed`, or the database's own error.
        """
        context = self._context(step)
        action = _action(step, context)
        result, error = await _result_or_error(action(context, connection), step.timeout)
        if error is not None:
            if is_temporary(error) and not isinstance(error, OSError):
                raise error  # from the database, not from the step
            raise LocalStepFailed(step, error) from error
        facts = {"saga": self.saga.id, "step": step.name, "direction": context.direction}
        self.runtime.observe("applied", **facts)
        return result

    @asynccontextmanager
    async def _saving(
        self, status: str, reason: str | None, *, longest: float = 0.0
    ) -> AsyncIterator[AsyncConnection]:
        """One transaction: claim the saga for `longest` seconds and the lease, run the block,
        append what is new to the log.
        """
        runtime, saga = self.runtime, self.saga
        owner, until = None, UNCLAIMED
        if status in ACTIVE:
            owner, until = runtime.owner, runtime.clock() + longest + runtime.lease
        runtime.observe("saving", saga=saga.id, status=status)
        async with begin_immediate(
            runtime.engine, within=runtime.within, writes_first=True
        ) as connection:
            cancel_requested = await store.claim(
                connection, saga, owner=owner, lease_until=until, status=status, reason=reason
            )
            yield connection
            await store.append(connection, saga)
        saga.cancel_requested, saga.owner, saga.lease_until = cancel_requested, owner, until
        saga.revision, saga.saved = saga.revision + 1, len(saga.log)
        runtime.observe("saved", saga=saga.id, status=status)

    # -- call

    async def _call_all(self, steps: Sequence[Step]) -> dict[Step, Exception]:
        """Make the announced calls concurrently; record those that succeeded, return the errors of
        the others.
        """
        if self.runtime.clock() + max(step.timeout for step in steps) > self.saga.lease_until:
            raise ClaimLost(
                f"the claim on saga {self.saga.id!r} may end during the call; "
                "another worker may drive it then"
            )
        if len(steps) == 1:
            ends = [await self._call(steps[0])]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._call(step)) for step in steps]
            ends = [task.result() for task in tasks]
        failures: dict[Step, Exception] = {}
        for step, (result, error) in zip(steps, ends, strict=True):
            if error is None:
                self._record(step, "completed", result)
            else:
                failures[step] = error
        return failures

    async def _call(self, step: Step) -> tuple[Any, Exception | None]:
        """Call the step's action or compensation: its result, or the error that it ended with."""
        runtime, context = self.runtime, self._context(step)
        facts = {"saga": self.saga.id, "step": step.name, "direction": context.direction}
        runtime.observe("calling", **facts)
        call = _action(step, context)(context)
        result, error = await _result_or_error(call, self._limit(step))
        runtime.observe("called", **facts, outcome="ok" if error is None else outcome(error))
        return result, error

    async def _after(self, failures: Mapping[Step, Exception]) -> tuple[Step, ...]:
        """Record the failures. Steps that have attempts left are announced again and returned after
        the wait.
        """
        saga, forward = self.saga, self.saga.direction == "do"
        retries = {step: step.retries(saga.direction) for step in failures}
        last = [
            step
            for step, error in failures.items()
            if retries[step].gives_up(self._attempt(step), error)
        ]
        if last and forward:
            last = [*failures]  # one step of the group gave up: none of its others is called again
        for step in last:
            self._record(step, self._verdict(step, failures[step]), describe(failures[step]))
        if last and forward:
            await self._give_up(f"{last[0].name}: {describe(failures[last[0]])}")
            return ()
        again = [step for step in failures if step not in last]
        if not again:
            return ()
        wait = max(retries[step].wait(self._attempt(step), self.runtime.rng) for step in again)
        if forward:
            wait = min(wait, self._time_left())
        for step in again:
            error = failures[step]
            self._record(step, "retry", {"error": describe(error), "outcome": outcome(error)})
        longest = wait + max(step.timeout for step in again)
        async with self._saving(saga.status, saga.reason, longest=longest):
            pass
        self._turn_back_if_asked()
        if forward == (saga.direction == "do"):
            await asyncio.sleep(wait)
            self._turn_back_if_asked()
        return tuple(step for step in again if not step.local)

    # -- turn back, give up, end

    def _turn_back_if_asked(self, unsent: Sequence[Step] = ()) -> None:
        """Start compensating if the saga is cancelled or past its deadline, and still can.
        `unsent`: calls that are announced and not made yet.
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
                self._record(step, "called off")
            reason = "cancelled" if saga.cancel_requested else "the deadline passed"
            self._enter("compensating", reason)

    async def _give_up(self, reason: str) -> None:
        """A step has failed for good: compensate, or past the pivot wait for an operator."""
        if can_turn_back(self.definition, self.saga):
            self._enter("compensating", reason)
            return
        self._enter("stuck", reason)
        async with self._saving("stuck", reason):
            pass

    def _final_status(self) -> tuple[str, str | None]:
        """The status and the reason that the saga ends with, now that no step is left."""
        saga = self.saga
        if saga.direction == "do":
            return "completed", None
        failed = []
        for step in reversed(self.definition.steps):
            leg = saga.leg(step.name, "undo")
            if leg.status == "failed":
                failed.append(f"{step.undo_name} failed: {leg.error}")
        if not failed:
            return "compensated", saga.reason
        return "compensation_failed", "; ".join([f"{saga.why_it_turned_back}", *failed])

    # -- what one move needs

    def _time_left(self) -> float:
        """Seconds until the saga has to turn back; infinite once it no longer can."""
        deadline = self.saga.deadline
        if deadline is None or not can_turn_back(self.definition, self.saga):
            return math.inf
        return deadline - self.runtime.clock()

    def _limit(self, step: Step) -> float:
        """Seconds for a call: the step's time-out, and on the way forward at most what is left
        until the deadline.
        """
        if self.saga.direction == "undo":
            return step.timeout
        return min(step.timeout, max(0.0, self._time_left()))

    def _verdict(self, step: Step, error: Exception) -> str:
        """What the log says of a step after its last call."""
        if step.local or self.saga.direction == "undo":
            return "failed"
        if self.saga.leg(step.name, "do").unsure:
            return "unknown"
        return outcome(error)

    def _attempt(self, step: Step) -> int:
        """The number of the call under way. A local step is not announced, so the log counts only
        its failures.
        """
        return self.saga.leg(step.name, self.saga.direction).attempts + step.local

    def _context(self, step: Step) -> Context:
        saga = self.saga
        # A copy of its own, so that no step can change what another one sees.
        given, results = as_json([saga.input, saga.results])
        return Context(
            saga.id,
            step.name,
            saga.direction,
            given,
            results,
            self._attempt(step),
            saga.deadline,
            saga.reason,
        )

    def _record(self, step: Step, event: str, data: Any = None) -> None:
        """Add an event of a step to the log; the next commit writes it."""
        self.saga.note(self.runtime.clock(), event, step.name, self.saga.direction, data)

    def _enter(self, status: str, reason: str | None = None) -> None:
        """Change the saga's status; the next commit writes it."""
        self.saga.note(self.runtime.clock(), status, data=reason)


def outcome(error: Exception) -> str:
    """Did the call have its effect? "failed" (no) only if the error says so itself; code that
    merely broke may have had it.
    """
    with suppress(Exception):  # `outcome` may be a property, of code that has just failed
        return "failed" if getattr(error, "outcome", None) == "failed" else "unknown"
    return "unknown"


def as_json(value: Any) -> Any:
    """The value as the database will give it back: what a later step sees must not depend on
    whether there was a crash in between.
    """
    return json.loads(json.dumps(value, allow_nan=False))


def _action(step: Step, context: Context) -> Action:
    if context.direction == "do":
        return step.action
    assert step.compensation is not None  # `next_steps` leaves out steps without one
    return step.compensation


async def _result_or_error(call: Awaitable[Any], limit: float) -> tuple[Any, Exception | None]:
    """The call's result as JSON, or its error; a TimeoutError after `limit` seconds. Only our own
    cancellation is raised.
    """
    try:
        with only_our_cancellation("step"):
            async with asyncio.timeout(limit) as timer:
                return as_json(await call), None
    except Exception as error:
        return None, TimeoutError(f"no answer within {limit:g} s") if timer.expired() else error
