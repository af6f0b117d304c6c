"""What is special to the judges of lesson 1.1a: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

from typing import Any

import pytest

from labkit import world
from labkit.course import check
from labkit.lessons.l1_1a.release_race import SAFE, TRUE, release_race
from labkit.lessons.l1_1a.safe_retry import ONE_EACH, SERVED, safe_retry
from labkit.sim import run
from tests.lessons import answers_1_1a as answers
from tests.lessons.kept_runs import checked

pytestmark = pytest.mark.usefixtures("kept")
RELEASE, RETRY = "1.1a-1", "1.1a-2"


def test_what_a_judge_says_of_an_answer_is_not_followed_by_the_judges_own_source() -> None:
    said = str(check(RELEASE, answers.release_and_return_nothing))
    assert "release must return True or False, it returned None\nFound among" in said


def test_the_third_holder_is_seen_beside_the_second() -> None:
    figure = checked(RELEASE, answers.release_in_two_trips).figure()
    assert figure is not None
    assert (
        "both believe they hold lock:stove" in figure.table() and "DEL lock:stove" in figure.table()
    )


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
@pytest.mark.parametrize(
    "faults",
    [
        [world.Pause("anna", at=0.0015, for_=1.5)],  # told of the lock after its lease has ended
        [world.Pause("anna", at=0.0015, for_=1.5), world.Pause("ben", at=1.2, for_=0.9)],
        [world.Pause("redis", at=0.7015, for_=2.5)],  # a release that takes longer than a lease
        [world.Slow(src="anna", dst="redis", factor=2000, for_=5.0, at=0.0)],
    ],
)
def test_a_safe_release_is_never_blamed_for_what_could_have_been_right(
    seed: int | None, faults: list[Any]
) -> None:
    made = run(release_race, seed=seed, faults=faults, args={"release": answers.release_by_script})
    assert SAFE.check(made) and TRUE.check(made)


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [world.Pause("east", after="read", for_=1.5)],
        [world.Pause("east", after="acquired", for_=3.0)],
        [world.LoseReply("east", after="read")],
        [world.Crash("west", after="read", restart_after=0.5)],
        [
            world.Pause("west", after="read", for_=1.3),
            world.Slow(src="west", dst="redis", factor=200, after="read", for_=5.0),
        ],
    ],
)
@pytest.mark.parametrize(
    "place_order",
    [
        answers.order_by_id,
        answers.order_written_after_the_lock,
        answers.order_under_a_lock_of_its_own,
    ],
)
def test_an_order_that_is_looked_for_under_its_token_is_sold_once_whatever_strikes(
    place_order: Any, faults: list[Any], doubled: bool
) -> None:
    args = {"place_order": place_order, "orders": ("order-12", "order-1"), "stoves": 1}
    made = run(safe_retry, faults=faults, args={**args, "doubled": doubled})
    assert ONE_EACH.check(made) and SERVED.check(made)
    assert len(made.result) == 1


def test_one_order_whose_id_begins_like_another_is_another_order() -> None:
    args = {"orders": ("order-12", "order-1"), "stoves": 2, "doubled": False}
    made = run(safe_retry, args={"place_order": answers.order_by_id, **args})
    assert sorted(made.result) == ["order-1", "order-12"]


def test_an_error_after_which_nobody_knows_is_no_answer() -> None:
    args = {"orders": ("order-12",), "stoves": 1, "doubled": False}
    faults = [world.LoseReply("east", after="read")]
    made = run(
        safe_retry, faults=faults, args={"place_order": answers.order_sold_when_in_doubt, **args}
    )
    told = [event.data["what"] for event in made.history.of("told")]
    assert set(told) <= {"sold"} and ONE_EACH.check(made)
