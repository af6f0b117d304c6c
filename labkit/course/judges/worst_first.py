"""Search for harm before anything else, so that a reader is shown what an answer breaks and not a smaller sign of it.

A search shrinks to the smallest run that breaks *some* claim. Of a lock that frees another's and also misreports it, that
would be the misreport. So the claims are searched for one after the other, the worst first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.check import Invariant
from labkit.sim import Finding, falsify
from labkit.world import Scenario


def worst_first(scenario: Scenario, harm: Invariant, fault: Invariant, *, runs: int, **options: Any) -> Finding:
    """`falsify` by `harm` in half of the `runs`, then, when nothing is found, by `fault` in the other half."""
    first = falsify(scenario, harm, runs=(runs + 1) // 2, **options)
    if not first:
        return first
    second = falsify(scenario, fault, runs=max(1, runs // 2), **options)
    return replace(second, runs=first.runs + second.runs, plans=max(first.plans, second.plans))
