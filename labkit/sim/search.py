"""Search for the smallest run that breaks an invariant.

hypothesis proposes runs: a fault plan, a schedule (calm with a few deviations, or a seed), and the
scenario's own arguments; and when one breaks the invariant it shrinks all of them together: fewer
faults, rounder times, fewer deviations, smaller arguments.

A fault strikes, when nothing else is said, just after a *moment* of the calm run: after a message
left or arrived, or an event was written. Between two moments nothing changes, so a fault anywhere
between them does the same; a uniformly drawn time would mostly hit the long quiet stretches. Round
numbers come out, because times and durations are drawn from grids.

Guarantees: the search is derandomised, and the same call finds the same run on every machine,
whatever else is loaded. It is a search, not a proof: "nothing found" says how many runs were tried,
no more (see Hypothesis, MacIver et al., JOSS 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, find, given, settings
from hypothesis import seed as fixed_seed
from hypothesis import strategies as st
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from labkit.check import Invariant, Verdict
from labkit.sim._progress import counted
from labkit.sim.errors import Stuck
from labkit.sim.loop_thread import in_loop_thread
from labkit.sim.running import execute
from labkit.world import Crash, Fault, History, LoseReply, Partition, Pause, Run, Scenario

Moments = Sequence[float]
Space = Callable[[Moments], st.SearchStrategy[Fault]]
"""A space of faults, given the moments of the calm run."""

GRID = 40
MOST_MOMENTS = 200
DECIMALS = 4


@dataclass(frozen=True)
class Finding:
    """What a search found: the smallest run that breaks the invariant, or that none did among
    `runs`.

    True when nothing was found. `plans` is the number of different fault plans tried, the empty one
    included."""

    verdict: Verdict
    run: Run | None
    runs: int
    plans: int
    again: Callable[[], Run] | None = field(default=None, repr=False, compare=False)

    def replay(self) -> Run:
        """Run the failing schedule once more."""
        if self.again is None:
            raise ValueError("nothing was found, so there is nothing to replay")
        return self.again()

    def __bool__(self) -> bool:
        return self.run is None

    def __repr__(self) -> str:
        return (
            f"<{self.verdict.status}: {self.verdict.claim}; {_searched(self.runs, self.plans)}>"
            if self.run is None
            else f"<{self.verdict!r}; {self.run.call()}>"
        )


def _searched(runs: int, plans: int) -> str:
    return f"{runs} runs, {f'{plans} fault plans' if plans > 1 else 'without faults'}"


class _Broken(Exception):
    def __init__(self, verdict: Verdict, run: Run) -> None:
        self.verdict, self.run = verdict, run


class _Stuck(BaseException):
    """A run that had to be interrupted. No smaller one is searched for, because each would take as
    long.
    """

    def __init__(self, found: _Broken) -> None:
        self.found = found


def falsify(
    scenario: Scenario,
    invariant: Invariant,
    *,
    faults: Sequence[Space | st.SearchStrategy[Fault]] = (),
    at_most: int = 2,
    args: Mapping[str, Any] | None = None,
    runs: int = 300,
    deviations: int = 4,
    progress: bool = True,
    **options: Any,
) -> Finding:
    """Search `runs` runs of `scenario` for one that breaks `invariant`, and shrink it.

    `faults` are spaces of faults (`pauses`, `crashes`, `lost_replies`, `partitions`, or any
    hypothesis strategy of one fault); a plan takes up to `at_most` of them. `args` are the
    scenario's arguments: a value is passed as it is, a range or a strategy is searched.
    `deviations` bounds how often a schedule departs from the calm one. A run that raises is broken.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs!r}")
    arguments = st.fixed_dictionaries(
        {name: _space_of(value) for name, value in (args or {}).items()}
    )
    with unbiased():
        first = _first(args or {})
    calm = in_loop_thread(lambda: execute(scenario, None, (), (), first, **options))
    points, known = max(20, calm.points), moments(calm.history)
    spaces = [space if isinstance(space, st.SearchStrategy) else space(known) for space in faults]
    plans = st.lists(st.one_of(spaces), max_size=at_most).map(tuple) if spaces else st.just(())
    schedules = st.one_of(
        st.tuples(
            st.none(),
            st.lists(st.tuples(st.integers(0, points), st.integers(1, 7)), max_size=deviations).map(
                tuple
            ),
        ),
        st.tuples(st.integers(0, 2**16), st.just(())),
    )
    tried: set[tuple[Fault, ...]] = set()
    count = 0

    # A fixed seed, and not `derandomize`: that one is drawn from the source text of `attempt`, so
    # that reformatting this file would change what every search finds.
    @fixed_seed(0)
    @settings(
        max_examples=runs,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(plans, schedules, arguments)
    def attempt(
        plan: tuple[Fault, ...],
        schedule: tuple[int | None, tuple[tuple[int, int], ...]],
        drawn: dict[str, Any],
    ) -> None:
        nonlocal count
        count += 1
        tried.add(plan)
        seed, deviations = schedule
        run = execute(scenario, seed, plan, deviations, drawn, **options)
        step()
        if run.error is not None:
            found = _Broken(
                Verdict("broken", invariant.claim, f"{type(run.error).__name__}: {run.error}"), run
            )
            raise _Stuck(found) if isinstance(run.error, Stuck) else found
        verdict = invariant.check(run)
        if verdict.status == "broken":
            raise _Broken(verdict, run)

    found: _Broken | None = None
    try:
        with unbiased(), counted(runs, progress) as step:
            in_loop_thread(attempt)
    except _Broken as broken:
        found = broken
    except _Stuck as stuck:
        found = stuck.found
    if found is not None:
        return Finding(
            found.verdict,
            found.run,
            count,
            len(tried),
            partial(_replay, scenario, found.run, options),
        )
    return Finding(
        Verdict("holds", invariant.claim, _searched(count, len(tried))),
        None,
        count,
        len(tried),
    )


def _replay(scenario: Scenario, found: Run, options: Mapping[str, Any]) -> Run:
    return in_loop_thread(
        lambda: execute(scenario, found.seed, found.faults, found.deviations, found.args, **options)
    )


def _first(args: Mapping[str, Any]) -> dict[str, Any]:
    """The first value of every argument's space, for the calm run that says where the choice points
    and moments are.
    """
    first: dict[str, Any] = {}
    for name, value in args.items():
        first[name] = find(value, lambda _: True) if isinstance(value, st.SearchStrategy) else value
        if isinstance(value, range):
            first[name] = value[-1]
    return first


def _space_of(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, st.SearchStrategy):
        return value
    if isinstance(value, range):
        return st.sampled_from(value)
    return st.just(value)


# -- spaces of faults


def moments(history: History) -> list[float]:
    """The times just after something happened, in seconds, ascending; 0 is one of them."""
    times = [event.at for event in history.events]
    for message in history.messages:
        times += [message.sent] if message.arrived is None else [message.sent, message.arrived]
    scale = 10**DECIMALS
    after = sorted({0.0, *(math.ceil(time * scale) / scale for time in times)})
    return after[:: math.ceil(len(after) / MOST_MOMENTS)]


def pauses(*nodes: str, up_to: float, within: float | None = None) -> Space:
    """One of the nodes stops for at most `up_to` seconds, after a moment of the calm run or at a
    time up to `within`.
    """
    node, length = _node(nodes), _grid(up_to)
    return lambda known: st.builds(Pause, node=node, at=_times(known, within), for_=length)


def crashes(*nodes: str, restart_after: float | None = None, within: float | None = None) -> Space:
    """One of the nodes dies, and comes back after `restart_after` seconds or never."""
    node, back = _node(nodes), st.just(restart_after)
    return lambda known: st.builds(Crash, node=node, at=_times(known, within), restart_after=back)


def partitions(*nodes: str, up_to: float, within: float | None = None) -> Space:
    """One of the nodes is cut off from all others for at most `up_to` seconds."""
    alone, length = _node(nodes).map(lambda node: (node,)), _grid(up_to)
    return lambda known: st.builds(Partition, one=alone, at=_times(known, within), for_=length)


def lost_replies(*nodes: str, within: float | None = None) -> Space:
    """The next answer to one of the nodes is lost."""
    node = _node(nodes)
    return lambda known: st.builds(LoseReply, src=node, at=_times(known, within))


def _node(nodes: tuple[str, ...]) -> st.SearchStrategy[str]:
    if not nodes:
        raise ValueError("name at least one node")
    return st.sampled_from(nodes)


def _times(known: Moments, within: float | None) -> st.SearchStrategy[float]:
    return st.sampled_from(known) if within is None else _grid(within)


def _grid(up_to: float) -> st.SearchStrategy[float]:
    if not 0 < up_to < math.inf:
        raise ValueError(f"up_to and within must be more than 0 seconds and finite, got {up_to!r}")
    return st.integers(1, GRID).map(lambda step: round(up_to * step / GRID, DECIMALS))


# -- hypothesis, kept to what it is given


@contextmanager
def unbiased() -> Iterator[None]:
    """Hide the constants of loaded modules from every search in the block.

    Hypothesis collects the numbers and strings in the source of every module of the project that
    happens to be loaded, and tries them more often. That finds bugs in a test suite. Here it would
    make a search, and a notebook's output, depend on which lessons were imported before. The
    constants that hypothesis brings along itself stay: they are always the same. These are names
    inside hypothesis: `tests/sim/test_unbiased.py` fails when a new version has others."""
    kept = providers.CONSTANTS_CACHE, providers._get_local_constants
    providers.CONSTANTS_CACHE, providers._get_local_constants = LRUCache(1024), Constants
    try:
        yield
    finally:
        providers.CONSTANTS_CACHE, providers._get_local_constants = kept
