"""The same seed gives the same history, whatever process runs it; another seed gives another
interleaving.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from labkit.sim import run, sweep
from labkit.world import Crash, Pause
from tests.sim.scenarios import EVERY_INCREMENT_COUNTS, bit_of_everything, race

PROGRAM = """
from labkit.sim import run
from labkit.world import Crash, Pause
from tests.sim.scenarios import bit_of_everything, race
for seed in (None, 0, 1, 2):
    print(run(race, seed=seed).history.fingerprint())
    faults = [Pause("c1", at=0.004, for_=0.3), Crash("c2", at=0.02)]
    print(run(bit_of_everything, seed=seed, faults=faults).history.fingerprint())
"""


def fingerprints(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_two_processes_with_different_hash_seeds_write_identical_histories() -> None:
    first, second = fingerprints("1"), fingerprints("4711")
    assert first == second
    assert len(set(first.split())) == 8  # and the eight runs differ from one another


def test_running_again_in_one_process_changes_nothing() -> None:
    faults = [Pause("c1", at=0.004, for_=0.3), Crash("c2", at=0.02)]
    once, again = (run(bit_of_everything, seed=5, faults=faults) for _ in range(2))
    assert once.history == again.history
    assert once.result == again.result


def test_two_hundred_seeds_show_many_orders_and_lose_an_update() -> None:
    done = sweep(race, seeds=range(200), invariant=EVERY_INCREMENT_COUNTS)
    orders = {tuple((event.node, event.kind) for event in run.history.events) for run in done.runs}
    assert len(orders) >= 15
    assert done.broken
    assert done.results()[1] > 0


def test_a_calm_world_runs_first_come_first_served() -> None:
    calm = run(race, seed=None)
    assert [event.node for event in calm.history.of("read")] == ["c0", "c1", "c2"]


def test_a_deviation_changes_the_schedule_and_repeats() -> None:
    calm, odd, odd_again = (
        run(race, seed=None),
        *(run(race, seed=None, deviations=[(0, 1)]) for _ in range(2)),
    )
    assert odd.history == odd_again.history
    assert odd.history != calm.history


@pytest.mark.parametrize("deviations", [[(-1, 1)], [(0, -2)]])
def test_a_deviation_that_makes_no_sense_is_refused(deviations: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="choice point"):
        run(race, deviations=deviations)
