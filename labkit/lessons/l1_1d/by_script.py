"""What the two judges of lesson 1.1d share: three sites follow a script, a step a second.

A script says who does what: ("east", "tell", "west") sends a copy of the east's state, and every
other action is the judge's own. Messages are slow, lost or delivered twice. In the end, when the
network is whole again, everybody tells everybody, older messages come once more, and every site is
measured, twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.lessons.l1_1d.post import Merging, Post
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Duplication, Fault, Loss, Scenario, Slow, World

SITES = ("east", "north", "west")
QUIET = 30.0  # seconds after which no message of the script is under way
Step = tuple[Any, ...]
M = TypeVar("M", bound=Merging)


async def follow(
    world: World,
    sites: Mapping[str, M],
    script: Sequence[Step],
    measure: Callable[[M], int],
    act: Callable[..., None],
) -> None:
    """Follow the script; the events "counted" say what each site measures in the end: when older
    messages have come once more, and when everybody has told everybody once more after that.

    `act(site, action, …)` carries out a step that is not a "tell"."""
    post = Post(world, sites, measure)

    async def step(site: str, action: str, *what: Any) -> None:
        if action == "tell":
            await post.send(site, *what)
        else:
            act(site, action, *what)

    running = []
    for site, *rest in script:
        running.append(world.node(site).start(step, site, *rest))
        await asyncio.sleep(1.0)
    await world.join(*running)
    await asyncio.sleep(max(0.0, QUIET - world.now()))
    for _ in range(2):
        await post.everybody()
        world.record("counted", sites={name: measure(site) for name, site in sites.items()})


def search_scripts(
    scenario: Scenario,
    harm: Invariant,
    fault: Invariant,
    steps: st.SearchStrategy[Step],
    cases: Sequence[Sequence[Step]],
    *,
    args: Mapping[str, Any],
    budget: int,
) -> Finding:
    """The scripts of `cases` without a fault, then scripts of up to seven of the `steps` with up
    to two.
    """
    site = st.sampled_from(SITES)
    tells = st.tuples(site, st.just("tell"), site).filter(lambda step: step[0] != step[2])
    when = st.integers(0, 4).map(float)
    trouble: st.SearchStrategy[Fault] = st.one_of(
        st.builds(Duplication, probability=st.just(1.0), src=site, at=when, for_=st.just(1.0)),
        st.builds(Slow, factor=st.sampled_from((1500, 2500)), src=site, at=when, for_=st.just(0.5)),
        st.builds(Loss, probability=st.just(1.0), src=site, at=when, for_=st.just(0.5)),
    )
    scripts = st.lists(st.one_of(steps, tells), min_size=1, max_size=7).map(tuple)
    options: dict[str, Any] = {"max_steps": 10_000}
    return cases_first(
        scenario,
        (harm, fault),
        [Case({"script": tuple(script)}) for script in cases],
        lambda runs: worst_first(
            scenario,
            harm,
            fault,
            runs=runs,
            args={**args, "script": scripts},
            faults=[trouble],
            at_most=2,
            deviations=0,
            **options,
        ),
        budget=budget,
        args=args,
        **options,
    )
