"""The judge of exercise 1.1d-1, "move a right".

Ten stoves, three sites, each with a share of the rights to sell them. By a script, sites sell, give
rights to one another, and tell one another their state. Messages are slow, lost or delivered twice.
In the end, when the network is whole again, everybody tells everybody, older messages come once
more, and the rights are counted.
Each site has its own object of the reader's class; a message is a copy.

Leaves out: a site that forgets (labkit keeps its rows in a database), and sites that come and go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.l1_1d.post import Post
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Duplication, Event, Fault, Loss, Run, Slow, World

RIGHTS: Mapping[str, int] = {"east": 6, "north": 0, "west": 4}
SITES, STOVES = tuple(RIGHTS), sum(RIGHTS.values())
QUIET = 30.0  # seconds after which no message of the script is under way
TWO_GIVERS = (("east", "give", "north", 1), ("west", "give", "north", 2))
"""The first gift of one site, and the first of another, to a third."""
Step = tuple[str, str, Any] | tuple[str, str, str, int]


class Quota(Protocol):
    """What the reader writes."""

    def rights(self) -> int: ...
    def take(self, quantity: int) -> bool: ...
    def give(self, to: str, quantity: int) -> bool: ...
    def state(self) -> Any: ...
    def merge(self, state: Any) -> None: ...


class MakeQuota(Protocol):
    """The reader's class."""

    def __call__(self, site: str, first: dict[str, int]) -> Quota: ...


async def moving_rights(world: World, quota: MakeQuota, script: tuple[Step, ...]) -> None:
    """A step a second: ("east", "take", 2), ("east", "give", "west", 2) or ("east", "tell",
    "west").
    """
    quotas = {site: quota(site, dict(RIGHTS)) for site in SITES}
    post = Post(world, quotas, _rights)

    async def step(site: str, action: str, *what: Any) -> None:
        mine = quotas[site]
        before = _rights(mine)
        if action == "tell":
            await post.send(site, what[0])
            return
        said = mine.take(*what) if action == "take" else mine.give(*what)
        if said not in (True, False):
            raise TypeError(f"{action} must return True or False, it returned {said!r}")
        facts = {"quantity": what[-1], "to": what[0]} if action == "give" else {"quantity": what[0]}
        world.record(f"{action}s", **facts, said=bool(said), before=before, after=_rights(mine))

    running = []
    for site, *rest in script:
        running.append(world.node(site).start(step, site, *rest))
        await asyncio.sleep(1.0)
    await world.join(*running)
    await asyncio.sleep(max(0.0, QUIET - world.now()))
    await post.everybody()
    world.record("counted", rights={site: _rights(quotas[site]) for site in SITES})


def _rights(quota: Quota) -> int:
    rights = quota.rights()
    if isinstance(rights, bool) or not isinstance(rights, int):
        raise TypeError(f"rights must return an int, it returned {rights!r}")
    return rights


def _harm(run: Run) -> str | None:
    """More rights than stoves, at some moment or in the end."""
    rights, sold = dict(RIGHTS), 0
    for event in run.history.of("takes", "gives", "merges"):
        rights[event.node] = event.data["after"]
        sold += event.data["quantity"] if event.kind == "takes" and event.data["said"] else 0
        if sold > STOVES:
            return f"{sold} stoves are sold, and there were {STOVES}"
        if sold + sum(rights.values()) > STOVES:
            return (
                f"after {event.node} {_told(event)}, {_count(rights)}: with {sold} sold that is"
                f" more than {STOVES}"
            )
    for event in run.history.of("counted"):
        if sold + sum(event.data["rights"].values()) > STOVES:
            return (
                f"in the end {_count(event.data['rights'])}: with {sold} sold that is more than"
                f" {STOVES}"
            )
    return None


def _fault(run: Run) -> str | None:
    """A right that is lost, or a site that does not do what it may."""
    first, known = dict(RIGHTS), dict(RIGHTS)
    for event in run.history.of("takes", "gives", "merges"):
        fact, verb = event.data, event.kind[:-1]
        if fact["before"] != known[event.node]:
            was = known[event.node]
            return (
                f"{event.node} was told nothing, and its rights went from {was} to {fact['before']}"
            )
        known[event.node] = fact["after"]
        if event.kind == "merges":
            if fact["after"] < fact["before"]:
                return (
                    f"{event.node} {_told(event)}, and its rights went from {fact['before']} to"
                    f" {fact['after']}"
                )
            continue
        if (fact["before"] >= fact["quantity"]) != fact["said"]:
            return (
                f"{event.node} had {fact['before']}, and {verb}({fact['quantity']}) returned"
                f" {fact['said']}"
            )
        moved = fact["quantity"] * fact["said"]
        if fact["after"] != fact["before"] - moved:
            return (
                f"{event.node} {_told(event)}, and its rights went from {fact['before']} to"
                f" {fact['after']}"
            )
        first[event.node] -= moved
        if verb == "give":
            first[fact["to"]] += moved
    for event in run.history.of("counted"):
        if event.data["rights"] != first:
            return (
                f"when everybody has told everybody, {_count(event.data['rights'])}, and it should"
                f" be {_count(first)}"
            )
    return None


def _told(event: Event) -> str:
    if event.kind == "merges":
        return "merged what it was told"
    if not event.data["said"]:
        return f"could not {event.kind[:-1]} {event.data['quantity']}"
    more = f" to {event.data['to']}" if event.kind == "gives" else ""
    return f"{'took' if event.kind == 'takes' else 'gave'} {event.data['quantity']}{more}"


def _count(rights: Mapping[str, int]) -> str:
    *most, last = [f"{site} {count}" for site, count in rights.items()]
    return f"{', '.join(most)} and {last} may be sold"


SAFE = Invariant("a right to sell is at one site, and none is lost on the way", _harm)
WHOLE = replace(SAFE, test=_fault)


@judge(
    "1.1d-1",
    title="Move a right",
    hints=(
        (
            "A message may come twice, late or never, so it must not say 'add two'. What could a"
            " site say again and again, so that hearing it twice, or an older one after a newer"
            " one, does no harm?"
        ),
        (
            "Every site keeps given[a][b], how many rights a has ever given b (given[a][a]: its"
            " first), and taken[a]. These only grow, and only a changes a's; so the state is all of"
            " them, and merge takes the larger of each."
        ),
    ),
    budget=150,
)
def judge_quota(answer: Any, budget: int) -> Finding:
    """Search for a script and messages under which rights of the reader's class are doubled or
    lost.
    """
    site, some = st.sampled_from(SITES), st.sampled_from((1, 2, 4, 6))
    steps = st.one_of(
        st.tuples(site, st.just("give"), site, some).filter(lambda step: step[0] != step[2]),
        st.tuples(site, st.just("tell"), site).filter(lambda step: step[0] != step[2]),
        st.tuples(site, st.just("take"), some),
    )
    when = st.integers(0, 4).map(float)
    trouble: st.SearchStrategy[Fault] = st.one_of(
        st.builds(Duplication, probability=st.just(1.0), src=site, at=when, for_=st.just(1.0)),
        st.builds(Slow, factor=st.sampled_from((1500, 2500)), src=site, at=when, for_=st.just(0.5)),
        st.builds(Loss, probability=st.just(1.0), src=site, at=when, for_=st.just(0.5)),
    )
    script = st.lists(steps, min_size=1, max_size=6).map(tuple)
    options: dict[str, Any] = {
        "faults": [trouble],
        "at_most": 2,
        "args": {"quota": answer, "script": script},
        "deviations": 0,
        "max_steps": 10_000,
    }
    return worst_first(
        moving_rights, SAFE, WHOLE, runs=budget, cases=[{"script": TWO_GIVERS}], **options
    )
