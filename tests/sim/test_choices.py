"""Where a run's luck comes from."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.sim import Latency, pauses
from labkit.sim.kernel import Choices
from labkit.sim.search import MOST_MOMENTS, moments
from labkit.world import Event, History, Message


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_a_pick_is_one_of_those_there_are(seed: int, n: int) -> None:
    choices = Choices(seed)
    assert all(0 <= choices.pick(n) < n for _ in range(20))


def test_a_seed_picks_each_about_as_often() -> None:
    picks = [
        Choices(7).pick(1),
        *(pick for choices in [Choices(7)] for pick in (choices.pick(4) for _ in range(4000))),
    ][1:]
    assert all(900 < picks.count(one) < 1100 for one in range(4))


def test_latency_has_the_median_it_was_given() -> None:
    choices = Choices(3)
    drawn = [choices.delay(Latency(0.002, 0.5)) for _ in range(4000)]
    assert statistics.median(drawn) == pytest.approx(0.002, rel=0.05)
    assert statistics.stdev(map(math.log, drawn)) == pytest.approx(0.5, rel=0.05)


def test_the_calm_world_has_no_luck() -> None:
    calm = Choices(None)
    assert [calm.pick(5), calm.delay(Latency(0.002)), calm.chance(0.9)] == [0, 0.002, False]
    assert calm.points == 3


def test_a_deviation_is_taken_at_its_point_and_nowhere_else() -> None:
    odd = Choices(None, [(1, 3), (2, 1), (3, 2)])
    assert [odd.pick(5), odd.pick(5), odd.chance(0.1), odd.delay(Latency(0.002)), odd.pick(5)] == [
        0,
        3,
        True,
        0.01,
        0,
    ]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 7)), max_size=5),
    st.none() | st.integers(0, 99),
)
def test_the_same_choices_come_out_again(
    deviations: list[tuple[int, int]], seed: int | None
) -> None:
    def drawn() -> list[object]:
        choices = Choices(seed, deviations)
        return [(choices.pick(3), choices.delay(Latency()), choices.chance(0.3)) for _ in range(12)]

    assert drawn() == drawn()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((-1.0, 0.4), "median must be at least 0"),
        ((math.nan, 0.4), "median"),
        ((0.001, 4.0), "sigma must be from 0 to 3"),
    ],
)
def test_a_latency_that_makes_no_sense_is_refused(
    arguments: tuple[float, float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Latency(*arguments)


def test_moments_are_round_times_right_after_something_happened() -> None:
    history = History()
    history.events.append(Event(1, 0.12341, "a", "read"))
    history.messages.append(Message(2, 0.2, "a", "b", "GET", 0.30005))
    history.messages.append(Message(3, 0.4, "a", "b", "GET", None))
    assert moments(history) == [0.0, 0.1235, 0.2, 0.3001, 0.4]
    history.events += [Event(n, n * 0.01, "a", "tick") for n in range(4, 1000)]
    assert len(moments(history)) <= MOST_MOMENTS


@pytest.mark.parametrize("up_to", [0.0, -1.0, math.inf, math.nan])
def test_a_space_of_faults_without_room_is_refused(up_to: float) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        pauses("a", up_to=up_to)
