"""Nine faults that separate what an outbox does from what an inbox does: part of lesson 1.2c.

Each of the three services crashes after its commit, each crashes after it has published, and the
broker stands still after each commit.

Leaves out: two faults in one run. The lesson searches for those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.lessons.shared.customers import checkout
from labkit.lessons.shared.four_stores import End
from labkit.sim import run
from labkit.world import Crash, Fault, Pause

DONE_BY = {"placed": "orders", "charged": "payments", "reserved": "warehouse"}
"""The handler of the good run, and the service that runs it."""


def plans() -> list[list[Fault]]:
    """The nine faults."""
    found: list[list[Fault]] = []
    for nth, (done, service) in enumerate(DONE_BY.items(), 1):
        found.append([Crash(service, after=done, restart_after=0.5)])
        found.append([Crash(service, after="published", nth=nth, restart_after=0.5)])
        found.append([Pause("redis", after=done, for_=1.2)])
    return found


def anomalies(args: Mapping[str, Any], seeds: Iterable[int]) -> tuple[int, int]:
    """After how many of the nine an order is pending for ever, and after how many something was
    charged or taken twice: the most of any seed.
    """
    counts = [_anomalies(args, seed) for seed in seeds]
    return max(silent for silent, _ in counts), max(twice for _, twice in counts)


def _anomalies(args: Mapping[str, Any], seed: int) -> tuple[int, int]:
    soon = {**args, "within": 1.8}
    ends: list[End] = [run(checkout, seed=seed, args=soon, faults=plan).result for plan in plans()]
    silent = sum(end.status == "pending" for end in ends)
    return silent, sum(max(end.charged, end.taken) > 1 for end in ends)
