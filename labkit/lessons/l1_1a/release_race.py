"""The judge of exercise 1.1a-1, "make the release safe".

Three shoppers take one lock in turn and let go of it by the reader's function, under pauses and
slow messages. What is judged is what a shopper can know: it was granted the lock at the earliest
when it asked and at the latest when it was told so, and a release happened between its call and its
return. So nothing is called broken that could have been right.

Leaves out: a release whose answer is lost (its caller cannot know), and a lock that is extended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf
from typing import Any

from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import LockError

from labkit.check import Invariant
from labkit.course.figures.text import duration
from labkit.course.judge import judge
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding, pauses
from labkit.world import Fault, Pause, Run, Slow, World

SHOPPERS = ("anna", "ben", "carl")
KEY = "lock:stove"
LEASE, WORK, POLL = 1.0, 0.7, 0.3  # seconds
PATIENCE = 30.0  # seconds for which a shopper polls: far more than three leases and a pause
NEVER_GIVES_UP = 3600.0  # seconds for an answer: nothing is lost, so there always is one


async def release_race(world: World, release: Callable[[Redis, str, str], Awaitable[bool]]) -> None:
    """Each shopper polls for the lock, works for most of its lease, and lets go."""

    async def shopper() -> None:
        redis, me = world.redis(timeout=NEVER_GIVES_UP), world.here()
        began = asked = world.now()
        while not await redis.set(KEY, me, nx=True, px=int(LEASE * 1000)):
            if asked - began > PATIENCE:
                holder: Any = await redis.get(KEY)
                world.record("gave up", saw=(holder or b"").decode(errors="replace"))
                return
            await asyncio.sleep(POLL)
            asked = world.now()
        with world.holding(KEY):
            world.record("acquired", until=round(asked + LEASE, 4))
            await asyncio.sleep(WORK)
            world.record("lets go")
            try:
                said = await release(redis, KEY, me)
            except LockError as error:
                world.record("raised", error=type(error).__name__)
                return
            if said not in (True, False):
                raise TypeError(f"release must return True or False, it returned {said!r}")
        world.record("let go", said=bool(said))
        if await redis.get(KEY) == me.encode():
            world.record("still locked")

    await world.join(*[world.node(name).start(shopper) for name in SHOPPERS])


@dataclass(frozen=True)
class _Turn:
    """One shopper's turn: the lock was its own from `granted` at the latest to `until` at the
    earliest, unless it was freed.
    """

    who: str
    granted: float
    until: float
    asks: float = inf
    answered: float = inf
    said: bool | None = None

    @property
    def kept(self) -> float:
        """Until when the lock was surely its own, if nobody else freed it."""
        return min(self.until, self.asks)


def _turns(run: Run) -> list[_Turn]:
    by: dict[str, dict[str, Any]] = {}
    for event in run.history.events:
        facts = by.setdefault(event.node, {"who": event.node})
        if event.kind == "acquired":
            facts |= {"granted": event.at, "until": event.data["until"]}
        elif event.kind == "lets go":
            facts["asks"] = event.at
        elif event.kind == "let go":
            facts |= {"answered": event.at, "said": event.data["said"]}
    turns = [_Turn(**facts) for facts in by.values() if "granted" in facts]
    return sorted(turns, key=lambda turn: turn.until)


def _harm(run: Run) -> str | None:
    for event in run.history.of("raised"):
        error = event.data["error"]
        return (
            f"{event.node}'s release raised {error} after the work was done: its caller takes it"
            " for failed, and does it again"
        )
    for event in run.history.of("gave up"):
        return (
            f"{event.node} asked for {duration(PATIENCE)}, and {KEY} never became free: it is"
            f" {event.data['saw']!r}"
        )
    turns = _turns(run)
    said = {turn.who: turn.said for turn in turns}
    for event in run.history.of("still locked"):
        return (
            f"{event.node}'s release said {said[event.node]} and the lock was still {event.node}'s:"
            " the others wait for it"
        )
    for victim, entrant in combinations(turns, 2):
        both_since = max(victim.granted, entrant.granted)
        if both_since < min(victim.kept, entrant.kept):
            thief = _culprit(turns, victim, both_since) or "a"
            early = f"{duration(victim.until - both_since)} before {victim.who}'s lease ended"
            return (
                f"{thief} release freed the lock that was {victim.who}'s: {entrant.who} got it"
                f" {early}"
            )
    for turn in turns:
        if (
            turn.said is False
            and turn.answered < turn.until
            and (culprit := _culprit(turns, turn, turn.answered))
        ):
            early = f"{duration(turn.until - turn.answered)} before {turn.who}'s lease ended"
            return f"{culprit} release freed the lock that was {turn.who}'s, {early}"
    return None


def _lie(run: Run) -> str | None:
    for turn in sorted(_turns(run), key=lambda turn: turn.answered):
        left, late = turn.until - turn.answered, turn.asks - turn.granted - LEASE
        if turn.said is False and left > 0:
            return (
                f"{turn.who}'s release said False, and the lock had been {turn.who}'s for another"
                f" {duration(left)}"
            )
        if turn.said is True and late > 0:
            return (
                f"{turn.who}'s release said True, and {turn.who}'s lease had ended {duration(late)}"
                " before it asked"
            )
    return None


def _culprit(turns: list[_Turn], victim: _Turn, before: float) -> str | None:
    """Whose release was under way while the lock was the victim's."""
    for turn in turns:
        if turn.who != victim.who and turn.asks < before and turn.answered > victim.until - LEASE:
            return f"{turn.who}'s"
    return None


SAFE = Invariant(
    "a release lets go of what is still its owner's, of nothing else, and says which it was", _harm
)
TRUE = replace(SAFE, test=_lie)

CASES = (
    Case(),
    *[Case(faults=(Pause("anna", at=at, for_=0.6),)) for at in (0.7025, 0.7035, 0.7055, 0.7075)],
    Case(faults=(Slow(factor=700, src="anna", dst="redis", after="lets go", for_=5.0),)),
    *[Case(faults=(Pause(who, at=at, for_=1.5),)) for who, at in (("anna", 0.1), ("carl", 1.9))],
)
"""anna is the first to have the lock, and carl the last. anna is paused between any two of the
commands by which she lets go of it, until another has it; each of her commands takes so long that
another has the lock meanwhile; and a lease ends before its owner asks, with another who wants the
lock, or with nobody.
"""


@judge(
    "1.1a-1",
    title="Make the release safe",
    hints=(
        (
            "Between the look and the delete anything may happen: the lease may end and another may"
            " hold the lock. What can Redis do that looks and deletes in one step, with nobody in"
            " between?"
        ),
        (
            "A Lua script: `redis.eval(script, 1, key, owner)` sees them as KEYS[1] and ARGV[1]. "
            "If redis.call('get', …) is the owner, return redis.call('del', …), else return 0."
        ),
    ),
    budget=300,
)
def judge_release(answer: Any, budget: int) -> Finding:
    """Search for a run in which the reader's `release(redis, key, owner)` lets go of the wrong
    lock, or says what is not so.
    """
    slow: st.SearchStrategy[Fault] = st.builds(
        Slow,
        factor=st.integers(1, 6).map(lambda step: 50 * step),
        src=st.sampled_from(SHOPPERS),
        dst=st.just("redis"),
        for_=st.just(1.0),
        after=st.just("lets go"),
    )
    options: dict[str, Any] = {
        "faults": [pauses(*SHOPPERS, up_to=1.5), slow],
        "at_most": 1,
        "args": {"release": answer},
        "max_steps": 10_000,
    }
    return cases_first(
        release_race,
        (SAFE, TRUE),
        CASES,
        lambda runs: worst_first(release_race, SAFE, TRUE, runs=runs, **options),
        budget=budget,
        args={"release": answer},
        max_steps=10_000,
    )
