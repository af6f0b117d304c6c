"""The judge of exercise 1.2a-2, "take it up after a crash".

Four steps: reserve and charge can be undone, book is the pivot, send (a mail) is retriable. The
reader's `drive` writes a log and is called again after each crash, with the log alone. The
orchestrator crashes up to twice, at any moment, requests and answers get lost, for a minute even,
and one step before the mail is refused. What the log says must be true, because an operator knows
nothing else.

Leaves out: a log that cannot be reached, and two orchestrators at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from hypothesis import strategies as st
from redis.asyncio import Redis

from labkit.base import Refused
from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.l1_2a.unanswered import (
    BRIEF,
    CALLS,
    LATE,
    LONG,
    MINUTE,
    MOST_STEPS,
    DeskStep,
    cut,
    silence,
    too_early,
)
from labkit.lessons.shared.desks import AT, ORCHESTRATOR, ORDER, UNDO, Desks, after_all, left, told
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Crash, Fault, LoseReply, Run, World

KINDS: dict[str, Literal["compensatable", "pivot", "retriable"]] = {
    "reserve": "compensatable",
    "charge": "compensatable",
    "book": "pivot",
    "send": "retriable",
}
PIVOT = "book"
RESTART, PATIENCE = 1.0, 120.0  # seconds
STATUSES = ("started", "done", "undone")


class LogStep(DeskStep):
    """A step that knows its kind. A retriable one is never refused, and has no undo."""

    @property
    def kind(self) -> str:
        """compensatable, pivot or retriable."""
        return KINDS[self.name]

    async def undo(self) -> None:
        """Undo it, whether it happened or not."""
        if self.kind == "retriable":
            raise ValueError(
                f"{self.name} is retriable: it is never undone, it is asked until it is done"
            )
        await super().undo()


class Log:
    """What survives a crash: a status for each step."""

    def __init__(self, world: World, redis: Redis) -> None:
        self._world, self._redis = world, redis

    async def read(self) -> dict[str, str]:
        """The status of each step that has one."""
        found: dict[Any, Any] = await self._redis.hgetall(ORDER)
        return {name.decode(): status.decode() for name, status in found.items()}

    async def write(self, step: str, status: str) -> None:
        """Keep the status of a step; on the log's disk when this returns."""
        if step not in KINDS or status not in STATUSES:
            allowed = f"a step of {', '.join(KINDS)} and one of {', '.join(STATUSES)}"
            raise ValueError(f"write takes {allowed}, got {step!r} and {status!r}")
        await self._redis.hset(ORDER, step, status)
        self._world.record("logged", step=step, status=status)


Drive = Callable[[Sequence[LogStep], Log], Awaitable[str]]


async def taken_up(world: World, drive: Drive, refuses: str | None) -> None:
    """One order. The desk of `refuses` says no."""
    desks, over = Desks(world, refuses), asyncio.Event()

    async def life() -> None:
        log = Log(world, world.redis("log", timeout=60.0))
        try:
            said = await drive([LogStep(world, desks, verb) for verb in KINDS], log)
        except (Refused, TimeoutError) as error:
            world.record("raised", error=f"{type(error).__name__} ({error})")
        else:
            if said not in ("completed", "cancelled"):
                raise TypeError(
                    f"drive must return 'completed' or 'cancelled', it returned {said!r}"
                )
            world.record("says", order=said)
        over.set()

    world.node(ORCHESTRATOR).boot(life)
    try:
        async with asyncio.timeout(PATIENCE):
            await over.wait()
    except TimeoutError:
        world.record("gave up waiting")
    await asyncio.sleep(LATE)


def _harm(run: Run) -> str | None:
    at_last, answers = (
        left(run.history.events),
        [event.data["order"] for event in run.history.of("says")],
    )
    after = f" after {_times(run)}"
    for event in run.history.of("raised"):
        return f"drive raised {event.data['error']}{after} {after_all(at_last)}"
    if run.history.of("gave up waiting"):
        return (
            f"{after.strip()} drive did not come to an end within {PATIENCE:g} s, and left "
            f"{told(at_last)} behind"
        )
    if len(set(answers)) > 1:
        return f"drive said {answers[0]!r} and, called again, {answers[-1]!r}"
    if answers[-1:] == ["completed"] and (
        missing := [verb for verb in KINDS if verb not in at_last]
    ):
        return f"drive said 'completed'{after}, without {told(missing)}"
    if answers[-1:] == ["cancelled"] and at_last:
        pivot = ": the parcel is on its way" if PIVOT in at_last else ""
        return f"drive said 'cancelled'{after} and left {told(at_last)} behind{pivot}"
    return None


def _times(run: Run) -> str:
    count = sum(1 for span in run.history.spans if span.kind == "crash")
    lost = "a call without an answer" if run.history.of("no answer") else "no fault"
    return {0: lost, 1: "a crash"}.get(count, "two crashes")


def _fault(run: Run) -> str | None:
    known: dict[str, str] = {}
    for event in run.history.of("logged", "asks"):
        step = event.data["step"] if event.kind == "logged" else event.data["what"]
        if event.kind == "logged":
            if event.data["status"] == "started" and known.get(step) in ("done", "undone"):
                return f"the log said that {step} is {known[step]}, and drive started it again"
            known[step] = event.data["status"]
        elif step in UNDO.values():
            if known.get(PIVOT) == "done":
                return f"the log said that the pivot is done, and drive asked to {step}"
        elif known.get(step) == "done":
            return f"the log said that {step} is done, and drive asked for it again"
        elif step not in known:
            return f"drive asked for {step} with no word of it in the log"
    if early := too_early(run, tuple(KINDS)):
        return f"drive{early}"
    if lie := _lie(run):
        return lie
    sure = run.args["refuses"] is None and not run.history.of("no answer")
    return (
        "nothing was refused, and drive cancelled the order"
        if sure and PIVOT not in left(run.history.events)
        else None
    )


def _lie(run: Run) -> str | None:
    """What the log was told, or left without, that an operator must not believe."""
    known: dict[str, str] = {}
    heard: dict[str, set[str]] = {kind: set() for kind in ("asks", "succeeded", "refused")}
    for event in run.history.of("logged", "says", *heard):
        if event.kind in heard:
            heard[event.kind].add(event.data["what"])
        elif event.kind == "logged":
            step, status = event.data["step"], event.data["status"]
            known[step] = status
            if status == "done" and step not in heard["succeeded"]:
                return f"drive wrote that {step} is done, and no answer had said so"
            if status == "undone" and not _never_or_undone(step, **heard):
                return f"drive wrote that {step} is undone, and no answer had said so"
        elif event.data["order"] == "completed":
            for step in KINDS:
                if known.get(step) != "done":
                    says = repr(known[step]) if step in known else "nothing"
                    return f"drive said 'completed', and the log says {says} of {step}"
        elif kept := [step for step in KINDS if known.get(step) == "done"]:
            return f"drive said 'cancelled', and the log says 'done' of {kept[0]}"
    return None


def _never_or_undone(step: str, asks: set[str], succeeded: set[str], refused: set[str]) -> bool:
    """Whether the orchestrator could know that nothing of this step is there, nor will be."""
    return step not in asks or step in refused or UNDO[step] in succeeded


FINISHED = Invariant(
    "whatever crashes, an order is completed with everything or cancelled with nothing", _harm
)
BY_THE_LOG = Invariant(FINISHED.claim, _fault)


def _case(refuses: str | None, *faults: Fault) -> Case:
    return Case({"refuses": refuses}, faults)


def _crash(after: str, nth: int = 1) -> Fault:
    return Crash(ORCHESTRATOR, restart_after=RESTART, after=after, nth=nth)


def _lose(desk: str, after: str, nth: int = 1) -> Fault:
    return LoseReply(src=ORCHESTRATOR, dst=desk, after=after, nth=nth)


CASES = (
    *(_case(refuses) for refuses in (None, *CALLS)),
    *(_case(None, _lose(AT[verb], "asks", n)) for n, verb in enumerate(KINDS, 1)),
    *(_case(None, cut(BRIEF, "asks", n)) for n in (1, 3, 4)),
    *(_case(None, _crash("logged", n)) for n in range(1, 9)),
    *(_case(None, _crash(verb)) for verb in KINDS),
    _case(None, silence(LONG, AT[PIVOT], "asks", 3)),
    _case(None, silence(LONG, AT["send"], "asks", 4)),
    _case(None, cut(MINUTE, "asks", 4)),
    # And when it turns back: "refused" is the moment before the first undo.
    *(_case(verb, _crash("refused")) for verb in ("charge", "book")),
    _case("charge", _crash("logged", 4)),
    *(_case("book", _crash("logged", n)) for n in (6, 7, 8)),
    *(_case("book", _crash(verb)) for verb in ("refund", "release")),
    _case("book", _lose(AT["charge"], "refused")),
    _case("book", cut(BRIEF, "refused")),
    _case("book", silence(LONG, AT["charge"], "refused")),
)
"""What every answer is run through, the smallest first."""


@judge(
    "1.2a-2",
    title="Take it up after a crash",
    hints=(
        "What does `started` mean after a crash? Asking again is safe. And how does the log show "
        "that you were turning back?",
        "Read the log first: an `undone` in it gives the direction. Forward, pass over what is "
        "`done`; backward, go over what is `started` or `done`. Either way, ask until there is an "
        "answer, and write it down. Then the pivot needs no rule.",
    ),
    budget=320,
)
def judge_drive(answer: Any, budget: int) -> Finding:
    """Search for crashes after which the reader's `drive` leaves an order half done, or asks for
    what the log says is done.
    """
    orchestrator = {"node": st.just(ORCHESTRATOR), "restart_after": st.just(RESTART)}
    own: st.SearchStrategy[Fault] = st.builds(
        Crash,
        **orchestrator,
        after=st.sampled_from(("asks", "refused", "logged")),
        nth=st.integers(1, 10),
    )
    unheard: st.SearchStrategy[Fault] = (
        st.builds(  # the desk has done it, and its answer finds nobody
            Crash, **orchestrator, after=st.sampled_from((*KINDS, *[UNDO[verb] for verb in CALLS]))
        )
    )
    lost: st.SearchStrategy[Fault] = st.builds(
        LoseReply,
        src=st.just(ORCHESTRATOR),
        dst=st.sampled_from([AT[verb] for verb in KINDS]),
        after=st.just("asks"),
        nth=st.integers(1, 4),
    )
    options: dict[str, Any] = {
        "faults": [own, unheard, lost],
        "args": {"drive": answer, "refuses": st.sampled_from((None, *CALLS))},
        "max_steps": MOST_STEPS,
    }
    return cases_first(
        taken_up,
        (FINISHED, BY_THE_LOG),
        CASES,
        lambda runs: worst_first(taken_up, FINISHED, BY_THE_LOG, runs=runs, **options),
        budget=budget,
        args={"drive": answer},
        max_steps=MOST_STEPS,
    )
