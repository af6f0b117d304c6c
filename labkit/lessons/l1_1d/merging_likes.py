"""The judge of exercise 1.1d-2, "a like can be taken back".

Three sites count likes and likes that are taken back, each in an object of the reader's class. By a
script they count and tell one another. Messages are slow, lost or delivered twice. In the end, when
the network is whole again, everybody tells everybody, older messages come once more, and every site
must know the right sum.

Leaves out: a site that forgets what it has counted.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Protocol

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.l1_1d.post import Post
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Duplication, Fault, Loss, Run, Slow, World

SITES = ("east", "north", "west")
QUIET = 30.0  # seconds after which no message of the script is under way
Step = tuple[str, str] | tuple[str, str, str]
TAKEN_BACK = (("north", "add"), ("north", "tell", "east"), ("north", "remove"))
"""A site is told of a like that is taken back afterwards."""
TOLD_NOTHING = (("east", "add"), ("north", "add"), ("west", "remove"))
"""Three sites that have heard nothing of one another."""
TWO_AT_ONCE = (
    ("east", "add"),
    ("east", "add"),
    ("east", "tell", "north"),
    ("east", "remove"),
    ("north", "remove"),
)
"""Two likes that two sites know, and each takes one back without the other."""
OLD_NEWS: tuple[Step, ...] = (
    ("east", "remove"),
    ("east", "tell", "north"),
    ("east", "remove"),
    ("north", "tell", "east"),
)
"""The east hears from the north what it counted itself, before its last removal."""


class Likes(Protocol):
    """What the reader writes."""

    def add(self) -> None: ...
    def remove(self) -> None: ...
    def value(self) -> int: ...
    def state(self) -> Any: ...
    def merge(self, state: Any) -> None: ...


class MakeLikes(Protocol):
    """The reader's class."""

    def __call__(self, site: str) -> Likes: ...


async def merging_likes(world: World, likes: MakeLikes, script: tuple[Step, ...]) -> None:
    """A step a second: ("east", "add"), ("east", "remove") or ("east", "tell", "west")."""
    counters = {site: likes(site) for site in SITES}
    post = Post(world, counters, _value)

    async def step(site: str, action: str, *to: str) -> None:
        if action == "tell":
            await post.send(site, *to)
            return
        before = _value(counters[site])
        counters[site].add() if action == "add" else counters[site].remove()
        world.record(f"{action}s", before=before, after=_value(counters[site]))

    running = []
    for site, *rest in script:
        running.append(world.node(site).start(step, site, *rest))
        await asyncio.sleep(1.0)
    await world.join(*running)
    await asyncio.sleep(max(0.0, QUIET - world.now()))
    await post.everybody()
    world.record("counted", likes={site: _value(counters[site]) for site in SITES})


def _value(counter: Likes) -> int:
    value = counter.value()
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"value must return an int, it returned {value!r}")
    return value


def _wrong_sum(run: Run) -> str | None:
    added, removed = len(run.history.of("adds")), len(run.history.of("removes"))
    right = added - removed
    for event in run.history.of("counted"):
        for site, value in sorted(event.data["likes"].items()):
            if value != right:
                return f"{added} likes, {removed} taken back: {site} counts {value}, not {right}"
    return None


def _wrong_step(run: Run) -> str | None:
    known = dict.fromkeys(SITES, 0)
    for event in run.history.of("adds", "removes", "merges"):
        before, after = event.data["before"], event.data["after"]
        if before != known[event.node]:
            was = known[event.node]
            return f"{event.node} was told nothing, and its value changed from {was} to {before}"
        known[event.node] = after
        if event.kind != "merges" and after - before != (1 if event.kind == "adds" else -1):
            verb = "added a like" if event.kind == "adds" else "took one back"
            return f"{event.node} {verb}, and its own value changed by {after - before}"
    return None


SUM = Invariant("every site ends with the right sum", _wrong_sum)
STEP = replace(SUM, test=_wrong_step)


@judge(
    "1.1d-2",
    title="A like can be taken back",
    hints=(
        "Taking the larger of two numbers works because a site's number only grows. After "
        "remove() it would not. What else could you count?",
        "Two counters that only grow, likes and likes taken back, each by site. The value is the "
        "difference of the sums.",
    ),
    budget=150,
)
def judge_likes(answer: Any, budget: int) -> Finding:
    """Search for a script and messages after which a site counts wrongly."""
    site = st.sampled_from(SITES)
    steps = st.one_of(
        st.tuples(site, st.sampled_from(("add", "remove"))),
        st.tuples(site, st.just("tell"), site).filter(lambda step: step[0] != step[2]),
    )
    when = st.integers(0, 4).map(float)
    trouble: st.SearchStrategy[Fault] = st.one_of(
        st.builds(Duplication, probability=st.just(1.0), src=site, at=when, for_=st.just(1.0)),
        st.builds(Slow, factor=st.sampled_from((1500, 2500)), src=site, at=when, for_=st.just(0.5)),
        st.builds(Loss, probability=st.just(1.0), src=site, at=when, for_=st.just(0.5)),
    )
    options: dict[str, Any] = {
        "faults": [trouble],
        "at_most": 2,
        "args": {"likes": answer, "script": st.lists(steps, min_size=1, max_size=7).map(tuple)},
        "deviations": 0,
        "max_steps": 10_000,
    }
    scripts = (TAKEN_BACK, TOLD_NOTHING, TWO_AT_ONCE, OLD_NEWS)
    cases = [{"script": script} for script in scripts]
    return worst_first(merging_likes, SUM, STEP, runs=budget, cases=cases, **options)
