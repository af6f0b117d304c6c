"""The smallest failing run of every wrong answer, kept as data.

A search that finds and shrinks a run takes seconds, and repeating the run it found takes a tenth of
one. So the suite repeats the kept runs, and searches only for an answer whose kept run does not
fail any more. `make deep ARGS=--keep` searches for all of them anew and writes the files in
`failing_runs/`, one a lesson: seed, faults, deviations and searched arguments, in JSON."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase

import labkit.sim
from labkit import world
from labkit.check import Invariant, Verdict
from labkit.course import Result, check
from labkit.sim import search
from labkit.sim.loop_thread import in_loop_thread
from labkit.sim.running import execute
from labkit.sim.search import Finding
from labkit.world import Fault, Run, Scenario
from tests.support.depth import DEPTH
from tests.support.keeping import path_of, refresh


@dataclass(frozen=True)
class KeptRun:
    """How to repeat a failing run: `args` are the arguments that were searched."""

    scenario: str
    seed: int | None
    faults: tuple[Fault, ...]
    deviations: tuple[tuple[int, int], ...]
    args: Mapping[str, Any]


@cache
def kept_runs(path: Path) -> Mapping[str, Mapping[str, KeptRun]]:
    """By exercise and name of the answer."""
    if not path.exists():
        return {}
    told = json.loads(path.read_text(encoding="utf-8"))
    return {
        exercise: {name: _run_of(run) for name, run in answers.items()}
        for exercise, answers in told.items()
    }


@cache
def checked(exercise: str, answer: Any) -> Result:
    """What `check` says of a wrong answer, once in a session; tests only read it.

    The deep profile searches. The quick one repeats the kept run, and searches only when that does
    not fail. Where none is kept, because the answer raises or misunderstands, the quick profile
    takes the first run that fails."""
    if DEPTH.anew:
        return check(exercise, answer)
    kept = kept_runs(path_of(exercise)).get(exercise, {}).get(answer.__name__)
    if kept is None:
        with unshrunk():
            return check(exercise, answer)
    with replaying(kept):
        result = check(exercise, answer)
    if result.status in ("failed", "error"):
        return result
    warnings.warn(
        f"the kept run of {exercise} {answer.__name__} does not fail any more, so it was "
        f"searched for; {refresh(exercise)}",
        stacklevel=2,
    )
    return check(exercise, answer)


@contextmanager
def unshrunk() -> Iterator[None]:
    """In the block, a search ends with the first run that fails, and does not make it smaller."""
    settings = search.settings

    def without_shrinking(**given: Any) -> Any:
        return settings(**{**given, "phases": (Phase.generate,)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "settings", without_shrinking)
        yield


@contextmanager
def replaying(kept: KeptRun) -> Iterator[None]:
    """In the block, every search of a judge looks at the kept run, and at no other."""

    def falsify(
        scenario: Scenario,
        invariant: Invariant,
        *,
        faults: Any = (),
        at_most: int = 0,
        args: Mapping[str, Any] | None = None,
        runs: int = 1,
        deviations: int = 0,
        **options: Any,
    ) -> Finding:
        if scenario.__name__ != kept.scenario:
            return Finding(Verdict("holds", invariant.claim, "not looked at"), None, 0, 0)
        given = {**(args or {}), **kept.args}

        def again() -> Run:
            return in_loop_thread(
                lambda: execute(scenario, kept.seed, kept.faults, kept.deviations, given, **options)
            )

        made = again()
        if made.error is None:
            verdict = invariant.check(made)
        else:
            raised = f"{type(made.error).__name__}: {made.error}"
            verdict = Verdict("broken", invariant.claim, raised)
        broken = verdict.status == "broken"
        return Finding(verdict, made if broken else None, 1, 1, again)

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            searches = getattr(module, "falsify", None) is labkit.sim.falsify
            if searches and name.startswith("labkit.lessons."):
                patch.setattr(module, "falsify", falsify)
        yield


# -- as data


def told(run: Run, answer: Any) -> dict[str, Any]:
    """A run as JSON can hold it, without the answer that it ran."""
    return {
        "scenario": run.scenario,
        "seed": run.seed,
        "faults": [_fault_told(fault) for fault in run.faults],
        "deviations": run.deviations,
        "args": {name: value for name, value in run.args.items() if value is not answer},
    }


def _fault_told(fault: Fault) -> dict[str, Any]:
    given = {
        item.name: getattr(fault, item.name)
        for item in fields(fault)
        if item.default is MISSING or getattr(fault, item.name) != item.default
    }
    return {"fault": type(fault).__name__, **given}


def _run_of(run: Mapping[str, Any]) -> KeptRun:
    return KeptRun(
        run["scenario"],
        run["seed"],
        tuple(_fault_of(fault) for fault in run["faults"]),
        _frozen(run["deviations"]),
        {name: _frozen(value) for name, value in run["args"].items()},
    )


def _fault_of(fault: Mapping[str, Any]) -> Fault:
    given = {name: _frozen(value) for name, value in fault.items() if name != "fault"}
    made: Fault = getattr(world, fault["fault"])(**given)
    return made


def _frozen(value: Any) -> Any:
    """Lists as the tuples that they were."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
