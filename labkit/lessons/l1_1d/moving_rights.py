"""The judge of exercise 1.1d-1, "move a right".

Ten stoves, three sites, each with a share of the rights to sell them. By a script, sites sell, give
rights to one another, and tell one another their state (`by_script.py`); at the end the rights are
counted. Each site has its own object of the reader's class; a message is a copy.

Leaves out: a site that forgets (labkit keeps its rows in a database), and sites that come and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.l1_1d.by_script import SITES, Step, follow, search_scripts
from labkit.sim import Finding
from labkit.world import Event, Run, World

RIGHTS: Mapping[str, int] = {"east": 6, "north": 0, "west": 4}
STOVES = sum(RIGHTS.values())
SCRIPTS: tuple[tuple[Step, ...], ...] = (
    # The first gift of one site, and the first of another, to a third.
    (("east", "give", "north", 1), ("west", "give", "north", 2)),
    # The same gift twice; and two gifts to two sites, which both hear of both.
    (("east", "give", "north", 1), ("east", "give", "north", 1)),
    (("east", "give", "north", 1), ("east", "give", "west", 1)),
    # What is sold is not given away, and what is given away is not sold.
    (("west", "take", 3), ("west", "give", "east", 2), ("west", "give", "east", 1)),
    (("west", "give", "east", 3), ("west", "take", 2), ("west", "take", 1)),
    # Everything may be sold, and everything may be given away, and then nothing more.
    (("west", "take", 4), ("west", "take", 1), ("east", "give", "west", 6), ("east", "take", 1)),
    # A site with no rights of its own sells what it was given, and then has none.
    (
        ("east", "give", "north", 2),
        ("east", "tell", "north"),
        ("north", "take", 1),
        ("north", "take", 1),
        ("north", "take", 1),
    ),
    # A gift is given back, and given once more.
    (
        ("east", "give", "north", 2),
        ("east", "tell", "north"),
        ("north", "give", "east", 2),
        ("north", "tell", "east"),
        ("east", "give", "north", 1),
        ("east", "tell", "north"),
        ("north", "give", "east", 1),
    ),
    # The same gift twice, and the site hears of the first, and is heard, in between.
    (
        ("east", "give", "north", 1),
        ("east", "tell", "north"),
        ("north", "tell", "east"),
        ("east", "give", "north", 1),
    ),
    # A site hears of a gift to another before it is given something itself.
    (("east", "give", "west", 1), ("east", "tell", "north"), ("east", "give", "north", 1)),
    # Both give, and neither has heard of the other's gift.
    (("east", "give", "west", 3), ("west", "give", "east", 1), ("east", "tell", "west")),
    # A gift goes on to a third site, which hears of it before it hears from the first.
    (
        ("east", "give", "north", 3),
        ("east", "tell", "north"),
        ("north", "give", "west", 2),
        ("north", "tell", "west"),
        ("west", "take", 6),
        ("west", "tell", "east"),
    ),
    # Two gifts to one site, a sale in between; the site hears of the first before the second.
    (
        ("east", "give", "north", 2),
        ("east", "tell", "north"),
        ("east", "take", 1),
        ("north", "take", 2),
        ("east", "give", "north", 3),
        ("west", "give", "north", 1),
        ("east", "tell", "north"),
        ("north", "take", 3),
        ("west", "tell", "north"),
        ("north", "take", 1),
    ),
)
"""What every answer is run through, the shortest scripts first, without a fault."""


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

    def act(site: str, action: str, *what: Any) -> None:
        mine = quotas[site]
        before = _rights(mine)
        said = mine.take(*what) if action == "take" else mine.give(*what)
        if said not in (True, False):
            raise TypeError(f"{action} must return True or False, it returned {said!r}")
        facts = {"quantity": what[-1], "to": what[0]} if action == "give" else {"quantity": what[0]}
        world.record(f"{action}s", **facts, said=bool(said), before=before, after=_rights(mine))

    await follow(world, quotas, script, _rights, act)


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
        if sold + sum(event.data["sites"].values()) > STOVES:
            return (
                f"in the end {_count(event.data['sites'])}: with {sold} sold that is more than"
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
        if event.data["sites"] != first:
            return (
                f"when everybody has told everybody, {_count(event.data['sites'])}, and it should"
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
        st.tuples(site, st.just("take"), some),
    )
    return search_scripts(
        moving_rights, SAFE, WHOLE, steps, SCRIPTS, args={"quota": answer}, budget=budget
    )
