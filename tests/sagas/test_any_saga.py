"""Any definition, any plan of failures: the saga ends as a few lines of arithmetic say, and with
crashes in all or nothing.

A plan says for each step how its calls end, one after the other (when it runs out: well): `ok`;
`busy`, a definite "not now"; `refuse`, a definite no; `lost request`, `lost reply` and `late
request`, the same time-out: it never arrives, or the effect was there before it, or the request
arrives when the saga is over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from labkit.base.errors import Refused
from labkit.base.retry import Retry
from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.sagas.store import create_sagas
from tests.messaging.in_memory import Memory
from tests.sagas.toys import Killed, Lab, create_notes, note, notes
from tests.support.depth import examples

ATTEMPTS = 3
CALLS = ("ok", "busy", "refuse", "lost request", "lost reply", "late request")
THOROUGH = examples("fair", suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Plan:
    """A step, how its calls end, and how many calls of its undo are told "not now"."""

    kind: str
    local: bool
    group: str | None
    undo: bool
    calls: tuple[str, ...]
    busy_undos: int


@dataclass
class Party:
    """Does what the plan says. It keeps an inbox, so what is done once stays done, and leaves
    tombstones.
    """

    plan: Plan
    called: int = 0
    called_back: int = 0
    done: int = 0
    undone: int = 0
    withdrawn: bool = False
    late: bool = False
    observe: Any = None

    async def do(self, context: Context) -> str:
        how = self._next()
        if self.done:
            return "done"
        if self.withdrawn or how == "refuse":
            raise Refused("no")
        if how == "busy":
            raise Busy
        if how in ("lost request", "late request"):
            self.late = self.late or how == "late request"
            raise TimeoutError
        self.done += 1
        self.observe("effect")
        if how == "lost reply":
            raise TimeoutError
        return "done"

    def deliver(self) -> None:
        """What was on its way arrives."""
        if self.late and not self.withdrawn and not self.done:
            self.done += 1

    async def undo(self, context: Context) -> str:
        self._next_undo()
        if not self.withdrawn:
            self.withdrawn, self.undone = True, self.done
            self.observe("effect")
        return "undone"

    async def do_here(self, context: Context, connection: Any) -> Any:
        how = self._next()
        if how != "ok":
            raise Refused("no") if how == "refuse" else Busy
        return await note(context, connection)

    async def undo_here(self, context: Context, connection: Any) -> Any:
        self._next_undo()
        return await note(context, connection)

    def _next(self) -> str:
        self.called += 1
        return how_ends(self.plan, self.called)

    def _next_undo(self) -> None:
        self.called_back += 1
        if self.called_back <= self.plan.busy_undos:
            raise Busy


class Busy(Exception):
    outcome = "failed"


def define(parties: list[Party]) -> SagaDefinition:
    steps = []
    for number, party in enumerate(parties):
        plan = party.plan
        act, back = (party.do_here, party.undo_here) if plan.local else (party.do, party.undo)
        retry = Retry(attempts=ATTEMPTS, first=0.0, most=0.0)
        kind: Any = plan.kind
        steps.append(
            Step(
                f"{number}",
                act,
                back if plan.undo else None,
                kind,
                retry=retry,
                group=plan.group,
                local=plan.local,
            )
        )
    return SagaDefinition("any", 1, tuple(steps))


def how_ends(plan: Plan, call: int) -> str:
    """How the `call`th call ends."""
    how = plan.calls[call - 1] if call <= len(plan.calls) else "ok"
    return "busy" if plan.local and how not in ("ok", "refuse") else how


# -- the oracle: no crashes, no cancellation


def after(plan: Plan, calls: int) -> tuple[int, str, bool, bool]:
    """Calls made, of `calls` at most; how it then stands; whether the effect is there or may yet
    come; or is unknown.
    """
    done = late = unsure = False
    for call in range(1, calls + 1):
        how = how_ends(plan, call)
        if done or how == "ok":
            return call, "done", True, unsure
        if how == "refuse":
            return call, "given up", late, unsure
        unsure, late, done = (
            unsure or how != "busy",
            late or how == "late request",
            how == "lost reply",
        )
    return calls, "given up", done or late, unsure


def expected(plans: list[Plan]) -> tuple[str, list[bool]]:
    """The status in which it rests, and of which steps the effect is there in the end."""
    there, due = [False] * len(plans), [False] * len(plans)
    for batch in batches(plans):
        stops = [
            made
            for made, how, _, _ in (after(plans[number], ATTEMPTS) for number in batch)
            if how == "given up"
        ]
        for number in batch:  # the first of a group to give up is the last to be called
            _, _, there[number], unsure = after(plans[number], min(stops, default=ATTEMPTS))
            due[number] = there[number] or unsure
        if stops:
            break
    else:
        return "completed", there
    first = plans[batch[0]]
    if first.kind == "retriable" or (first.kind == "pivot" and due[batch[0]] and not first.undo):
        return "stuck", there
    left = [
        number for number, plan in enumerate(plans) if due[number] and plan.busy_undos >= ATTEMPTS
    ]
    if any(plans[number].kind == "pivot" for number in left):
        return "compensation_failed", there  # it may have happened: nothing before it is undone
    return "compensation_failed" if left else "compensated", [
        there[number] and number in left for number in range(len(plans))
    ]


def batches(plans: list[Plan]) -> list[list[int]]:
    made: list[list[int]] = []
    for number, plan in enumerate(plans):
        if plan.group is not None and made and plans[made[-1][-1]].group == plan.group:
            made[-1].append(number)
        else:
            made.append([number])
    return made


# -- what is tried


NOT_WITHDRAWN = [
    Plan("compensatable", False, None, True, (), 0),
    Plan("pivot", False, None, True, ("busy", "busy", "lost reply"), ATTEMPTS),
]
"""A pivot that happened, whose undo gives up. The search seldom draws one."""


@st.composite
def sagas(draw: st.DrawFn) -> list[Plan]:
    before, pivot = draw(st.integers(0, 4)), draw(st.booleans())
    after_it = draw(st.integers(0, 2)) if pivot else 0
    kinds = (
        ["compensatable"] * max(before, 0 if pivot else 1)
        + ["pivot"] * pivot
        + ["retriable"] * after_it
    )
    plans: list[Plan] = []
    for kind in kinds:
        local = draw(st.booleans())
        joins = kind != "pivot" and not local and draw(st.booleans())
        group = f"{kind} {sum(plan.group is None for plan in plans)}" if joins else None
        undo = kind == "compensatable" or (kind == "pivot" and draw(st.booleans()))
        calls = tuple(draw(st.lists(st.sampled_from(CALLS), max_size=3)))
        plans.append(Plan(kind, local, group, undo, calls, draw(st.sampled_from((0, 0, 1, 3)))))
    return plans


async def end(plans: list[Plan], kills: list[int]) -> tuple[str, list[tuple[int, int]]]:
    """Run the saga, killing each life but the last at its event; the status, and how often each
    step was done and undone.
    """
    memory, lab = Memory(), Lab()
    await create_sagas(memory.engine)
    await create_notes(memory.engine)
    parties = [Party(plan) for plan in plans]
    for kill in [*kills, 0]:
        seen = 0

        def observe(*_: Any, kill: int = kill, **__: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == kill:
                raise Killed

        for party in parties:
            party.observe = observe
        orchestrator = lab.orchestrator(memory.engine, define(parties), observe=observe)
        try:
            await orchestrator.start("any", {}, saga_id="s")
            await orchestrator.recover()
        except Killed:
            pass
        except BaseExceptionGroup as several:
            assert several.split(Killed)[1] is None
        lab.now += 3600
    for party in parties:
        party.deliver()
    written = await notes(memory.engine, "s")
    for number, party in enumerate(parties):
        if party.plan.local:
            party.done, party.undone = (
                written.count(f"{number}:do"),
                written.count(f"{number}:undo"),
            )
    return (await orchestrator.status("s"))["status"], [
        (party.done, party.undone) for party in parties
    ]


@example(NOT_WITHDRAWN)
@given(sagas())
@THOROUGH
def test_without_crashes_it_ends_exactly_as_the_arithmetic_says(plans: list[Plan]) -> None:
    status, counted = asyncio.run(end(plans, []))
    assert (status, [done - undone == 1 for done, undone in counted]) == expected(plans)
    assert all(done <= 1 and undone <= done for done, undone in counted)


@example(NOT_WITHDRAWN, [25])
@given(sagas(), st.lists(st.integers(1, 25), min_size=1, max_size=3))
@THOROUGH
def test_with_crashes_it_rests_in_all_or_nothing_each_effect_at_most_once(
    plans: list[Plan], kills: list[int]
) -> None:
    status, counted = asyncio.run(end(plans, kills))
    assert all(done <= 1 and undone <= done for done, undone in counted)
    left = [number for number, (done, undone) in enumerate(counted) if done > undone]
    match status:
        case "completed":
            assert left == [*range(len(plans))]
        case "compensated":
            assert left == []
        case "compensation_failed":
            if any(plans[number].busy_undos and plans[number].kind == "pivot" for number in left):
                assert not any(undone for _, undone in counted)
            elif not any(plan.busy_undos >= ATTEMPTS and plan.kind == "pivot" for plan in plans):
                assert all(plans[number].busy_undos > 0 for number in left)
        case "stuck":
            point = next(number for number, plan in enumerate(plans) if plan.kind == "pivot")
            assert left[:point] == [*range(point)], "what came before the pivot is kept"
        case _:
            raise AssertionError(f"it does not rest: {status}")
