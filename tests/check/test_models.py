"""What each sequential model allows, one call after the other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from labkit.check import (
    Model,
    cas_register,
    check,
    counter,
    fenced_register,
    key_value_store,
    mutex,
    register,
    stock,
)
from labkit.world.history import Operation

Call = tuple[str, str, object, object]  # process, name, argument, result


def allowed(model: Model, *calls: Call) -> bool:
    """Whether the object may answer so when these calls come one after the other."""
    history = [Operation(*call, called=2 * n, returned=2 * n + 1) for n, call in enumerate(calls)]
    return bool(check(history, model))


def refused_at_the_last(model: Model, calls: Sequence[Call]) -> bool:
    """Whether all but the last of the calls are allowed, and the last is not."""
    return allowed(model, *calls[:-1]) and not allowed(model, *calls)


def test_a_register_reads_what_was_written_last() -> None:
    assert allowed(
        register(7), ("a", "read", None, 7), ("a", "write", 1, None), ("b", "read", None, 1)
    )
    assert refused_at_the_last(register(7), [("a", "write", 1, None), ("b", "read", None, 7)])


def test_a_register_may_hold_none() -> None:
    assert allowed(
        register(),
        ("a", "read", None, None),
        ("a", "write", 1, None),
        ("a", "write", None, None),
        ("a", "read", None, None),
    )


def test_compare_and_set_sets_only_what_was_expected_and_says_so() -> None:
    assert allowed(
        cas_register(0),
        ("a", "cas", (0, 1), True),
        ("b", "cas", (0, 2), False),
        ("a", "read", None, 1),
    )
    assert refused_at_the_last(
        cas_register(0), [("a", "cas", (0, 1), True), ("b", "cas", (0, 2), True)]
    )
    assert refused_at_the_last(cas_register(0), [("a", "cas", (0, 1), False)])


def test_a_compare_and_set_that_says_nothing_fits_nowhere() -> None:
    assert not allowed(cas_register(0), ("a", "cas", (0, 1), None))


def test_answers_of_redis_scripts_are_true_and_false_as_one_and_nought() -> None:
    assert allowed(
        cas_register(0), ("a", "cas", (0, 1), 1), ("b", "cas", (0, 2), 0), ("a", "read", None, 1)
    )


def test_a_write_that_answers_false_is_still_a_write() -> None:
    assert allowed(cas_register(0), ("a", "write", 1, False), ("a", "read", None, 1))


def test_a_mutex_is_held_by_one_process_at_a_time() -> None:
    assert allowed(
        mutex(),
        ("a", "acquire", None, True),
        ("a", "release", None, None),
        ("b", "acquire", None, 34),
    )
    assert refused_at_the_last(
        mutex(), [("a", "acquire", None, True), ("b", "acquire", None, True)]
    )
    assert refused_at_the_last(
        mutex(), [("a", "acquire", None, True), ("a", "acquire", None, True)]
    )


def test_a_mutex_is_released_by_its_holder_only() -> None:
    assert refused_at_the_last(
        mutex(), [("a", "acquire", None, True), ("b", "release", None, True)]
    )
    assert refused_at_the_last(mutex(), [("a", "release", None, None)])
    assert allowed(mutex(), ("a", "acquire", None, True), ("b", "release", None, False))
    assert refused_at_the_last(
        mutex(), [("a", "acquire", None, True), ("a", "release", None, False)]
    )


def test_a_mutex_may_refuse_at_any_time() -> None:
    assert allowed(
        mutex(),
        ("a", "acquire", None, False),
        ("a", "acquire", None, True),
        ("b", "acquire", None, False),
    )


def test_locks_of_different_names_are_different_locks() -> None:
    assert allowed(mutex(), ("a", "acquire", "x", True), ("b", "acquire", "y", True))
    assert refused_at_the_last(mutex(), [("a", "acquire", "x", True), ("b", "acquire", "x", True)])


def test_a_fenced_register_refuses_a_token_older_than_one_it_has_seen() -> None:
    assert allowed(
        fenced_register(),
        ("a", "write", (33, "x"), True),
        ("b", "write", (34, "y"), True),
        ("a", "write", (33, "z"), False),
    )
    assert refused_at_the_last(
        fenced_register(), [("b", "write", (34, "y"), True), ("a", "write", (33, "x"), True)]
    )
    assert refused_at_the_last(
        fenced_register(), [("b", "write", (33, "y"), True), ("a", "write", (34, "x"), False)]
    )


def test_a_fenced_register_takes_the_same_token_again_and_keeps_what_it_refused_out() -> None:
    writes: list[Call] = [
        ("a", "write", (34, "x"), True),
        ("a", "write", (34, "y"), True),
        ("b", "write", (33, "z"), False),
    ]
    assert allowed(fenced_register(), *writes, ("c", "read", None, "y"))
    assert refused_at_the_last(fenced_register(), [*writes, ("c", "read", None, "z")])


def test_a_counter_adds_one_or_n_and_answers_with_the_sum_or_nothing() -> None:
    assert allowed(
        counter(10),
        ("a", "add", None, 11),
        ("b", "add", 5, 16),
        ("a", "add", -6, None),
        ("a", "read", None, 10),
    )
    assert refused_at_the_last(counter(10), [("a", "add", 1, 11), ("b", "add", 1, 11)])


def test_a_stock_sells_only_what_it_has_and_refuses_only_what_it_has_not() -> None:
    assert allowed(
        stock(3),
        ("a", "sell", 2, True),
        ("b", "sell", 2, False),
        ("b", "sell", 1, True),
        ("c", "read", None, 0),
    )
    assert refused_at_the_last(stock(1), [("a", "sell", 1, True), ("b", "sell", 1, True)])
    assert refused_at_the_last(stock(1), [("a", "sell", 1, False)])


def test_a_store_keeps_a_value_for_each_key_and_none_for_a_missing_one() -> None:
    store = key_value_store({"x": 1})
    assert allowed(
        store,
        ("a", "get", "x", 1),
        ("a", "get", "y", None),
        ("a", "put", ("y", 2), None),
        ("a", "get", "x", 1),
    )
    assert allowed(
        store,
        ("a", "delete", "x", 1),
        ("a", "get", "x", None),
        ("a", "cas", ("x", None, 3), True),
        ("a", "get", "x", 3),
    )
    assert refused_at_the_last(store, [("a", "put", ("y", 2), None), ("a", "get", "x", 2)])
    assert refused_at_the_last(store, [("a", "cas", ("x", 2, 3), True)])


def test_a_store_is_not_changed_by_later_changes_to_what_it_started_from() -> None:
    start = {"x": 1}
    store = key_value_store(start)
    start["x"] = 2
    assert allowed(store, ("a", "get", "x", 1))


@pytest.mark.parametrize("model", [register(), mutex(), key_value_store()])
def test_a_model_prints_its_name_and_its_calls(model: Model) -> None:
    assert repr(model).startswith(f"<Model {model.name}: ") and "0x" not in repr(model)
