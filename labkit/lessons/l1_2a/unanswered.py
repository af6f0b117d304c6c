"""The judge of exercise 1.2a-1, "compensate the unknown".

The reader's `place` asks three desks for an order: reserve, charge, book. One may refuse. Requests
and answers are lost or late, and desks stand still or cannot be reached, some of them for a minute,
so that some call ends by a time-out: it may have happened, or may happen yet. The desks remember
what they answered, and refuse what comes after its undo.

Leaves out: a crash of the orchestrator, which is the next exercise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from labkit.base import Refused
from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.desks import AT, ORCHESTRATOR, UNDO, Desks, after_all, left, told
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding, lost_replies, pauses
from labkit.world import Fault, LoseReply, Loss, Partition, Run, Slow, World

CALLS = ("reserve", "charge", "book")
DESKS = tuple(AT[verb] for verb in CALLS)
LATE = 5.0  # seconds after which every message has arrived


class DeskStep:
    """One step: `do` and `undo` raise `Refused` (it did not happen) or `TimeoutError` (nobody
    knows).
    """

    def __init__(self, world: World, desks: Desks, verb: str) -> None:
        self.name = verb
        self._world, self._desks = world, desks

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    async def do(self) -> None:
        """Ask the desk; asking again has no second effect."""
        self._world.record("asks", what=self.name)
        await self._desks.ask(self.name)
        self._world.record("succeeded", what=self.name)

    async def undo(self) -> None:
        """Undo it, whether it happened or not; if it comes later, it is refused. Never refused, and
        may be asked again.
        """
        self._world.record("asks", what=UNDO[self.name])
        await self._desks.ask(UNDO[self.name])
        self._world.record("succeeded", what=UNDO[self.name])


async def unanswered(
    world: World, place: Callable[[Sequence[DeskStep]], Awaitable[str]], refuses: str | None
) -> None:
    """One order. The desk of `refuses` says no."""
    desks = Desks(world, refuses)

    async def orchestrator() -> None:
        try:
            said = await place([DeskStep(world, desks, verb) for verb in CALLS])
        except (Refused, TimeoutError) as error:
            world.record("raised", error=f"{type(error).__name__} ({error})")
            return
        if said not in ("placed", "cancelled"):
            raise TypeError(f"place must return 'placed' or 'cancelled', it returned {said!r}")
        world.record("says", order=said)

    await world.join(world.node(ORCHESTRATOR).start(orchestrator))
    await asyncio.sleep(LATE)


def _harm(run: Run) -> str | None:
    events = run.history.events
    for event in run.history.of("raised"):
        return f"place raised {event.data['error']} {after_all(left(events))}"
    for event in run.history.of("says"):
        said, then, at_last = event.data["order"], left(events[: events.index(event)]), left(events)
        if said == "placed" and (missing := [verb for verb in CALLS if verb not in at_last]):
            return f"place said 'placed', without {told(missing)}{_unheard(run, missing)}"
        if said == "cancelled" and at_last:
            return f"place said 'cancelled' and left {told(at_last)} behind{_unheard(run, at_last)}"
        if said == "cancelled" and then:
            return f"place said 'cancelled' before {told(then)} had been given back"
    return None


def _unheard(run: Run, verbs: list[str]) -> str:
    """Of which of these calls nobody knew whether it had happened."""
    lost = [event.data["to"] for event in run.history.of("no answer")]
    for verb in verbs:
        if UNDO[verb] in lost:
            return f": nobody heard whether the {UNDO[verb]} happened, and nobody asked again"
        if verb in lost:
            return (
                f": {verb} was not answered in time, and that does not mean that it {_meaning(run)}"
            )
    return ""


def _meaning(run: Run) -> str:
    return "happened" if run.history.of("says")[-1].data["order"] == "placed" else "did not happen"


def _fault(run: Run) -> str | None:
    asked = [event.data["what"] for event in run.history.of("asks")]
    undone = list(dict.fromkeys(verb for verb in asked if verb in UNDO.values()))
    backwards = [UNDO[verb] for verb in reversed(CALLS) if UNDO[verb] in undone]
    if undone != backwards:
        return f"{', '.join(CALLS)} come in this order, and were undone as {', '.join(undone)}"
    if early := too_early(run, CALLS):
        return f"place{early}"
    if early := undone_too_early(run):
        return f"place{early}"
    for event in run.history.of("says"):
        if event.data["order"] == "cancelled" and not run.history.of("no answer", "refused"):
            return "everything was answered in time, and place cancelled the order"
    return None


def too_early(run: Run, order: Sequence[str]) -> str | None:
    """The first step that was asked for before the one ahead of it had succeeded."""
    succeeded: set[str] = set()
    for event in run.history.of("asks", "succeeded"):
        what = event.data["what"]
        if event.kind == "succeeded":
            succeeded.add(what)
        elif what in order[1:] and (ahead := order[order.index(what) - 1]) not in succeeded:
            return f" asked to {what} before {ahead} had succeeded"
    return None


def undone_too_early(run: Run) -> str | None:
    """The first undo that was asked for while another one had not been answered."""
    waiting: str | None = None
    for event in run.history.of("asks", "succeeded"):
        what = event.data["what"]
        if what not in UNDO.values():
            continue
        if event.kind == "succeeded":
            waiting = None
        elif waiting not in (None, what):
            return f" asked to {what} before the {waiting} was answered"
        else:
            waiting = what
    return None


SETTLED = Invariant(
    "an order is placed with everything or cancelled with nothing, whatever was not answered", _harm
)
IN_ORDER = Invariant(SETTLED.claim, _fault)


def _case(refuses: str | None, *faults: Fault) -> Case:
    return Case({"refuses": refuses}, faults)


def cut(seconds: float, after: str, nth: int = 1) -> Fault:
    """For so long no desk can be reached: requests are lost."""
    desks = tuple(AT[verb] for verb in UNDO)
    return Partition(one=(ORCHESTRATOR,), other=desks, for_=seconds, after=after, nth=nth)


def silence(seconds: float, desk: str, after: str, nth: int = 1) -> Fault:
    """For so long the desk does what it is asked, and no answer arrives."""
    return Loss(1.0, src=desk, dst=ORCHESTRATOR, for_=seconds, after=after, nth=nth)


BRIEF, LONG, MINUTE = 0.05, 1.0, 60.0  # seconds: one time-out, ten of them, and far more
CASES = (
    *(_case(refuses) for refuses in (None, *CALLS)),
    *(
        _case(None, fault)
        for nth in range(1, len(CALLS) + 1)
        for fault in (
            LoseReply(src=ORCHESTRATOR, after="asks", nth=nth),
            cut(BRIEF, "asks", nth),
            Slow(factor=300, src=ORCHESTRATOR, for_=BRIEF, after="asks", nth=nth),
            silence(LONG, DESKS[nth - 1], "asks", nth),
        )
    ),
    # And when it turns back: "refused" is the moment before the first undo.
    *(
        _case("book", fault)
        for fault in (
            LoseReply(src=ORCHESTRATOR, after="refused"),
            cut(BRIEF, "refused"),
            cut(BRIEF, "refund"),
            silence(LONG, "payments", "refused"),
            cut(MINUTE, "refused"),
        )
    ),
)
"""What every answer is run through, the smallest first."""
MOST_STEPS = 8_000  # enough to be refused an answer for a minute; an endless loop ends in seconds


@judge(
    "1.2a-1",
    title="Compensate the unknown",
    hints=(
        "After a time-out, which steps *may* have happened? And what if an undo times out?",
        "Keep a list, and put a step into it *before* its `do`. On `Refused` or `TimeoutError`, "
        "go through the list backwards, and repeat each `undo` in a `while True` until it does "
        "not raise `TimeoutError`.",
    ),
    budget=240,
)
def judge_place(answer: Any, budget: int) -> Finding:
    """Search for a run in which the reader's `place` keeps money or goods of an order that is not
    placed, or the reverse.
    """
    slow: st.SearchStrategy[Fault] = st.builds(
        Slow,
        factor=st.integers(1, 6).map(lambda step: 50 * step),
        src=st.just(ORCHESTRATOR),
        dst=st.sampled_from(DESKS),
        for_=st.just(0.5),
        after=st.just("asks"),
        nth=st.integers(1, 4),
    )
    options: dict[str, Any] = {
        "faults": [lost_replies(ORCHESTRATOR), slow, pauses(*DESKS, up_to=1.0)],
        "args": {"place": answer, "refuses": st.none() | st.sampled_from(CALLS)},
        "max_steps": MOST_STEPS,
    }
    return cases_first(
        unanswered,
        (SETTLED, IN_ORDER),
        CASES,
        lambda runs: worst_first(unanswered, SETTLED, IN_ORDER, runs=runs, **options),
        budget=budget,
        args={"place": answer},
        max_steps=MOST_STEPS,
    )
