"""Sweeping over seeds, and searching for the smallest run that breaks a claim."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.sim import falsify, lost_replies, pauses, run, sweep
from labkit.world import Pause, World
from tests.sim.scenarios import EVERY_INCREMENT_COUNTS, ONE_HOLDER, leased, race

EVERY_CLIENT = Invariant("every increment counts", lambda run: run.result == run.args["clients"])


def test_a_lease_that_ends_during_a_pause_is_caught_and_one_without_a_pause_never_is() -> None:
    pause = sweep(
        leased,
        seeds=range(100),
        faults=lambda seed: [Pause("ab"[seed % 2], at=0.02, for_=3.0)],
        invariant=ONE_HOLDER,
    )
    assert len(pause.broken) > 20
    assert not sweep(leased, invariant=ONE_HOLDER).broken


def test_the_race_shrinks_to_two_clients_and_no_fault() -> None:
    found = falsify(
        race,
        EVERY_CLIENT,
        args={"clients": range(1, 6)},
        faults=[pauses("c0", "c1", within=0.01, up_to=0.01)],
    )
    assert not found and found.run is not None
    assert (found.run.args, found.run.faults, found.run.deviations, found.run.seed) == (
        {"clients": 2},
        (),
        (),
        None,
    )


def test_the_expired_lease_shrinks_to_one_pause() -> None:
    found = falsify(
        leased,
        ONE_HOLDER,
        faults=[pauses("a", "b", within=1.0, up_to=4.0), lost_replies("a", "b", within=1.0)],
    )
    assert found.run is not None
    (fault,) = found.run.faults
    assert isinstance(fault, Pause)
    assert fault.for_ <= 1.3  # hardly longer than the lease
    assert found.run.deviations == ()


def test_what_was_found_can_be_run_again_from_its_call() -> None:
    found = falsify(leased, ONE_HOLDER, faults=[pauses("a", "b", within=1.0, up_to=4.0)])
    assert found.run is not None
    again = eval(found.run.call(), {"run": run, "leased": leased, "Pause": Pause})
    assert again.history == found.run.history


def test_the_same_search_finds_the_same_run() -> None:
    one, two = (
        falsify(leased, ONE_HOLDER, faults=[pauses("a", "b", within=1.0, up_to=4.0)])
        for _ in range(2)
    )
    assert one.run == two.run and one.runs == two.runs


def test_a_search_that_finds_nothing_says_how_much_it_searched() -> None:
    found = falsify(leased, ONE_HOLDER, runs=60, faults=[lost_replies("a", within=1.0)])
    assert found and found.runs == 60 and found.plans > 5
    assert "60 runs" in repr(found)


def test_a_scenario_that_raises_is_broken() -> None:
    async def scenario(world: World, n: int) -> None:
        if n > 3:
            raise RuntimeError("too much")

    found = falsify(
        scenario, Invariant("it ends", lambda run: True), args={"n": st.integers(0, 100)}
    )
    assert found.run is not None and found.run.args == {"n": 4}
    assert "RuntimeError: too much" in found.verdict.evidence


def test_a_run_that_is_stuck_ends_the_search_instead_of_being_shrunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labkit.sim.loop_thread.PATIENCE", 0.5)
    tries = 0

    async def scenario(world: World) -> None:
        nonlocal tries
        tries += 1
        while tries > 3:
            pass

    found = falsify(scenario, Invariant("it ends", lambda run: True), runs=50)
    assert "Stuck: task the scenario has been computing for 0.5 s" in found.verdict.evidence
    assert tries == 4


def test_a_sweep_may_use_any_executor() -> None:
    here = sweep(race, seeds=range(6), invariant=EVERY_INCREMENT_COUNTS)
    with ProcessPoolExecutor(2) as pool:
        there = sweep(race, seeds=range(6), invariant=EVERY_INCREMENT_COUNTS, executor=pool)
    assert [run.history.fingerprint() for run in here.runs] == [
        run.history.fingerprint() for run in there.runs
    ]
    assert len(here.broken) == len(there.broken)
    assert pickle.loads(pickle.dumps(here.runs[0])) == here.runs[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: sweep(race, seeds=[]), "at least one seed"),
        (lambda: falsify(race, EVERY_CLIENT, runs=0), "runs must be at least 1, got 0"),
        (lambda: pauses(up_to=1), "at least one node"),
        (lambda: Pause("a", for_=1), "give either at"),
        (lambda: Pause("a", at=-1, for_=1), "Pause.at must be at least 0 seconds, got -1"),
        (lambda: Pause("a", at=1, for_=-1), "Pause.for_ must be at least 0 seconds, got -1"),
        (lambda: Pause("a", at=float("nan"), for_=1), "Pause.at"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(wrong: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()  # type: ignore[operator]
