"""The judge of exercise 1.1d-2, "a like can be taken back".

Three sites count likes and likes that are taken back, each in an object of the reader's class. By a
script they count and tell one another (`by_script.py`); at the end every site must know the right
sum.

Leaves out: a site that forgets what it has counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.l1_1d.by_script import SITES, Step, follow, search_scripts
from labkit.sim import Finding
from labkit.world import Run, World

SCRIPTS: tuple[tuple[Step, ...], ...] = (
    # Three sites that have heard nothing of one another; twice the same at one site.
    (("east", "add"), ("north", "add"), ("west", "remove")),
    (("east", "add"), ("east", "add"), ("north", "add")),
    (("east", "remove"), ("west", "remove"), ("east", "remove")),
    # A site is told of a like that is taken back afterwards.
    (("north", "add"), ("north", "tell", "east"), ("north", "remove")),
    # A like is taken back where it was not counted, and comes anew.
    (
        ("east", "add"),
        ("east", "tell", "west"),
        ("west", "remove"),
        ("west", "tell", "east"),
        ("east", "add"),
        ("east", "tell", "west"),
    ),
    # Two likes that two sites know, and each takes one back without the other.
    (
        ("east", "add"),
        ("east", "add"),
        ("east", "tell", "north"),
        ("east", "remove"),
        ("north", "remove"),
    ),
    # The east hears from the north what it counted itself, before its last removal.
    (
        ("east", "remove"),
        ("east", "tell", "north"),
        ("east", "remove"),
        ("north", "tell", "east"),
    ),
)
"""What every answer is run through, the shortest scripts first, without a fault."""


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

    def act(site: str, action: str) -> None:
        before = _value(counters[site])
        counters[site].add() if action == "add" else counters[site].remove()
        world.record(f"{action}s", before=before, after=_value(counters[site]))

    await follow(world, counters, script, _value, act)


def _value(counter: Likes) -> int:
    value = counter.value()
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"value must return an int, it returned {value!r}")
    return value


def _wrong_sum(run: Run) -> str | None:
    added, removed = len(run.history.of("adds")), len(run.history.of("removes"))
    right = added - removed
    for event in run.history.of("counted"):
        for site, value in sorted(event.data["sites"].items()):
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
    steps = st.tuples(st.sampled_from(SITES), st.sampled_from(("add", "remove")))
    return search_scripts(
        merging_likes, SUM, STEP, steps, SCRIPTS, args={"likes": answer}, budget=budget
    )
