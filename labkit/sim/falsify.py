"""Search for the smallest run that breaks an invariant.

hypothesis proposes runs: a fault plan, a schedule (calm with a few deviations, or a seed), and the scenario's own arguments;
and when one breaks the invariant it shrinks all of them together: fewer faults, rounder times, fewer deviations, smaller
arguments. The search is derandomised: the same call finds the same run, on every machine. It is a search, not a proof:
"nothing found" says how many runs were tried, no more (see Hypothesis, MacIver et al., JOSS 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from labkit.check import Invariant, Verdict
from labkit.sim.running import execute, in_worker
from labkit.world import Crash, Fault, LoseReply, Partition, Pause, Run, Scenario

Space = st.SearchStrategy[Fault]
GRID = 40
"""Times of faults are drawn from this many steps of the window, so that a shrunken plan has round numbers."""


@dataclass(frozen=True)
class Finding:
    """What a search found: the smallest run that breaks the invariant, or that none did among `runs`.

    True when nothing was found. `plans` is the number of different fault plans tried, the empty one included.
    """

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
        searched = f"{self.runs} runs, {self.plans} fault plans"
        return (
            f"<{self.verdict.status}: {self.verdict.claim}; {searched}>"
            if self.run is None
            else f"<{self.verdict!r}; {self.run.call()}>"
        )


class _Broken(Exception):
    def __init__(self, verdict: Verdict, run: Run) -> None:
        self.verdict, self.run = verdict, run


def falsify(
    scenario: Scenario,
    invariant: Invariant,
    *,
    faults: Sequence[Space] = (),
    at_most: int = 2,
    args: Mapping[str, Any] | None = None,
    runs: int = 300,
    deviations: int = 4,
    **options: Any,
) -> Finding:
    """Search `runs` runs of `scenario` for one that breaks `invariant`, and shrink it.

    `faults` are spaces of faults (`pauses`, `crashes`, `lost_replies`, `partitions`, or any hypothesis strategy of one fault);
    a plan takes up to `at_most` of them. `args` are the scenario's arguments: a value is passed as it is, a range or a strategy
    is searched. `deviations` bounds how often a schedule departs from the calm one. A run that raises is broken.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs!r}")
    points = in_worker(lambda: _points(scenario, args, options))
    plans = st.lists(st.one_of(*faults), max_size=at_most).map(tuple) if faults else st.just(())
    schedules = st.one_of(
        st.tuples(st.none(), st.lists(st.tuples(st.integers(0, points), st.integers(1, 7)), max_size=deviations).map(tuple)),
        st.tuples(st.integers(0, 2**16), st.just(())),
    )
    arguments = st.fixed_dictionaries({name: _space(value) for name, value in (args or {}).items()})
    tried: set[tuple[Fault, ...]] = set()
    count = 0

    @settings(
        max_examples=runs,
        derandomize=True,
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
        plan: tuple[Fault, ...], schedule: tuple[int | None, tuple[tuple[int, int], ...]], drawn: dict[str, Any]
    ) -> None:
        nonlocal count
        count += 1
        tried.add(plan)
        seed, deviations = schedule
        run = execute(scenario, seed, plan, deviations, drawn, **options)
        if run.error is not None:
            raise _Broken(Verdict("broken", invariant.claim, f"{type(run.error).__name__}: {run.error}"), run)
        verdict = invariant.check(run)
        if verdict.status == "broken":
            raise _Broken(verdict, run)

    try:
        in_worker(attempt)
    except _Broken as found:
        return Finding(found.verdict, found.run, count, len(tried), partial(_replay, scenario, found.run, options))
    return Finding(Verdict("holds", invariant.claim, f"{count} runs, {len(tried)} fault plans"), None, count, len(tried))


def _replay(scenario: Scenario, found: Run, options: Mapping[str, Any]) -> Run:
    return in_worker(lambda: execute(scenario, found.seed, found.faults, found.deviations, found.args, **options))


def _points(scenario: Scenario, args: Mapping[str, Any] | None, options: Mapping[str, Any]) -> int:
    """Roughly how many choice points a run has: those of the calm one, with the first of each argument."""
    first = {name: next(iter(value)) if isinstance(value, range) else value for name, value in (args or {}).items()}
    plain = {name: value for name, value in first.items() if not isinstance(value, st.SearchStrategy)}
    if len(plain) < len(first):
        return 200
    return max(20, execute(scenario, None, (), (), plain, **options).points)


def _space(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, st.SearchStrategy):
        return value
    if isinstance(value, range):
        return st.sampled_from(value)
    return st.just(value)


def _times(within: float) -> st.SearchStrategy[float]:
    return st.integers(0, GRID).map(lambda step: round(within * step / GRID, 6))


def pauses(*nodes: str, within: float, up_to: float) -> Space:
    """One of the nodes stops, at a time from 0 to `within` seconds, for at most `up_to` seconds."""
    return st.builds(Pause, node=_one_of(nodes), at=_times(within), for_=_times(up_to))


def crashes(*nodes: str, within: float, restart_after: float | None = None) -> Space:
    """One of the nodes dies, at a time from 0 to `within` seconds."""
    return st.builds(Crash, node=_one_of(nodes), at=_times(within), restart_after=st.just(restart_after))


def partitions(*nodes: str, within: float, up_to: float) -> Space:
    """One of the nodes is cut off from all others, from a time within `within` seconds, for at most `up_to` seconds."""
    return st.builds(Partition, one=_one_of(nodes).map(lambda node: (node,)), at=_times(within), for_=_times(up_to))


def lost_replies(*nodes: str, within: float) -> Space:
    """The next answer to one of the nodes is lost, from a time within `within` seconds."""
    return st.builds(LoseReply, src=_one_of(nodes), at=_times(within))


def _one_of(nodes: Iterable[str]) -> st.SearchStrategy[str]:
    names = list(nodes)
    if not names:
        raise ValueError("name at least one node")
    return st.sampled_from(names)
