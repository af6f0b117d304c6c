"""What a linearizability verdict says, and what it takes into account."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.check import (
    cas_register,
    check,
    counter,
    key_value_store,
    linearizable,
    mutex,
    register,
    stock,
)
from labkit.world import History, Operation, Outcome, Run
from tests.check.histories import MODELS, draw_history


def op(
    process: str, name: str, argument: object, result: object, called: int, returned: int | None
) -> Operation:
    outcome: Outcome = "ok" if returned is not None else "unknown"
    return Operation(process, name, argument, result, called, returned, outcome)


def test_a_history_without_calls_holds_and_says_that_there_are_none() -> None:
    told = "HOLDS: linearizable as a register (there are no calls)"
    assert repr(check([], register())) == told
    assert (
        repr(check([replace(op("a", "write", 1, None, 1, 2), outcome="failed")], register()))
        == told
    )


def test_it_is_an_invariant_of_runs_on_the_operations_of_the_given_names() -> None:
    history = History()
    history.operations += [
        op("a", "sell", 1, True, 1, 4),
        op("a", "acquire", None, True, 2, 3),
        op("b", "acquire", None, True, 5, 6),
    ]
    run = Run("scenario", None, history)
    assert linearizable(mutex(), "acquire", "release").check(run).status == "broken"
    assert linearizable(stock(1), "sell").check(run)
    with pytest.raises(ValueError, match="name must be one of read, sell"):
        linearizable(stock(1)).check(run)


def test_a_read_that_overlaps_a_write_may_see_the_old_value_or_the_new_one() -> None:
    for seen in (0, 1):
        assert check(
            [op("a", "write", 1, None, 1, 4), op("b", "read", None, seen, 2, 3)], register(0)
        )


def test_a_read_after_a_write_must_see_it() -> None:
    assert (
        check([op("a", "write", 1, None, 1, 2), op("b", "read", None, 0, 3, 4)], register(0)).status
        == "broken"
    )


def test_two_reads_one_after_the_other_must_not_go_back_in_time() -> None:
    write = op("a", "write", 1, None, 1, 10)
    assert check(
        [write, op("b", "read", None, 0, 2, 3), op("b", "read", None, 1, 4, 5)], register(0)
    )
    assert (
        check(
            [write, op("b", "read", None, 1, 2, 3), op("b", "read", None, 0, 4, 5)], register(0)
        ).status
        == "broken"
    )


def test_a_write_without_an_answer_may_take_effect_long_after_or_never() -> None:
    write = op("a", "write", 1, None, 1, None)
    before, after = op("b", "read", None, 0, 10, 11), op("b", "read", None, 1, 20, 21)
    assert check([write, before], register(0))
    assert check([write, before, after], register(0))
    assert (
        check([write, replace(before, result=1), replace(after, result=0)], register(0)).status
        == "broken"
    )


def test_a_write_without_an_answer_cannot_take_effect_before_it_was_called() -> None:
    assert (
        check(
            [op("b", "read", None, 1, 1, 2), op("a", "write", 1, None, 3, None)], register(0)
        ).status
        == "broken"
    )


def test_a_result_recorded_for_a_call_without_an_answer_is_ignored() -> None:
    assert check([op("a", "add", 1, 99, 1, None), op("b", "read", None, 1, 3, 4)], counter())


def test_a_failed_write_did_not_happen() -> None:
    failed = replace(op("a", "write", 1, None, 1, 2), outcome="failed")
    assert check([failed, op("b", "read", None, 0, 3, 4)], register(0))
    assert check([failed, op("b", "read", None, 1, 3, 4)], register(0)).status == "broken"


def test_calls_at_the_same_position_count_as_concurrent() -> None:
    assert check([op("a", "write", 1, None, 1, 2), op("b", "read", None, 0, 2, 3)], register(0))


def test_a_lease_that_ran_out_under_its_holder_is_told_as_two_holders() -> None:
    history = [
        op("a", "acquire", None, True, 1, 2),
        op("b", "acquire", None, True, 3, 4),
        op("a", "release", None, False, 5, 6),
        op("b", "release", None, True, 7, 8),
    ]
    assert repr(check(history, mutex())) == (
        "BROKEN: linearizable as a mutex\n"
        "  No order places more than 1 of 4 calls. One that gets so far:\n"
        "    1  a: acquire() → True  then a holds the lock\n"
        "  Next must come this, and it does not fit:\n"
        "    b: acquire() → True  could not be placed: a holds the lock\n"
        "  Called only after b: acquire() → True had returned: a: release() → False, "
        "b: release() → True.\n"
        "  Every order was tried (2 states)."
    )


def test_the_last_unit_sold_twice_is_told_with_the_stock_that_was_left() -> None:
    verdict = check(
        [
            op("a", "sell", 1, True, 1, 4),
            op("b", "sell", 1, True, 2, 3),
            op("c", "read", None, 0, 5, 6),
        ],
        stock(1),
    )
    assert "b: sell(1) → True  then 0 left in stock" in verdict.evidence
    assert "a: sell(1) → True  could not be placed: 0 left in stock" in verdict.evidence


def test_when_several_calls_could_come_next_each_is_told() -> None:
    history = [
        op("a", "cas", (1, 2), True, 1, 4),
        op("b", "read", None, 7, 2, 3),
        op("c", "write", 5, None, 3, None),
    ]
    evidence = check(history, cas_register(0)).evidence
    assert "No call can come first.\nNext must come one of these, and none fits:" in evidence
    assert "b: read() → 7        could not be placed: the value is 0" in evidence
    assert "a: cas(1, 2) → True  could not be placed: the value is 0" in evidence
    assert "With lost answers, and no help wherever they are placed: c: write(5) → ?." in evidence


def test_a_history_that_holds_is_told_with_one_valid_order() -> None:
    verdict = check([op("a", "write", 1, None, 1, 4), op("b", "read", None, 0, 2, 3)], register(0))
    assert (
        repr(verdict)
        == "HOLDS: linearizable as a register (one valid order: b: read() → 0, a: write(1))"
    )


def test_a_long_order_is_cut_short_in_the_text_and_whole_in_the_data() -> None:
    history = [op("a", "add", 1, number, 2 * number, 2 * number + 1) for number in range(1, 31)]
    held, broken = (
        check(history, counter()),
        check([*history, op("b", "read", None, 7, 98, 99)], counter()),
    )
    assert held.evidence.endswith("… and 22 more") and len(held.data[0].order) == 30
    assert (
        "… 22 calls before" in broken.evidence
        and "30  a: add(1) → 30  then the counter is at 30" in broken.evidence
    )


def test_the_keys_of_a_store_are_checked_each_by_itself_and_the_broken_one_is_named() -> None:
    puts = [op(f"p{n}", "put", (f"k{n}", n), None, n, 100 + n) for n in range(40)]
    verdict = check([*puts, op("r", "get", "k7", None, 300, 301)], key_value_store())
    assert verdict.status == "broken" and verdict.evidence.startswith(
        "At 'k7': no order places more than 1 of 2 calls."
    )
    assert [search.key for search in verdict.data] == ["k7"]


def test_of_many_keys_the_text_tells_the_first_few() -> None:
    verdict = check(
        [op("a", "put", (f"k{n:02}", n), None, n, 100 + n) for n in range(20)], key_value_store()
    )
    assert len(verdict.data) == 20
    assert verdict.evidence.splitlines()[-2:] == [
        "at 'k07': one valid order: a: put('k07', 7)",
        "… and 12 more keys",
    ]


def hard() -> list[Operation]:
    """Fourteen writes at once and one impossible read: a hundred thousand sets of calls and states
    to look at.
    """
    writes = [op(f"p{n}", "write", n, None, n, 100 + n) for n in range(14)]
    return [*writes, op("r", "read", None, "never", 200, 201)]


def test_a_search_that_runs_out_of_budget_is_unknown_and_says_how_much_it_searched() -> None:
    verdict = check(hard(), register(0), budget=5_000)
    assert verdict.status == "unknown" and not verdict
    assert (
        "Undecided after 5,001 states" in verdict.evidence
        and "places 14 of 15 calls" in verdict.evidence
    )


def test_a_broken_key_decides_even_when_another_key_is_beyond_the_budget() -> None:
    hard_key = [op(f"p{n}", "put", ("x", n), None, n, 100 + n) for n in range(14)]
    history = [
        *hard_key,
        op("r", "get", "x", "never", 200, 201),
        op("r", "get", "y", "never", 202, 203),
    ]
    verdict = check(history, key_value_store(), budget=1_000)
    assert verdict.status == "broken" and verdict.data[0].key == "y"


def test_when_one_key_is_beyond_the_budget_the_text_is_about_that_key() -> None:
    hard_key = [op(f"p{n}", "put", ("x", n), None, n, 100 + n) for n in range(14)]
    history = [op("r", "get", "a", None, 1, 2), *hard_key, op("r", "get", "x", "never", 200, 201)]
    verdict = check(history, key_value_store(), budget=1_000)
    assert verdict.status == "unknown" and verdict.evidence.startswith(
        "At 'x': undecided after 1,000 states"
    )
    assert [search.status for search in verdict.data] == ["holds", "unknown"]


def test_a_read_of_none_is_told_and_the_none_of_a_write_is_not() -> None:
    verdict = check(
        [op("a", "read", None, None, 1, 2), op("a", "write", 1, None, 3, 4)], register()
    )
    assert verdict.evidence == "one valid order: a: read() → None, a: write(1)"


def test_a_store_of_many_keys_has_one_budget() -> None:
    history = [op(f"p{k}{n}", "put", (k, n), None, n, 100 + n) for k in "xyz" for n in range(14)]
    reads = [op("r", "get", k, "never", 200, 201) for k in "xyz"]
    assert (
        sum(
            search.states
            for search in check([*history, *reads], key_value_store(), budget=1_000).data
        )
        < 1_100
    )


def test_lost_answers_of_calls_that_do_the_same_cost_little() -> None:
    lost = [op(f"p{n}", "add", 1, None, n, None) for n in range(40)]
    verdict = check([*lost, op("r", "read", None, 41, 100, 101)], counter(), budget=100)
    assert verdict.status == "broken"


def test_concurrent_reads_cost_nothing() -> None:
    reads = [op(f"p{n}", "read", None, 0, n, 100 + n) for n in range(60)]
    assert (
        check([*reads, op("r", "read", None, 5, 200, 201)], register(0), budget=5).status
        == "broken"
    )


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        (
            op("a", "incr", 1, 1, 1, 2),
            "a's incr, called at 1: name must be one of read, add for a counter",
        ),
        (op("a", "add", [1], 1, 1, 2), r"argument must be hashable .*, got \[1\]"),
        (
            op("a", "add", 1, 1, 5, 4),
            "returned must be a later position when the outcome is ok, got 4",
        ),
        (
            Operation("a", "add", 1, 1, 5, None, "ok"),
            "returned must be a later position when the outcome is ok, got None",
        ),
    ],
)
def test_a_history_that_makes_no_sense_is_refused_with_the_reason(
    operation: Operation, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        check([operation], counter())


def test_a_budget_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="budget must be at least 1 state, got 0"):
        check([], register(), budget=0)


@given(st.randoms(use_true_random=False), st.sampled_from(sorted(MODELS)), st.integers(0, 2))
def test_the_verdict_and_its_text_do_not_depend_on_how_the_history_is_sorted(
    rng: random.Random, kind: str, falsified: int
) -> None:
    operations = draw_history(rng, kind, calls=10, processes=3, falsified=falsified)
    by_call = sorted(operations, key=lambda call: call.called)
    assert check(operations, MODELS[kind]).status == check(by_call, MODELS[kind]).status


@given(st.randoms(use_true_random=False), st.sampled_from(sorted(MODELS)), st.integers(0, 20))
def test_what_happened_before_a_moment_holds_when_the_whole_does(
    rng: random.Random, kind: str, moment: int
) -> None:
    operations = draw_history(rng, kind, calls=10, processes=3)
    cut = [
        call
        if call.returned is not None and call.returned <= moment
        else replace(call, returned=None, outcome="unknown")
        for call in operations
        if call.called <= moment and call.outcome != "failed"
    ]
    assert check(operations, MODELS[kind])
    assert check(cut, MODELS[kind])
