"""The judge of exercise 1.2b-1, "compensate in reverse, each with its own result".

Up to three steps of an order are done, and must be undone. The reader's `compensate` is given the
steps with what each returned. Some desks are down, or `compensate` is cancelled while it waits for
one. There are no other faults: the search goes over what was done and what is down.

Leaves out: crashes, time-outs and repeated undos; those are the other exercises of the lesson.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.desks import ORCHESTRATOR, VERBS, Desks
from labkit.sim import Finding, falsify
from labkit.world import Event, Run, World

STEPS = ("payments", "stock", "carrier")


class DeskDown(ConnectionError):
    """The desk cannot be reached: it was not undone."""


class DoneStep:
    """A step that is done. `undo` takes what the step returned."""

    def __init__(
        self, world: World, desks: Desks, name: str, down: bool, meanwhile: Callable[[], object]
    ) -> None:
        self.name = name
        self._world, self._desks, self._down, self._meanwhile = world, desks, down, meanwhile
        self._do, self._undo = VERBS[name]

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    async def undo(self, result: Any) -> None:
        """Undo this step, of which `result` was returned. Raises `DeskDown`."""
        self._world.record("undoes", step=self.name, result=result)
        if self._down:
            self._world.record("fails", step=self.name)
            raise DeskDown(f"{self.name} is down")
        self._meanwhile()
        try:
            await self._desks.ask(self._undo)
        except asyncio.CancelledError:
            self._world.record("cancelled", step=self.name)
            raise
        self._world.record("undone", step=self.name)

    async def done(self) -> dict[str, Any]:
        """Do the step; returns its result."""
        return await self._desks.ask(self._do)


Compensate = Callable[[list[tuple[DoneStep, dict[str, Any]]]], Awaitable[list[str]]]


async def going_back(
    world: World,
    compensate: Compensate,
    done: tuple[str, ...],
    down: tuple[str, ...],
    cancelled: bool = False,
) -> None:
    """The steps of `done` are done in this order, and then undone while the desks of `down` are
    down.

    `cancelled`: the task that undoes them is cancelled while it waits for the first desk that
    answers."""
    desks = Desks(world, within=60.0)  # nothing is lost: there always is an answer
    tasks: list[asyncio.Task[Any]] = []

    def meanwhile() -> None:
        if cancelled and tasks:
            tasks.pop().cancel()

    async def orchestrator() -> None:
        steps = [DoneStep(world, desks, name, name in down, meanwhile) for name in done]
        pairs = [(step, await step.done()) for step in steps]
        world.record("goes back", results={step.name: result for step, result in pairs})
        task = asyncio.create_task(_undoing(compensate, pairs))
        tasks.append(task)
        try:
            said = await task
        except DeskDown as error:
            world.record("raised", error=str(error))
            return
        except asyncio.CancelledError:
            world.record("stopped")
            return
        if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
            raise TypeError(
                f"compensate must return a list of the names of steps, it returned {said!r}"
            )
        world.record("says", failed=said)

    await world.join(world.node(ORCHESTRATOR).start(orchestrator))


async def _undoing(compensate: Compensate, pairs: list[tuple[DoneStep, dict[str, Any]]]) -> Any:
    return await compensate(list(pairs))


def _wrong(run: Run) -> str | None:
    began = run.history.of("goes back")
    if not began:
        return None
    results, calls = began[0].data["results"], run.history.of("undoes")
    backwards = [name for name in reversed(run.args["done"])]
    asked = [call.data["step"] for call in calls]
    for call in calls:
        if call.data["result"] != results[call.data["step"]]:
            return (
                f"{call.data['step']} was undone with {_whose(call, results)}, and not with what "
                "it had returned itself"
            )
    if run.history.of("stopped"):
        return None
    if struck := run.history.of("cancelled"):
        return (
            f"compensate was cancelled while it waited for {struck[0].data['step']}, and took "
            "that for a failure of the step"
        )
    for name in backwards:
        if name not in asked:
            return f"{name} was done, and never undone{_because(run, asked)}"
        if asked.count(name) > 1:
            return f"{name} was undone {asked.count(name)} times"
    if raised := run.history.of("raised"):
        return (
            f"{raised[0].data['error']}, and compensate raised that instead of returning which "
            "steps are left"
        )
    if asked != backwards:
        return (
            f"{', '.join(run.args['done'])} were done in this order, and undone as "
            f"{', '.join(asked)}"
        )
    if early := _overlap(run):
        return early
    failed, said = (
        [name for name in backwards if name in run.args["down"]],
        run.history.of("says")[0].data["failed"],
    )
    return (
        None
        if said == failed
        else f"{_list(failed)} could not be undone, and compensate returned {said!r}"
    )


def _whose(call: Event, results: dict[str, Any]) -> str:
    owner = next((name for name, result in results.items() if result == call.data["result"]), None)
    return f"{call.data['result']!r}" if owner is None else f"the result of {owner}"


def _because(run: Run, asked: list[str]) -> str:
    failures = run.history.of("fails")
    return (
        f": {failures[-1].data['step']} was down, and compensate stopped there"
        if failures and asked
        else ""
    )


def _overlap(run: Run) -> str | None:
    open_: str | None = None
    for event in run.history.of("undoes", "undone", "fails"):
        if event.kind != "undoes":
            open_ = None
        elif open_ is not None:
            return f"{event.data['step']} was undone before {open_} had answered"
        else:
            open_ = event.data["step"]
    return None


def _list(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


IN_REVERSE = Invariant(
    "what was done is undone in reverse, each with its own result, and what is left is said", _wrong
)


@judge(
    "1.2b-1",
    title="Compensate in reverse",
    hints=(
        "The guide's loop goes backwards, and goes on after an error: both are right. What does "
        "it do with the error?",
        "`for step, result in reversed(done)`, a `try` around `await step.undo(result)`, and in "
        "the `except Exception` the step's name goes into the list that you return.",
    ),
    budget=100,
)
def judge_compensate(answer: Any, budget: int) -> Finding:
    """Search for steps and a failure with which the reader's `compensate` leaves something, or does
    not say so.
    """
    arguments = {
        "compensate": answer,
        "done": st.lists(st.sampled_from(STEPS), unique=True, max_size=len(STEPS)).map(tuple),
        "down": st.lists(st.sampled_from(STEPS), unique=True, max_size=2).map(
            lambda names: tuple(sorted(names))
        ),
        "cancelled": st.booleans(),
    }
    return falsify(going_back, IN_REVERSE, args=arguments, runs=budget, max_steps=10_000)
