"""A definition that exists is sound; a wrong one says which step and which field."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from labkit.base.retry import Retry
from labkit.inventory.errors import OutOfStock
from labkit.sagas.definition import Context, SagaDefinition, Step


async def act(context: Context) -> None:
    return None


def step(name: str, kind: Any = "compensatable", **options: Any) -> Step:
    return Step(name, act, kind=kind, **options)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: step(""), "name of a step must be 1 to 64 characters without a colon, got ''"),
        (lambda: step("a:b"), "without a colon, got 'a:b'"),
        (
            lambda: step("a", kind="final"),
            "kind of step 'a' must be one of compensatable, pivot, retriable, got 'final'",
        ),
        (
            lambda: step("a", timeout=0),
            "timeout of step 'a' must be more than 0 seconds and finite, got 0",
        ),
        (
            lambda: step("a", timeout=math.inf),
            "timeout of step 'a' must be more than 0 seconds and finite, got inf",
        ),
        (lambda: Step("a", None), "action of step 'a' must be an async function, got None"),  # type: ignore[arg-type]
        (
            lambda: step("a", compensation="undo"),
            "compensation of step 'a' must be an async function, got 'undo'",
        ),
        (
            lambda: step("a", kind="retriable", compensation=act),
            "compensation of step 'a' must be None",
        ),
        (lambda: step("a", group="g", local=True), "step 'a' cannot be in group 'g': it is local"),
        (
            lambda: step("a", kind="pivot", group="g"),
            "step 'a' cannot be in group 'g': it is the pivot",
        ),
        (
            lambda: SagaDefinition("", 1, (step("a"),)),
            "name of a saga must be 1 to 64 characters, got ''",
        ),
        (
            lambda: SagaDefinition("s", 0, (step("a"),)),
            "version of 's' must be a whole number of at least 1, got 0",
        ),
        (lambda: SagaDefinition("s", 1, ()), "steps of 's' must be at least one"),
        (
            lambda: SagaDefinition("s", 1, (step("a"), step("a"))),
            "names of steps must be unique, got 'a' twice",
        ),
        (
            lambda: SagaDefinition("s", 1, (step("a", "pivot"), step("b", "pivot"))),
            "at most one pivot",
        ),
        (
            lambda: SagaDefinition("s", 1, (step("a", "pivot"), step("b"))),
            "got a: pivot, b: compensatable",
        ),
        (
            lambda: SagaDefinition("s", 1, (step("a"), step("b", "retriable"))),
            "got a: compensatable, b: retriable",
        ),
        (
            lambda: SagaDefinition("s", 1, (step("a", group="g"), step("b"), step("c", group="g"))),
            "steps of a group must be neighbours of one kind, got group 'g' in two places",
        ),
        (
            lambda: SagaDefinition(
                "s",
                1,
                (step("a", group="g"), step("p", "pivot"), step("b", "retriable", group="g")),
            ),
            "got group 'g' in two places",
        ),
    ],
)
def test_what_is_wrong_is_named(make: Any, says: str) -> None:
    with pytest.raises(ValueError) as wrong:
        make()
    assert says in str(wrong.value)


def test_steps_of_one_group_are_one_batch() -> None:
    made = SagaDefinition(
        "s",
        1,
        (step("a"), step("b", group="g"), step("c", group="g"), step("d"), step("e", group="h")),
    )
    assert [[each.name for each in batch] for batch in made.batches] == [
        ["a"],
        ["b", "c"],
        ["d"],
        ["e"],
    ]
    assert repr(made) == "<saga s version 1: a, b, c, d, e>"


def test_a_compensation_is_called_by_its_function_s_name() -> None:
    assert Step("pay", act, compensation=act).undo_name == "act"


def test_waits_grow_to_their_limit_and_jitter_only_shortens_them() -> None:
    retry = Retry(first=0.1, factor=2.0, most=1.0, jitter=0.0)
    waits = [retry.wait(attempt, random.Random(0)) for attempt in (1, 2, 3, 4, 5, 2000)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    for jitter in (0.25, 1.0):
        rng, spread = random.Random(1), Retry(first=1.0, jitter=jitter)
        drawn = [spread.wait(1, rng) for _ in range(200)]
        assert 1.0 - jitter <= min(drawn) < 1.05 - jitter and 0.95 < max(drawn) <= 1.0


def test_it_gives_up_after_its_attempts_or_at_a_definite_no() -> None:
    busy = ConnectionError("busy")
    assert [Retry(attempts=3).gives_up(attempt, busy) for attempt in (1, 2, 3)] == [
        False,
        False,
        True,
    ]
    assert Retry().gives_up(1, OutOfStock("tent", 1, 0))
    assert not Retry(attempts=math.inf).gives_up(10**6, busy)
    assert Retry(never=(ConnectionError,)).gives_up(1, busy)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attempts": 0}, "attempts must be a whole number of at least 1, or math.inf, got 0"),
        ({"attempts": 1.5}, "attempts must be a whole number"),
        ({"attempts": math.nan}, "attempts must be a whole number"),
        ({"first": -1.0}, "first must be at least 0 and finite, got -1.0"),
        ({"factor": 0.5}, "factor must be at least 1 and finite, got 0.5"),
        ({"most": math.inf}, "most must be at least 0 and finite, got inf"),
        ({"jitter": 1.5}, "jitter must be from 0 to 1, got 1.5"),
    ],
)
def test_a_wrong_policy_is_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace(".", r"\.")):
        Retry(**options)  # type: ignore[arg-type]
