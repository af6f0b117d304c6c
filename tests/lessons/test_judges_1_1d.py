"""What is special to the judges of lesson 1.1d: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

from typing import Any

import pytest

from labkit import world
from labkit.lessons.l1_1d.by_script import SITES
from labkit.lessons.l1_1d.merging_likes import STEP, SUM, merging_likes
from labkit.lessons.l1_1d.moving_rights import RIGHTS, SAFE, WHOLE, moving_rights
from labkit.sim import run
from tests.lessons import answers_1_1d as answers

pytestmark = pytest.mark.usefixtures("kept")


def test_the_rights_of_a_bounded_counter_are_those_of_the_script_whatever_the_network_does() -> (
    None
):
    script = (
        ("east", "give", "west", 2),
        ("east", "tell", "west"),
        ("west", "take", 6),
        ("west", "give", "north", 1),
    )
    faults = [
        world.Duplication(1.0, src="east", at=0.0),
        world.Loss(1.0, src="west", at=0.0, for_=5.0),
    ]
    made = run(
        moving_rights, faults=faults, args={"quota": answers.BoundedCounter, "script": script}
    )
    assert SAFE.check(made) and WHOLE.check(made)
    for counted in made.history.of("counted"):
        assert counted.data["sites"] == {"east": 4, "north": 0, "west": 0}
    assert [event.data["said"] for event in made.history.of("takes", "gives")] == [
        True,
        True,
        False,
    ]
    assert set(SITES) == set(RIGHTS)


@pytest.mark.parametrize(
    "likes", [answers.TwoGrowingCounters, answers.NamedEvents, answers.VersionedSums]
)
def test_likes_that_merge_are_counted_right_whatever_the_network_does(likes: Any) -> None:
    script = (
        ("east", "add"),
        ("east", "tell", "west"),
        ("west", "remove"),
        ("west", "tell", "north"),
        ("north", "remove"),
    )
    faults = [
        world.Duplication(1.0, src="east", at=0.0),
        world.Loss(1.0, src="west", at=0.0, for_=5.0),
    ]
    made = run(merging_likes, faults=faults, args={"likes": likes, "script": script})
    assert SUM.check(made) and STEP.check(made)
    for counted in made.history.of("counted"):
        assert counted.data["sites"] == {"east": -1, "north": -1, "west": -1}
