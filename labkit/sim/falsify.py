"""Search for the smallest run that breaks an invariant.

hypothesis proposes runs: a fault plan, a schedule (calm with a few deviations, or a seed), and the
scenario's own arguments; and when one breaks the invariant it shrinks all of them together: fewer
faults, rounder times, fewer deviations, smaller arguments. The search is derandomised: the same
call finds the same run, on every machine. It is a search, not a proof: "nothing found" says how
many runs were tried, no more (see Hypothesis, MacIver et al., JOSS 2019)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, find, given, settings
from hypothesis import strategies as st

from labkit.check import Invariant, Verdict
from labkit.sim.errors import Stuck
from labkit.sim.running import execute
from labkit.sim.spaces import Space, moments
from labkit.sim.unbiased import unbiased
from labkit.sim.worker import in_worker
from labkit.world import Fault, Run, Scenario


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
        searched = f"{self.runs} runs, {self.plans} fault plans"
        return (
            f"<{self.verdict.status}: {self.verdict.claim}; {searched}>"
            if self.run is None
            else f"<{self.verdict!r}; {self.run.call()}>"
        )


class _Broken(Exception):
    def __init__(self, verdict: Verdict, run: Run) -> None:
        self.verdict, self.run = verdict, run


class _Stuck(BaseException):
    """A run that had to be interrupted: no search for a smaller one, each would take as long."""

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
    arguments = st.fixed_dictionaries({name: _space(value) for name, value in (args or {}).items()})
    with unbiased():
        first = _first(args or {})
    calm = in_worker(lambda: execute(scenario, None, (), (), first, **options))
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
        plan: tuple[Fault, ...],
        schedule: tuple[int | None, tuple[tuple[int, int], ...]],
        drawn: dict[str, Any],
    ) -> None:
        nonlocal count
        count += 1
        tried.add(plan)
        seed, deviations = schedule
        run = execute(scenario, seed, plan, deviations, drawn, **options)
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
        with unbiased():
            in_worker(attempt)
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
        Verdict("holds", invariant.claim, f"{count} runs, {len(tried)} fault plans"),
        None,
        count,
        len(tried),
    )


def _replay(scenario: Scenario, found: Run, options: Mapping[str, Any]) -> Run:
    return in_worker(
        lambda: execute(scenario, found.seed, found.faults, found.deviations, found.args, **options)
    )


def _first(args: Mapping[str, Any]) -> dict[str, Any]:
    """The first of every argument's space: the calm run that says where the choice points and
    moments are.
    """
    first: dict[str, Any] = {}
    for name, value in args.items():
        first[name] = find(value, lambda _: True) if isinstance(value, st.SearchStrategy) else value
        if isinstance(value, range):
            first[name] = value[-1]
    return first


def _space(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, st.SearchStrategy):
        return value
    if isinstance(value, range):
        return st.sampled_from(value)
    return st.just(value)
