"""What readers hand in for the exercises of lesson 1.2b: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from labkit.lessons.l1_2b.going_back import DoneStep, going_back
from tests.lessons.handed_in import Exercise

Done = list[tuple[DoneStep, dict[str, Any]]]

# -- 1.2b-1: compensate in reverse


async def compensate_stub(done: Done) -> list[str]:
    raise NotImplementedError


async def compensate_in_reverse(done: Done) -> list[str]:
    left = []
    for step, result in reversed(done):
        try:
            await step.undo(result)
        except Exception:
            left.append(step.name)
    return left


async def compensate_by_popping(done: Done) -> list[str]:
    left = []
    while done:
        step, result = done.pop()
        try:
            await step.undo(result)
        except ConnectionError:
            left += [step.name]
    return left


async def compensate_forwards(done: Done) -> list[str]:
    left = []
    for step, result in done:
        try:
            await step.undo(result)
        except Exception:
            left.append(step.name)
    return left


async def compensate_until_one_fails(done: Done) -> list[str]:
    try:
        for step, result in reversed(done):
            await step.undo(result)
    except Exception:
        return [step.name]
    return []


async def compensate_and_let_it_out(done: Done) -> list[str]:
    for step, result in reversed(done):
        await step.undo(result)
    return []


async def compensate_and_keep_quiet(done: Done) -> list[str]:
    for step, result in reversed(done):
        with suppress(Exception):
            await step.undo(result)
    return []


async def compensate_with_the_last_result(done: Done) -> list[str]:
    left = []
    for step, _ in reversed(done):
        try:
            await step.undo(done[-1][1])
        except Exception:
            left.append(step.name)
    return left


async def compensate_all_at_once(done: Done) -> list[str]:
    outcomes = await asyncio.gather(
        *[step.undo(result) for step, result in reversed(done)], return_exceptions=True
    )
    return [
        step.name
        for (step, _), outcome in zip(reversed(done), outcomes, strict=True)
        if outcome is not None
    ]


async def compensate_a_failure_twice(done: Done) -> list[str]:
    left = []
    for step, result in reversed(done):
        try:
            await step.undo(result)
        except Exception:
            with suppress(Exception):
                await step.undo(result)
            left.append(step.name)
    return left


async def compensate_catching_everything(done: Done) -> list[str]:
    left = []
    for step, result in reversed(done):
        try:
            await step.undo(result)
        except BaseException:
            left.append(step.name)
    return left


async def compensate_and_return_nothing(done: Done) -> Any:
    await compensate_in_reverse(done)


async def compensate_a_step_without_its_result(done: Done) -> list[str]:
    for step in reversed(done):
        await step.undo()  # type: ignore[attr-defined]
    return []


EXERCISES = (
    Exercise(
        "1.2b-1",
        scenarios=(going_back,),
        stub=compensate_stub,
        to_write="compensate_stub",
        right=(
            compensate_in_reverse,
            compensate_by_popping,
        ),
        wrong={
            compensate_forwards: (
                "payments, stock were done in this order, and undone as payments, stock"
            ),
            compensate_until_one_fails: (
                "payments was done, and never undone: stock was down, and compensate stopped"
            ),
            compensate_and_let_it_out: (
                "payments is down, and compensate raised that instead of returning"
            ),
            compensate_and_keep_quiet: "payments could not be undone, and compensate returned []",
            compensate_with_the_last_result: (
                "payments was undone with the result of stock, and not with what it had"
            ),
            compensate_all_at_once: "payments was undone before stock had answered",
            compensate_a_failure_twice: "payments was undone 2 times",
            compensate_catching_everything: (
                "compensate was cancelled while it waited for payments, and took that for"
            ),
        },
        raising={
            compensate_a_step_without_its_result: "AttributeError",
        },
        odd={
            compensate_and_return_nothing: (
                "compensate must return a list of the names of steps, it returned None"
            ),
        },
    ),
)
