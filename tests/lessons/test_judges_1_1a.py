"""What is special to the judges of lesson 1.1a: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from labkit import world
from labkit.course import check
from labkit.lessons.l1_1a.carts import WHOLE_CARTS, carts
from labkit.lessons.l1_1a.last_stove import NO_LATE_READ, ONE_SALE, last_stove
from labkit.lessons.l1_1a.release_race import SAFE, TRUE, release_race
from labkit.lessons.l1_1a.two_keys import two_keys
from labkit.sim import run
from tests.lessons import answers_1_1a as answers
from tests.lessons.kept_runs import checked

pytestmark = pytest.mark.usefixtures("kept")
RELEASE, STORE, CART = "1.1a-1", "1.1a-2", "1.1a-3"


def test_a_missing_key_that_raises_is_told_which_read_it_was() -> None:
    said = str(check(STORE, answers.MissingRaises))
    assert (
        "your code raised TypeError" in said and "in FencedStore._call:  return int(found)" in said
    )
    assert "This was a read of tent, which was never written, and must return 0." in said


def test_what_a_judge_says_of_an_answer_is_not_followed_by_the_judges_own_source() -> None:
    said = str(check(RELEASE, answers.release_and_return_nothing))
    assert "release must return True or False, it returned None\nFound among" in said


def test_an_answer_that_cannot_be_called_as_asked_is_shown_how_it_is_called() -> None:
    assert "the exercise does:  stock = store(" in str(check(STORE, answers.release_by_script))


def test_the_line_of_the_reader_keeps_its_colon() -> None:
    assert "async with locks.hold(*sorted(set(skus))):\n" in str(
        check(CART, answers.cart_of_several_keys)
    )


def test_the_picture_of_a_deadlock_shows_who_wanted_what() -> None:
    for wrong in (answers.cart_in_the_order_given, answers.cart_gathered):
        figure = checked(CART, wrong).figure()
        assert figure is not None
        table = figure.table()
        assert "left out" not in table
        for node, item in (("anna", "stove"), ("anna", "tent"), ("ben", "stove"), ("ben", "tent")):
            assert re.search(rf"{node} +wants +item={item}", table)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (answers.MissingIsOne, "a read of tent, which was never written, returned 1 instead of 0"),
        (answers.RefusesEverybody, "token 10 was refused a read of tent, and none is newer"),
        (answers.EqualTokensRefused, "the newest token, 10, was refused a write to tent"),
        (answers.NeverStored, "7 was written to tent, and a read of it returned 0"),
        (
            answers.UnfencedStore,
            "the older token was accepted: a write with token 9, when tent had seen 10",
        ),
        (
            answers.RefusesWithAnotherKey,
            "a write with token 9, when tent had seen 10, raised StaleToken('foo', seen=0, given=0)",
        ),
        (answers.OneTokenForAll, "the token of tent refused a write to lamp"),
        (answers.OneValueForAll, "a write to lamp changed tent from 7 to 5"),
        (answers.TentsOnly, "5 was written to lamp, and a read of it returned 0"),
    ],
)
def test_one_client_alone_finds_what_is_wrong_step_by_step(wrong: Any, says: str) -> None:
    made = run(two_keys, args={"store": wrong, "delivery": 8})
    assert str(made.result).startswith(says)


@pytest.mark.parametrize("delivery", [8, 2**53 - 3])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_fenced_store_serves_one_client_as_asked(delivery: int, seed: int | None) -> None:
    made = run(two_keys, seed=seed, args={"store": answers.FencedStore, "delivery": delivery})
    assert made.result is None and len(made.history.of("refused")) == 4


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


@pytest.mark.parametrize("at", [0.0, 0.0035, 0.2, 0.31, 1.1])
@pytest.mark.parametrize("for_", [0.7, 1.1, 3.0])
@pytest.mark.parametrize("node", ["anna", "ben", "stock"])
def test_a_fenced_store_sells_the_stove_once_whoever_is_paused(
    node: str, at: float, for_: float
) -> None:
    made = run(
        last_stove,
        faults=[world.Pause(node, at=at, for_=for_)],
        args={"store": answers.FencedStore, "delivery": 8},
    )
    assert len(made.history.of("sold")) == 1
    assert ONE_SALE.check(made) and NO_LATE_READ.check(made)


def test_a_stale_read_alone_does_no_harm_but_is_not_what_was_asked() -> None:
    made = run(last_stove, args={"store": answers.NotedButAnswered, "delivery": 8})
    assert ONE_SALE.check(made) and not NO_LATE_READ.check(made)


def test_carts_in_opposite_order_are_both_sold_in_a_fraction_of_the_wait() -> None:
    orders = (("stove", "tent"), ("tent", "stove"), ("stove", "stove"))
    made = run(
        carts,
        args={
            "hold_cart": answers.cart_on_a_stack,
            "carts": orders,
            "declined": None,
            "counted": None,
        },
    )
    assert WHOLE_CARTS.check(made) and len(made.history.of("sold")) == 3
    assert made.seconds < 1.0  # virtual


def test_a_cart_whose_item_is_being_counted_is_given_up_and_leaves_nothing_locked() -> None:
    args = {
        "hold_cart": answers.cart_on_a_stack,
        "carts": (("stove", "tent"),),
        "declined": None,
        "counted": "tent",
    }
    made = run(carts, args=args)
    assert WHOLE_CARTS.check(made)
    assert [event.kind for event in made.history.events if event.node == "anna"] == [
        "wants",
        "wants",
        "gave up",
    ]
