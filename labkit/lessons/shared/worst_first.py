"""Search for harm before anything else, so that a reader is shown what an answer breaks and not a
smaller sign of it.

A search shrinks to the smallest run that breaks *some* claim. Of a lock that frees another's and
also misreports it, that would be the misreport. So the claims are searched for one after the other,
the worst first. Cases that a search seldom comes to by itself are named, and each gets a sixth of
the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit.check import Invariant, Verdict
from labkit.sim import Finding, falsify
from labkit.world import Run, Scenario


def worst_first(
    scenario: Scenario,
    harm: Invariant,
    fault: Invariant,
    *,
    runs: int,
    args: Mapping[str, Any],
    cases: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> Finding:
    """`falsify` by `harm` in half of the `runs`, then, when nothing is found, by `fault` in the
    other half.

    Then by both in each of the `cases`: arguments that replace those of `args`, without a fault of
    the world."""
    each = max(1, runs // 6)
    searched = max(2, runs - len(cases) * each)
    found = falsify(scenario, harm, runs=(searched + 1) // 2, args=args, **options)
    if found:
        found = _both(found, falsify(scenario, fault, runs=searched // 2, args=args, **options))
    calm = {name: value for name, value in options.items() if name not in ("faults", "at_most")}
    for case in cases:
        if found:
            found = _both(
                found,
                falsify(scenario, _either(harm, fault), runs=each, args={**args, **case}, **calm),
            )
    return found


def _either(harm: Invariant, fault: Invariant) -> Invariant:
    def test(run: Run) -> Verdict:
        verdict = harm.check(run)
        return fault.check(run) if verdict else verdict

    return replace(fault, test=test)


def _both(first: Finding, second: Finding) -> Finding:
    return replace(second, runs=first.runs + second.runs, plans=max(first.plans, second.plans))
