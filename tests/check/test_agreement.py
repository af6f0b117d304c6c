"""The checker against two oracles: every order tried by brute force, and detangle's checker on
larger histories.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from detangle import lin

from labkit.check import Verdict, check
from labkit.world.history import Operation
from tests.check import elsewhere
from tests.check.histories import MODELS, draw_history
from tests.check.sequential import explained, played


def small_histories(kind: str, count: int) -> Iterator[list[Operation]]:
    """Up to eight calls: true ones, some with lost answers, some with one or two falsified ones."""
    rng = random.Random(f"small {kind}")
    for _ in range(count):
        lost, falsified = rng.choice([0, 0.2, 0.5]), rng.randint(0, 2)
        yield draw_history(
            rng,
            kind,
            calls=rng.randint(2, 8),
            processes=rng.randint(2, 4),
            lost=lost,
            falsified=falsified,
        )


def in_time(order: Sequence[Operation]) -> bool:
    """No call of the order had returned before one that stands in front of it was made."""
    return all(
        later.outcome == "unknown" or later.returned > earlier.called  # type: ignore[operator]  # ok: it returned
        for number, earlier in enumerate(order)
        for later in order[number + 1 :]
    )


@pytest.mark.parametrize("kind", MODELS)
def test_it_agrees_with_every_order_tried_by_brute_force(kind: str) -> None:
    held = 0
    for operations in small_histories(kind, 2000):
        verdict, expected = check(operations, MODELS[kind]), explained(kind, operations)
        assert verdict.status == ("holds" if expected else "broken"), (operations, verdict)
        held += expected
    assert 0.2 < held / 2000 < 0.8, "both verdicts must occur in numbers"


@pytest.mark.parametrize("kind", MODELS)
def test_the_order_it_gives_explains_every_answer_and_respects_time(kind: str) -> None:
    for operations in small_histories(kind, 1000):
        verdict = check(operations, MODELS[kind])
        if verdict:
            order = [call for search in verdict.data for call in search.order]
            assert sum(call.outcome == "ok" for call in order) == sum(
                call.outcome == "ok" for call in operations
            )
            assert played(kind, order)
            assert all(in_time(search.order) for search in verdict.data)


@pytest.mark.parametrize("kind", MODELS)
def test_where_it_says_no_order_is_left_none_of_the_calls_it_names_can_follow(kind: str) -> None:
    for operations in small_histories(kind, 1000):
        verdict = check(operations, MODELS[kind])
        if verdict.status == "broken":
            (search,) = verdict.data
            assert search.stuck
            assert played(kind, search.order) and in_time(search.order)
            assert not any(played(kind, [*search.order, call]) for call in search.stuck)
            assert all(
                call.called > search.stuck[0].returned
                for call in search.left
                if call.outcome == "ok"
            )


@pytest.mark.parametrize("kind", elsewhere.MODELS)
@pytest.mark.parametrize(
    ("calls", "processes", "lost", "falsified"),
    [(30, 3, 0, 1), (50, 5, 0.1, 1), (300, 4, 0.02, 1), (40, 8, 0.2, 0)],
)
def test_it_agrees_with_detangle_on_larger_histories(
    kind: str, calls: int, processes: int, lost: float, falsified: int
) -> None:
    rng = random.Random(f"larger {kind} {calls}")
    for _ in range(25):
        drawn = draw_history(
            rng, kind, calls=calls, processes=processes, lost=lost, falsified=falsified
        )
        operations = elsewhere.comparable(kind, drawn)
        expected = lin.check(elsewhere.translated(operations), elsewhere.MODELS[kind]).ok
        assert check(operations, MODELS[kind]).status == ("holds" if expected else "broken")


def without_real_time(operations: Sequence[Operation]) -> list[Operation]:
    end = 2 * len(operations)
    return [
        replace(call, called=0, returned=end) if call.outcome == "ok" else replace(call, called=0)
        for call in operations
    ]


def with_unknown_as_done(operations: Sequence[Operation]) -> list[Operation]:
    end = 2 * len(operations)
    return [
        replace(call, outcome="ok", returned=end) if call.outcome == "unknown" else call
        for call in operations
    ]


def with_unknown_as_failed(operations: Sequence[Operation]) -> list[Operation]:
    return [
        replace(call, outcome="failed") if call.outcome == "unknown" else call
        for call in operations
    ]


def with_failed_as_unknown(operations: Sequence[Operation]) -> list[Operation]:
    return [
        replace(call, outcome="unknown") if call.outcome == "failed" else call
        for call in operations
    ]


MUTANTS: list[Callable[[Sequence[Operation]], list[Operation]]] = [
    without_real_time,
    with_unknown_as_done,
    with_unknown_as_failed,
    with_failed_as_unknown,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
@pytest.mark.parametrize("kind", MODELS)
def test_the_comparison_would_catch_a_checker_that_sees_the_history_wrongly(
    kind: str, mutant: Callable[..., list[Operation]]
) -> None:
    def wrong(operations: Sequence[Operation]) -> Verdict:
        return check(mutant(operations), MODELS[kind])

    assert any(
        bool(wrong(operations)) != explained(kind, operations)
        for operations in small_histories(kind, 1000)
    )
