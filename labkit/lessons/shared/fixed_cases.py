"""Fixed cases: what every answer to an exercise is run through, whatever a search finds.

They are cheap, and they do not depend on luck. A search of a hundred runs once missed a relay that
skips an event whose publication failed; the case "the first publication fails, the second does not"
cannot miss it. A judge runs them before its search, the smallest first. Where a search finds what
explains more, because it is shrunk, a judge may run them after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from labkit.check import Invariant, Verdict
from labkit.sim import Finding
from labkit.sim.loop_thread import in_loop_thread
from labkit.sim.running import execute
from labkit.world import Fault, Run, Scenario


@dataclass(frozen=True)
class Case:
    """One run in the calm world: the scenario's arguments, apart from the answer, and faults."""

    args: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def fixed_cases(
    scenario: Scenario,
    invariants: Sequence[Invariant],
    cases: Sequence[Case],
    *,
    args: Mapping[str, Any],
    **options: Any,
) -> Finding:
    """Run every case, with `args` beside its own; the first that breaks the first invariant, or
    else the next one, or that none does. So the invariants stand with the worst first.
    """
    repeats = [partial(_run, scenario, case, {**args, **case.args}, options) for case in cases]
    runs: list[Run] = []
    for invariant in invariants:
        for number, again in enumerate(repeats, 1):
            if len(runs) < number:
                runs.append(again())
            made = runs[number - 1]
            verdict = _verdict(invariant, made)
            if verdict.status == "broken":
                return Finding(verdict, made, len(runs), _plans(cases[: len(runs)]), again)
    held = Verdict("holds", invariants[0].claim, f"{len(cases)} fixed cases")
    return Finding(held, None, len(cases), _plans(cases))


def _plans(cases: Sequence[Case]) -> int:
    return len({(), *(case.faults for case in cases)})


def cases_first(
    scenario: Scenario,
    invariants: Sequence[Invariant],
    cases: Sequence[Case],
    search: Callable[[int], Finding],
    *,
    budget: int,
    args: Mapping[str, Any],
    **options: Any,
) -> Finding:
    """The fixed cases, and when none of them breaks anything, `search` with what is left of the
    `budget` of runs.
    """
    fixed = fixed_cases(scenario, invariants, cases, args=args, **options)
    if not fixed:
        return fixed
    found = search(max(2, budget - fixed.runs))
    return replace(found, runs=fixed.runs + found.runs, plans=fixed.plans + found.plans - 1)


def _run(scenario: Scenario, case: Case, args: Mapping[str, Any], options: Any) -> Run:
    return in_loop_thread(lambda: execute(scenario, None, case.faults, (), args, **options))


def _verdict(invariant: Invariant, made: Run) -> Verdict:
    if made.error is None:
        return invariant.check(made)
    raised = f"{type(made.error).__name__}: {made.error}"
    return Verdict("broken", invariant.claim, raised)
