"""The experiments of lessons 1.2a and 1.2b: what they count is what happened, on other seeds than
the lessons' own.
"""

from __future__ import annotations

from typing import Any

import pytest

from labkit.base import Refused, Retry
from labkit.lessons.l1_2a.commits import commits, taken_over_after
from labkit.lessons.l1_2a.killed_workers import POINTS, workers_are_killed
from labkit.lessons.l1_2a.slow_payments import DELAYS, outcomes
from labkit.lessons.l1_2a.unlogged import unlogged
from labkit.lessons.l1_2b.deploys import deployed
from labkit.lessons.l1_2b.ingress import rolled_out
from labkit.lessons.l1_2b.operated import operated
from labkit.lessons.l1_2b.storm import load, waits
from labkit.lessons.shared.checkout import (
    SETTLED,
    UNDO,
    Participant,
    checkout,
    crash_grid,
    end,
    ends,
    post,
    tombstones,
)
from labkit.lessons.shared.driven import calling, driven
from labkit.sagas import Orchestrator, SagaDefinition, Step, create_sagas
from labkit.sim import run
from labkit.world import Crash, Fault, Pause, World

LABKIT = {"saga": driven(), "prepare": create_sagas}
STEPS = [("charge", "charge"), ("reserve", "reserve"), ("book", "book")]


@pytest.mark.parametrize("refuses", [None, *UNDO])
def test_labkits_saga_ends_with_all_or_none_and_says_so(refuses: str | None) -> None:
    for seed in (None, 1, 2, 3):
        made = run(checkout, seed=seed, args=LABKIT | {"refuses": refuses})
        assert end(made) == ("none" if refuses else "all")
        assert SETTLED.check(made)


def test_what_is_there_at_last_is_counted_at_the_services() -> None:
    asked = {
        "all": ["charge", "reserve", "book"],
        "none": ["charge", "refund"],
        "money without goods": ["charge"],
        "goods without money": ["reserve"],
    }
    for expected, verbs in asked.items():

        async def saga(world: World, data: dict[str, str], verbs: list[str] = verbs) -> str:
            for verb in verbs:
                await post(world, verb, data["order"])
            return "placed"

        made = run(checkout, args={"saga": saga})
        assert end(made) == expected
        assert bool(SETTLED.check(made)) == (expected == "all")


def test_a_tombstone_refuses_what_comes_after_its_undo_and_a_repeat_has_no_second_effect() -> None:
    async def scenario(world: World) -> list[tuple[int, str]]:
        service = Participant(world, "payments", tombstones, "book", {})
        asked = ["charge", "charge", "refund", "refund", "charge", "release", "reserve", "book"]
        return [tombstones(service, verb, "order-7") for verb in asked]

    made = run(scenario)
    status = [code for code, _ in made.result]
    assert status == [200, 200, 200, 200, 409, 200, 409, 409]
    assert made.result[0] == made.result[1]
    assert [event.kind for event in made.history.events] == ["charge", "refund"]


def test_after_an_undo_a_repeated_request_does_not_get_its_old_answer() -> None:
    """A tombstone that does not replace the answer (setdefault, ON CONFLICT DO NOTHING alone) lets
    an orchestrator without a log believe, after a crash, that everything is still there.
    """

    def keeps_the_answer(service: Participant, verb: str, name: str) -> tuple[int, str]:
        before = dict(service.answers)
        answer = tombstones(service, verb, name)
        service.answers |= before
        return answer

    faults: list[Fault] = [
        Pause("carrier", after="book", for_=0.3),
        Crash("orchestrator", after="refund", restart_after=1.0),
    ]
    for act, holds in ((tombstones, True), (keeps_the_answer, False)):
        made = run(checkout, seed=None, args={"saga": unlogged, "act": act}, faults=faults)
        assert end(made) == "none" and bool(SETTLED.check(made)) == holds


@pytest.mark.parametrize("node", ["payments", "stock", "carrier"])
def test_a_service_that_crashes_leaves_a_call_unknown(node: str) -> None:
    for saga in (unlogged, driven()):
        args = {**LABKIT, "saga": saga}
        for at in (0.0, 0.003, 0.03):
            made = run(checkout, seed=1, args=args, faults=[Crash(node, at=at, restart_after=1.0)])
            assert SETTLED.check(made), made.history


def test_a_500_is_unknown() -> None:
    def broken(service: Participant, verb: str, name: str) -> tuple[int, str]:
        return 500, "oops"

    async def saga(world: World, data: dict[str, str]) -> str:
        with pytest.raises(TimeoutError, match="charge: HTTP 500"):
            await post(world, "charge", data["order"])
        raise Refused("unknown")

    assert run(checkout, args={"saga": saga, "act": broken}).result


def test_a_customer_who_is_told_two_things_is_not_told_the_truth() -> None:
    async def changes_its_mind(world: World, data: dict[str, str]) -> str:
        world.record("answers", said="cancelled")
        for verb in UNDO:
            await post(world, verb, data["order"])
        return "placed"

    made = run(checkout, args={"saga": changes_its_mind})
    assert end(made) == "all" and not SETTLED.check(made)


def test_a_crash_grid_has_every_pair_of_crashes() -> None:
    grid = crash_grid(unlogged)
    assert len(grid[0]) == 3  # one event for each call
    assert set(ends(grid)) == {"all"}
    assert ends(grid).total() == sum(cell is not None for row in grid for cell in row)


def test_a_saga_of_labkit_costs_a_commit_for_each_step_and_one_more() -> None:
    assert [commits(steps) for steps in (1, 3, 5)] == [2, 4, 6]
    assert [commits(steps, refused_at=steps) for steps in (1, 3, 5)] == [2, 6, 10]


def test_a_standby_takes_over_when_the_claim_has_ended() -> None:
    for poll in (0.1, 0.5):
        for verb in UNDO:
            phases = [taken_over_after(LABKIT, 100, verb, poll * n / 4, poll) for n in range(4)]
            assert min(phases) > 0.75 and max(phases) < 0.85 + poll
            assert max(phases) - min(phases) > 0.5 * poll  # the phase of the poll counts


def test_with_tombstones_no_money_is_kept_on_other_seeds_either() -> None:
    kept = "money without goods"
    assert outcomes(driven_none, tombstones, 4, first_seed=500)[kept] > 0
    ended = outcomes(unlogged, tombstones, 4, first_seed=500)
    assert set(ended) == {"all", "none"} and ended.total() == DELAYS


async def driven_none(world: World, data: dict[str, str]) -> str:
    """Gives up on a slow charge and undoes nothing."""
    try:
        await post(world, "charge", data["order"])
    except TimeoutError as error:
        raise Refused("slow") from error
    return "placed"


def test_killed_workers_are_taken_over_on_a_real_database() -> None:
    found = workers_are_killed()
    if found is None:
        pytest.skip("no PostgreSQL can be started here")
    calls = len(UNDO) * POINTS
    assert found == {
        "killed": POINTS,
        "completed": POINTS,
        "effects": calls,
        "requests": calls + len(UNDO),
    }


# -- 1.2b


@pytest.mark.parametrize("seed", [101, 102])
def test_below_capacity_every_caller_hears_and_well_above_it_few_do(seed: int) -> None:
    for callers, longest in ((60, 8), (30, 4)):
        assert load(callers, 0.75 * longest) < 1
        assert len(waits(callers, longest, seed=seed)) == callers
    assert load(60, 0.75 * 4) >= 1.5
    assert len(waits(60, 4, seed=seed)) < 0.5 * 60


def test_a_time_out_longer_than_the_queue_keeps_short_retries_below_capacity() -> None:
    assert load(60, 0.1, timeout=10) < 1 < load(60, 0.1)
    assert len(waits(60, 0.1, factor=1.0, timeout=10, seed=101)) == 60
    assert len(waits(60, 0.1, factor=1.0, seed=101)) < 20


def test_a_load_that_is_low_on_paper_is_not_enough_when_the_waits_still_grow() -> None:
    assert load(240, 0.75 * 40) < 0.8
    assert len(waits(240, 40, seed=101)) < 24
    assert len(waits(240, 40, first=10, afterwards=60, seed=101)) > 120


def test_an_operator_acts_once_on_a_saga_that_is_parked() -> None:
    async def retry(world: World, orchestrator: Orchestrator, order: str) -> None:
        await orchestrator.retry(order)

    away = [Crash("payments", after="release", restart_after=30)]
    args = LABKIT | {"saga": operated(retry), "refuses": "book"}
    for seed in (101, 102):
        made = run(checkout, seed=seed, args=args, faults=away)
        [parked] = made.history.of("parked")
        assert parked.data["status"] == "compensation_failed"
        assert end(made) == "none" and SETTLED.check(made)
        calm = run(checkout, seed=seed, args=args)
        assert not calm.history.of("parked") and end(calm) == "none"


def test_a_404_of_the_ingress_is_no_refund() -> None:
    def as_gone(status: int, body: object) -> str:
        return {200: "yes", 404: "yes", 409: "no"}.get(status, "unknown")

    for seed in (101, 102):
        assert end(rolled_out(as_gone, (0.02, 0.52), seed)) == "money without goods"
        assert end(rolled_out(as_gone, (0.0, 0.0), seed)) == "none"


def test_new_code_drives_an_old_saga_only_with_the_old_definition() -> None:
    kept = deployed([(1, STEPS)], [(1, STEPS), (2, STEPS[::-1])])
    assert end(kept) == "all" and kept.result
    without = deployed([(1, STEPS)], [(2, STEPS)])
    assert not without.result and without.history.of("nobody drives it")
    renamed = deployed([(1, STEPS)], [(1, [("pay", "charge"), *STEPS[1:]])])
    assert end(renamed) == "twice"


def test_a_patient_undo_of_the_pivot_outlasts_a_carrier_that_is_away() -> None:
    def define(world: World) -> SagaDefinition:
        patient = Retry(attempts=200, most=1.0)
        steps = [
            Step(verb, calling(world, verb), calling(world, UNDO[verb]), undo_retry=patient)
            for verb in ("reserve", "charge")
        ]
        book, cancel = calling(world, "book"), calling(world, "cancel")
        options: dict[str, Any] = {"timeout": 0.3, "retry": Retry(attempts=2)}
        last = Step("book", book, cancel, "pivot", undo_retry=patient, **options)
        return SagaDefinition("checkout", 1, (*steps, last))

    args = {"saga": driven(define), "prepare": create_sagas}
    for seconds in (0.5, 10, 60):
        away = [Crash("carrier", after="book", restart_after=seconds)]
        made = run(checkout, seed=101, args=args, faults=away)
        assert end(made) == "none" and SETTLED.check(made)
