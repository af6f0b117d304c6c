"""No judge hangs or crashes, whatever it is given: an endless loop, a sleep for ever, a wait for a
key, a missing `await`, a function that is not asynchronous, a class of the wrong shape.

Each is told as what it is, within the patience of `check`, and never as a pass. The quick profile
gives each judge two of them, the deep one all."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from labkit.course import check
from tests.lessons.handed_in import Exercise, exercises
from tests.support.depth import DEPTH

pytestmark = pytest.mark.usefixtures("kept")
EXERCISES = tuple(exercises())
SECONDS = 30.0  # twenty of patience, and a busy machine


def _what_happens(how: Callable[[], Any]) -> dict[str, Any]:
    """The answers that do this one thing: a coroutine function, and the methods of a class."""

    async def answer(*given: Any) -> Any:
        made = how()
        return await made if asyncio.iscoroutine(made) else made

    class Answer:
        def __init__(self, *given: Any) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return lambda *given: how()

    return {"function": answer, "class": Answer}


def _loop_for_ever() -> None:
    while True:
        pass


def _recursion() -> int:
    return 1 + _recursion()


async def _loop_awaiting() -> None:
    while True:
        await asyncio.sleep(0)


BAD: dict[str, Callable[[], Any]] = {
    "a sleep for ever": lambda: asyncio.sleep(10**9),
    "an event that nobody sets": lambda: asyncio.Event().wait(),
    "a loop that awaits": _loop_awaiting,
    "time.sleep": lambda: time.sleep(0.05),
    "input": lambda: input(),
    "sys.exit": lambda: sys.exit(3),
    "recursion": _recursion,
    "a syntax error": lambda: compile("x = (", "<reader>", "exec"),
    "an object of no use": object,
}


TRIED = BAD if DEPTH.anew else ("a sleep for ever", "sys.exit")


def _of(exercise: Exercise, how: Callable[[], Any]) -> Any:
    return _what_happens(how)["class" if isinstance(exercise.stub, type) else "function"]


@pytest.mark.search
@pytest.mark.parametrize("bad", TRIED)
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda it: it.id)
def test_a_judge_comes_back_and_does_not_pass_it(exercise: Exercise, bad: str) -> None:
    began = time.monotonic()
    result = check(exercise.id, _of(exercise, BAD[bad]), budget=3)
    assert result.status in ("failed", "error"), str(result)
    assert result.text.startswith(exercise.id)
    assert time.monotonic() - began < SECONDS


@pytest.mark.search
@pytest.mark.skipif(not DEPTH.anew, reason="each is stopped after 10 seconds of computing")
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda it: it.id)
def test_an_endless_loop_is_stopped(exercise: Exercise) -> None:
    began = time.monotonic()
    result = check(exercise.id, _of(exercise, _loop_for_ever), budget=1)
    assert result.status == "error" and "stopped" in result.text, str(result)
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda it: it.id)
def test_an_answer_that_forgets_to_be_asynchronous_or_is_no_answer_at_all(
    exercise: Exercise,
) -> None:
    unfit = (7, lambda *given: None, lambda *given: True, "answer", [], int)
    for answer in unfit if DEPTH.anew else unfit[:1]:
        result = check(exercise.id, answer, budget=2)
        assert result.status in ("failed", "error"), f"{answer!r}: {result}"


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        pytest.param(it, answer, id=f"{it.id}-{answer.__name__}")
        for it in EXERCISES
        for answer in it.forgetful
    ],
)
def test_a_missing_await_is_told_with_the_line(
    exercise: Exercise, answer: Any, recwarn: pytest.WarningsRecorder
) -> None:
    result = check(exercise.id, answer)
    assert result.status in ("failed", "error"), str(result)
    *_, asked, line = str(result).splitlines()
    called = exercise.forgetful[answer]
    assert asked == f"Is an `await` missing? Your code calls {called}, and nobody awaits it:"
    assert line.strip().startswith("line ") and "# without await" in line
    assert not recwarn.list
