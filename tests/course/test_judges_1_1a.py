"""The exercises of lesson 1.1a: right answers pass, the wrong ones that are easy to write are caught by what they break."""

from __future__ import annotations

import re
from typing import Any

import pytest

from labkit import world
from labkit.course import Result, check
from labkit.course.judge import find
from labkit.course.judges.carts import WHOLE_CARTS, carts
from labkit.course.judges.last_stove import NO_LATE_READ, ONE_SALE, last_stove
from labkit.course.judges.release_race import SAFE, TRUE, release_race
from labkit.course.judges.two_keys import two_keys
from labkit.sim import run
from tests.course import answers_1_1a as answers

pytestmark = pytest.mark.usefixtures("kept")
RELEASE, STORE, CART = "1.1a-1", "1.1a-2", "1.1a-3"


@pytest.mark.parametrize(
    ("exercise", "stub", "open_functions"),
    [
        (RELEASE, answers.release_stub, "release_stub"),
        (STORE, answers.StoreStub, "read, write"),
        (CART, answers.cart_stub, "cart_stub"),
    ],
)
def test_the_stub_is_told_kindly(exercise: str, stub: Any, open_functions: str) -> None:
    assert str(check(exercise, stub)) == f"{exercise}: not attempted yet. Still to write: {open_functions}."


@pytest.mark.parametrize(
    ("exercise", "right"),
    [
        (RELEASE, answers.release_by_script),
        (RELEASE, answers.release_by_watching),
        (STORE, answers.FencedStore),
        (CART, answers.cart_on_a_stack),
        (CART, answers.cart_by_recursion),
    ],
)
def test_a_right_answer_passes_and_is_told_how_much_was_searched(exercise: str, right: Any) -> None:
    result = check(exercise, right)
    assert result.passed, str(result)
    assert f"Held on {find(exercise).budget} schedules" in str(result)


WRONG = [
    (RELEASE, answers.release_whoevers_it_is, "freed the lock that was"),
    (RELEASE, answers.release_in_two_trips, "freed the lock that was"),
    (RELEASE, answers.release_or_raise, "release raised LockNotOwnedError after the work was done"),
    (RELEASE, answers.release_and_say_true, "release said True, and"),
    (RELEASE, answers.release_comparing_text_with_bytes, "anna's release said False and the lock was still anna's"),
    (STORE, answers.UnfencedStore, "with an older token"),
    (STORE, answers.ComparedInPython, "with an older token"),
    (STORE, answers.OnlyWritesFenced, "with an older token"),
    (STORE, answers.NotedButAnswered, "the delivery's read with token 8 was accepted after"),
    (STORE, answers.EqualTokensRefused, "write was refused with token 8, and the newest token seen before was its own"),
    (STORE, answers.ComparedAsText, "the newest token seen before was 8"),
    (STORE, answers.RoundsLargeTokens, "the newest token seen before was its own"),
    (STORE, answers.RefusesEverybody, "the newest token seen before was none"),
    (STORE, answers.RefusesButWrites, "a write that was refused changed the value from 7 to 3"),
    (STORE, answers.Lowers, "after a refusal the older token was accepted: a read with token 9, when tent had seen 10"),
    (STORE, answers.Global, "StaleToken('everything', seen=10, given=9) instead of StaleToken('tent', seen=10, given=9)"),
    (STORE, answers.SeenGivenSwapped, "StaleToken('tent', seen=9, given=10) instead of StaleToken('tent', seen=10, given=9)"),
    (STORE, answers.NeverStored, "one stove was there, and nobody sold it"),
    (
        CART,
        answers.cart_in_the_order_given,
        "anna waited 2 s for tent, which ben held, while ben waited for stove, which anna held",
    ),
    (CART, answers.cart_all_at_once, "locked"),
    (
        CART,
        answers.cart_gathered,
        "anna waited 2 s for stove, which ben held, while ben waited for tent, which anna held",
    ),
    (CART, answers.cart_given_up_at_once, "anna gave up, and had every lock it had asked for"),
    (CART, answers.cart_without_patience, "ms for stove, which nobody held"),
    (CART, answers.cart_with_doubles, "anna waited 2 s for stove, which anna held already"),
    (CART, answers.cart_of_the_first, "anna began to pack without the lock of tent"),
    (CART, answers.cart_let_go_too_early, "anna began to pack without the lock of stove, tent"),
    (CART, answers.cart_let_go_while_packing, "anna was still packing without the lock of stove"),
    (CART, answers.cart_left_when_the_second_fails, "anna gave up waiting for tent and left stove locked"),
    (CART, answers.cart_left_when_the_body_fails, "left stove"),
    (CART, answers.cart_that_swallows, "anna's card was declined, and hold_cart did not let that error out"),
]


@pytest.mark.parametrize(("exercise", "wrong", "what_broke"), WRONG, ids=[wrong.__name__ for _, wrong, _ in WRONG])
def test_a_wrong_answer_is_caught_by_what_it_breaks(exercise: str, wrong: Any, what_broke: str) -> None:
    result = check(exercise, wrong)
    assert result.status == "failed", str(result)
    assert what_broke in str(result)
    assert result.run is not None and len(result.run.faults) <= 1
    assert result.replay().history == result.run.history


@pytest.mark.parametrize(
    ("exercise", "raising", "line"),
    [
        (RELEASE, answers.release_decoding_nothing, "in release_decoding_nothing:  return bool(holder.decode() == owner)"),
        (STORE, answers.ForgetsTheArguments, "in ForgetsTheArguments.write:  raise StaleToken(key, token)"),
        (CART, answers.cart_of_several_keys, "in cart_of_several_keys:  async with locks.hold(*sorted(set(skus)))"),
    ],
)
def test_an_exception_of_the_reader_is_shown_as_theirs_with_their_line(exercise: str, raising: Any, line: str) -> None:
    result = check(exercise, raising)
    assert result.status == "error"
    assert "your code raised" in str(result) and line in str(result)


@pytest.mark.parametrize(
    ("exercise", "odd", "says"),
    [
        (RELEASE, answers.release_and_return_nothing, "release must return True or False, it returned None"),
        (STORE, answers.ReturnsBytes, "read must return an int, it returned b'1'"),
        (CART, answers.cart_of_an_unknown_item, "hold takes one item, 'stove' or 'tent', got 'lock:stove'"),
    ],
)
def test_an_answer_of_another_kind_is_told_what_is_asked_for(exercise: str, odd: Any, says: str) -> None:
    result = check(exercise, odd)
    assert result.status == "error"
    assert says in str(result)


def test_a_missing_key_that_raises_is_told_which_read_it_was() -> None:
    said = str(check(STORE, answers.MissingRaises))
    assert "your code raised TypeError" in said and "in FencedStore._call:  return int(found)" in said
    assert "This was a read of tent, which was never written, and must return 0." in said


def test_what_a_judge_says_of_an_answer_is_not_followed_by_the_judges_own_source() -> None:
    said = str(check(RELEASE, answers.release_and_return_nothing))
    assert "release must return True or False, it returned None\nFound among" in said


def test_an_answer_that_cannot_be_called_as_asked_is_shown_how_it_is_called() -> None:
    assert "the exercise does:  stock = store(" in str(check(STORE, answers.release_by_script))


def test_the_line_of_the_reader_keeps_its_colon() -> None:
    assert "async with locks.hold(*sorted(set(skus))):\n" in str(check(CART, answers.cart_of_several_keys))


def test_the_picture_of_a_deadlock_shows_who_wanted_what() -> None:
    for wrong in (answers.cart_in_the_order_given, answers.cart_gathered):
        figure = caught(CART, wrong).figure()
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
        (answers.UnfencedStore, "the older token was accepted: a write with token 9, when tent had seen 10"),
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


def caught(exercise: str, wrong: Any) -> Result:
    result = check(exercise, wrong)
    assert result.run is not None
    return result


@pytest.mark.parametrize(
    ("exercise", "wrong", "names"),
    [
        (RELEASE, answers.release_in_two_trips, {"release_race": release_race}),
        (STORE, answers.UnfencedStore, {"last_stove": last_stove}),
        (STORE, answers.Lowers, {"two_keys": two_keys}),
        (CART, answers.cart_in_the_order_given, {"carts": carts}),
    ],
)
def test_the_printed_call_repeats_the_failing_run_and_its_picture_is_whole(
    exercise: str, wrong: Any, names: dict[str, Any]
) -> None:
    result = caught(exercise, wrong)
    assert result.run is not None and result.run.call() in str(result)
    again = eval(result.run.call(), {**vars(world), **names, "run": run, wrong.__name__: wrong})
    assert again.history == result.run.history
    figure = result.figure()
    assert figure is not None and "left out" not in figure.table() and "… and" not in figure.table()


def test_the_third_holder_is_seen_beside_the_second() -> None:
    figure = caught(RELEASE, answers.release_in_two_trips).figure()
    assert figure is not None
    assert "both believe they hold lock:stove" in figure.table() and "DEL lock:stove" in figure.table()


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
def test_a_safe_release_is_never_blamed_for_what_could_have_been_right(seed: int | None, faults: list[Any]) -> None:
    made = run(release_race, seed=seed, faults=faults, args={"release": answers.release_by_script})
    assert SAFE.check(made) and TRUE.check(made)


@pytest.mark.parametrize("at", [0.0, 0.0035, 0.2, 0.31, 1.1])
@pytest.mark.parametrize("for_", [0.7, 1.1, 3.0])
@pytest.mark.parametrize("node", ["anna", "ben", "stock"])
def test_a_fenced_store_sells_the_stove_once_whoever_is_paused(node: str, at: float, for_: float) -> None:
    made = run(last_stove, faults=[world.Pause(node, at=at, for_=for_)], args={"store": answers.FencedStore, "delivery": 8})
    assert len(made.history.of("sold")) == 1
    assert ONE_SALE.check(made) and NO_LATE_READ.check(made)


def test_a_stale_read_alone_does_no_harm_but_is_not_what_was_asked() -> None:
    made = run(last_stove, args={"store": answers.NotedButAnswered, "delivery": 8})
    assert ONE_SALE.check(made) and not NO_LATE_READ.check(made)


def test_carts_in_opposite_order_are_both_sold_in_a_fraction_of_the_wait() -> None:
    orders = (("stove", "tent"), ("tent", "stove"), ("stove", "stove"))
    made = run(carts, args={"hold_cart": answers.cart_on_a_stack, "carts": orders, "declined": None, "counted": None})
    assert WHOLE_CARTS.check(made) and len(made.history.of("sold")) == 3
    assert made.seconds < 1.0  # virtual


def test_a_cart_whose_item_is_being_counted_is_given_up_and_leaves_nothing_locked() -> None:
    args = {"hold_cart": answers.cart_on_a_stack, "carts": (("stove", "tent"),), "declined": None, "counted": "tent"}
    made = run(carts, args=args)
    assert WHOLE_CARTS.check(made)
    assert [event.kind for event in made.history.events if event.node == "anna"] == ["wants", "wants", "gave up"]
