"""The judge of exercise 1.2b-1, "compensate in reverse, each with its own result".

Up to four steps of an order are done, one of them perhaps twice, and must be undone. The reader's
`compensate` is given the steps with what each returned, which may be nothing. Some desks fail, each
with an error of another type, or `compensate` is cancelled while it waits for one. There are no
other faults: the search goes over what was done and what fails.

Leaves out: crashes, time-outs that leave it open whether something was undone, and repeated undos;
those are other exercises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.desks import ORCHESTRATOR, VERBS, Desks
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.sim import Finding, falsify
from labkit.world import Run, World

STEPS = ("payments", "stock", "carrier")


class DeskDown(ConnectionError):
    """The desk cannot be reached: it was not undone."""


class NotUndone(Exception):
    """The desk does not want to."""


ERRORS: Mapping[str, type[Exception]] = {
    "payments": DeskDown,
    "stock": NotUndone,
    "carrier": TimeoutError,
}


class DoneStep:
    """A step that is done. `undo` takes what the step returned."""

    def __init__(
        self, world: World, desks: Desks, name: str, down: bool, meanwhile: Callable[[], object]
    ) -> None:
        self.name = name
        self.error = ERRORS[name](f"{name} is down")
        self._world, self._desks, self._down, self._meanwhile = world, desks, down, meanwhile
        self._do, self._undo = VERBS[name]

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    async def undo(self, result: Any) -> None:
        """Undo this step, of which `result` was returned. Raises the desk's error when it is
        down.
        """
        self._world.record("undoes", step=self.name, result=result)
        if self._down:
            self._world.record("fails", step=self.name)
            raise self.error
        self._meanwhile()
        try:
            await self._desks.ask(self._undo)
        except asyncio.CancelledError:
            self._world.record("cancelled", step=self.name)
            raise
        self._world.record("undone", step=self.name)

    async def done(self, number: int) -> dict[str, Any]:
        """Do the step, the `number`-th of the order; returns its result."""
        return {**await self._desks.ask(self._do), "line": number}


Done = list[tuple[DoneStep, dict[str, Any] | None]]
Compensate = Callable[[Done], Awaitable[list[str]]]


async def going_back(
    world: World,
    compensate: Compensate,
    done: tuple[str, ...],
    down: tuple[str, ...],
    cancelled: bool = False,
    nothing: bool = False,
) -> None:
    """The steps of `done` are done in this order, and then undone while the desks of `down` are
    down. `nothing`: the first step returned None.

    `cancelled`: the task that undoes them is cancelled while it waits for the first desk that
    answers."""
    desks = Desks(world, within=60.0)  # nothing is lost: there always is an answer
    tasks: list[asyncio.Task[Any]] = []

    def meanwhile() -> None:
        if cancelled and tasks:
            tasks.pop().cancel()

    async def orchestrator() -> None:
        steps = {name: DoneStep(world, desks, name, name in down, meanwhile) for name in STEPS}
        pairs: Done = [
            (steps[name], await steps[name].done(number)) for number, name in enumerate(done, 1)
        ]
        if nothing and pairs:
            pairs[0] = (pairs[0][0], None)
        world.record("goes back", results=[(step.name, result) for step, result in pairs])
        task = asyncio.create_task(_undoing(compensate, pairs))
        tasks.append(task)
        try:
            said = await task
        except asyncio.CancelledError:
            world.record("stopped")
            return
        except Exception as error:
            if error not in [step.error for step in steps.values()]:
                raise
            world.record("raised", error=str(error))
            return
        if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
            raise TypeError(
                f"compensate must return a list of the names of steps, it returned {said!r}"
            )
        world.record("says", failed=said)

    await world.join(world.node(ORCHESTRATOR).start(orchestrator))


async def _undoing(compensate: Compensate, pairs: Done) -> Any:
    return await compensate(list(pairs))


def _wrong(run: Run) -> str | None:
    began = run.history.of("goes back")
    if not began:
        return None
    done, calls = began[0].data["results"], run.history.of("undoes")
    backwards = [tuple(pair) for pair in reversed(done)]
    asked = [(call.data["step"], call.data["result"]) for call in calls]
    for name, result in asked:
        if (name, result) not in backwards:
            whose = _whose(result, done)
            return f"{name} was undone with {whose}, and not with what it had returned itself"
    if run.history.of("stopped"):
        return None
    if struck := run.history.of("cancelled"):
        return (
            f"compensate was cancelled while it waited for {struck[0].data['step']}, and took "
            "that for a failure of the step"
        )
    for name, result in backwards:
        if (name, result) not in asked:
            again = " was done twice, and undone once" if name in dict(asked) else ""
            return f"{name}{again or ' was done, and never undone'}{_because(run, asked)}"
        if asked.count((name, result)) > 1:
            return f"{name} was undone {asked.count((name, result))} times"
    if raised := run.history.of("raised"):
        return (
            f"{raised[0].data['error']}, and compensate raised that instead of returning which "
            "steps are left"
        )
    if asked != backwards:
        return (
            f"{', '.join(run.args['done'])} were done in this order, and undone as "
            f"{', '.join(name for name, _ in asked)}"
        )
    if early := _overlap(run):
        return early
    failed, said = (
        [name for name, _ in backwards if name in run.args["down"]],
        run.history.of("says")[0].data["failed"],
    )
    return (
        None
        if said == failed
        else f"{_list(failed)} could not be undone, and compensate returned {said!r}"
    )


def _whose(result: Any, done: list[tuple[str, Any]]) -> str:
    owner = next((name for name, returned in done if returned == result), None)
    return f"{result!r}" if owner is None else f"the result of {owner}"


def _because(run: Run, asked: list[tuple[str, Any]]) -> str:
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


def _case(*done: str, down: tuple[str, ...] = (), **what: bool) -> Case:
    return Case({"done": done, "down": down, "cancelled": False, "nothing": False, **what})


CASES = (
    _case(),
    _case("payments"),
    *[_case(step, down=(step,)) for step in STEPS],
    _case("payments", "stock"),
    _case("stock", nothing=True),
    _case("stock", down=("stock",), nothing=True),
    _case("stock", "stock"),
    _case("stock", "payments", "stock", down=("payments",)),
    _case("stock", "payments", "stock", down=("stock",)),
    *[_case(*STEPS, down=(step,)) for step in STEPS],
    _case(*STEPS, down=STEPS),
    _case("carrier", "stock", "payments", down=("carrier", "stock")),
    _case("payments", "stock", cancelled=True),
    _case("payments", "stock", down=("stock",), cancelled=True),
)
"""What every answer is run through, the smallest first."""


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
        "done": st.lists(st.sampled_from(STEPS), max_size=4).map(tuple),
        "down": st.lists(st.sampled_from(STEPS), unique=True, max_size=3).map(
            lambda names: tuple(sorted(names))
        ),
        "cancelled": st.booleans(),
        "nothing": st.booleans(),
    }
    return cases_first(
        going_back,
        (IN_REVERSE,),
        CASES,
        lambda runs: falsify(going_back, IN_REVERSE, args=arguments, runs=runs, max_steps=10_000),
        budget=budget,
        args={"compensate": answer},
        max_steps=10_000,
    )
