"""Run a scenario under many seeds, one after another or on any `concurrent.futures` executor, and
count what came out.

Leaves out: choosing the seeds. They are tried as given, and a failing run is not made smaller;
`falsify` searches and shrinks."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from labkit.check import Invariant, Verdict
from labkit.sim._progress import counted
from labkit.sim.errors import SimulationError
from labkit.sim.loop_thread import in_loop_thread
from labkit.sim.running import execute
from labkit.world import Fault, Run, Scenario


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, in the order of their seeds, and the verdict on each (None when no
    invariant was given).
    """

    runs: tuple[Run, ...]
    verdicts: tuple[Verdict | None, ...]

    @property
    def broken(self) -> tuple[Run, ...]:
        """The runs on which the invariant does not hold; one that raised is broken too."""
        return tuple(
            run
            for run, verdict in zip(self.runs, self.verdicts, strict=True)
            if run.error or (verdict is not None and not verdict)
        )

    @property
    def share_broken(self) -> float:
        """The share of runs that are broken, from 0 to 1."""
        return len(self.broken) / len(self.runs)

    def results(self) -> Counter[Any]:
        """How often each result occurred."""
        return Counter(run.result for run in self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return f"<Sweep of {len(self.runs)} runs, {len(self.broken)} broken>"


def sweep(
    scenario: Scenario,
    *,
    seeds: Iterable[int] = range(200),
    faults: Sequence[Fault] | Callable[[int], Sequence[Fault]] = (),
    invariant: Invariant | None = None,
    args: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
    **options: Any,
) -> Sweep:
    """Run `scenario` once for each seed, and judge each run by `invariant`.

    `faults` may be a function of the seed. `executor` is any `concurrent.futures` executor: a
    process pool here, a Dask client's on a cluster; the scenario must then be importable by its
    workers. Other options are those of `run`. What a scenario raises is kept in its run."""
    numbers = list(seeds)
    if not numbers:
        raise ValueError("sweep needs at least one seed, got none")
    plans = [tuple(faults(seed) if callable(faults) else faults) for seed in numbers]
    jobs = [
        partial(execute, scenario, seed, plan, args=args, **options)
        for seed, plan in zip(numbers, plans, strict=True)
    ]
    with counted(len(jobs), progress) as step:
        if executor is None:
            runs = in_loop_thread(lambda: [_stepping(job, step) for job in jobs])
        else:
            futures = [executor.submit(_portable, job) for job in jobs]
            runs = [_stepping(future.result, step) for future in futures]
    verdicts = [
        invariant.check(run) if invariant is not None and run.error is None else None
        for run in runs
    ]
    return Sweep(tuple(runs), tuple(verdicts))


def _stepping(job: Callable[[], Run], step: Callable[[], object]) -> Run:
    made = job()
    step()
    return made


def _portable(job: Callable[[], Run]) -> Run:
    """The run, with an error that can be pickled: one that cannot would break the whole process
    pool.
    """
    made = job()
    try:
        pickle.loads(pickle.dumps(made.error))
    except Exception:
        return replace(made, error=SimulationError(f"{type(made.error).__name__}: {made.error}"))
    return made
