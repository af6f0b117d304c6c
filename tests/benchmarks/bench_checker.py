"""How fast the linearizability checker is, beside detangle's, on the same histories.

Run it as `python -m tests.benchmarks.bench_checker`. The histories are of real objects: true, with
answers lost, with one answer falsified. The two take turns, round by round, and the ratio of a
workload is the median over the rounds. Each must give the same verdicts, or nothing is reported.
labkit's time includes the text of its evidence; detangle makes its own on demand, outside the
measurement."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from statistics import median
from time import perf_counter

from detangle import lin

from labkit.check import check
from tests.benchmarks._report import Row, report
from tests.check import elsewhere
from tests.check.histories import MODELS, draw_history

ROUNDS = 7


@dataclass(frozen=True)
class Workload:
    """`count` histories of one shape."""

    name: str
    kinds: tuple[str, ...]
    count: int
    calls: int
    processes: int
    lost: float
    falsified: int


ALL = tuple(elsewhere.MODELS)
VALUES = ("register", "cas_register", "counter")
WORKLOADS = (
    Workload("short, true", ALL, 40, 20, 3, 0.0, 0),
    Workload("long, true", ALL, 4, 400, 4, 0.0, 0),
    Workload("one answer false", VALUES, 20, 40, 4, 0.0, 1),
    Workload("answers lost, one false", VALUES, 20, 40, 4, 0.1, 1),
    Workload("8 at a time, one false", VALUES, 10, 40, 8, 0.1, 1),
    Workload("8 at a time, many lost", VALUES, 10, 40, 8, 0.3, 1),
)


def measured(workload: Workload) -> Row:
    """The row of one workload: what it is, and how many times as fast labkit is."""
    rng = random.Random(workload.name)
    work = []
    for kind in workload.kinds:
        for _ in range(workload.count):
            drawn = draw_history(
                rng,
                kind,
                calls=workload.calls,
                processes=workload.processes,
                lost=workload.lost,
                falsified=workload.falsified,
            )
            operations = elsewhere.comparable(kind, drawn)
            work.append((kind, operations, elsewhere.translated(operations)))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        seconds, verdicts = timed(
            lambda: [bool(check(operations, MODELS[kind])) for kind, operations, _ in work]
        )
        ours.append(seconds)
        seconds, expected = timed(
            lambda: [lin.check(calls, elsewhere.MODELS[kind]).ok for kind, _, calls in work]
        )
        theirs.append(seconds)
        if verdicts != expected:
            raise AssertionError(f"{workload.name}: the two checkers disagree")
    return {
        "workload": workload.name,
        "histories": len(work),
        "calls": workload.calls,
        "processes": workload.processes,
        "hold": sum(verdicts) / len(verdicts),
        "labkit ms": 1000 * median(ours) / len(work),
        "detangle ms": 1000 * median(theirs) / len(work),
        "ratio": median(their / our for our, their in zip(ours, theirs, strict=True)),
    }


def timed(function: Callable[[], list[bool]]) -> tuple[float, list[bool]]:
    """How many seconds it took, and what it gave."""
    start = perf_counter()
    result = function()
    return perf_counter() - start, result


def main() -> None:
    """Measure every workload and report."""
    rows = [measured(workload) for workload in WORKLOADS]
    ratios = [float(row["ratio"]) for row in rows]
    mean = prod(ratios) ** (1 / len(ratios))
    low, high = min(ratios), max(ratios)
    note = (
        f"labkit's speed is {low:.1f} to {high:.1f} times detangle's, {mean:.1f} in the geometric "
        "mean; times per history"
    )
    report("checker", rows, packages=["detangle"], note=note)


if __name__ == "__main__":
    main()
