"""What readers hand in for the exercises of lesson 1.2b: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from labkit.lessons.l1_2b.clear_answers import CHARGED, REFUSALS, Answer, clear_answers
from labkit.lessons.l1_2b.going_back import DoneStep, going_back
from tests.lessons.handed_in import Exercise

Done = list[tuple[DoneStep, Any]]

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
        except Exception:
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


async def compensate_what_is_down(done: Done) -> list[str]:
    """Other errors than a desk that cannot be reached stop it."""

    left: list[str] = []
    for step, result in reversed(done):
        try:
            await step.undo(result)
        except ConnectionError:
            left.append(step.name)
    return left


async def compensate_down_or_late(done: Done) -> list[str]:
    """Two types of errors, and there are others."""

    left: list[str] = []
    for step, result in reversed(done):
        try:
            await step.undo(result)
        except (ConnectionError, TimeoutError):
            left.append(step.name)
    return left


async def compensate_what_returned_something(done: Done) -> list[str]:
    left: list[str] = []
    for step, result in reversed(done):
        try:
            if result:
                await step.undo(result)
        except Exception:
            left.append(step.name)
    return left


async def compensate_with_something(done: Done) -> list[str]:
    left: list[str] = []
    for step, result in reversed(done):
        try:
            await step.undo(result or {})
        except Exception:
            left.append(step.name)
    return left


async def compensate_each_name_once(done: Done) -> list[str]:
    left: list[str] = []
    for step, result in reversed([*{step.name: (step, result) for step, result in done}.values()]):
        try:
            await step.undo(result)
        except Exception:
            left.append(step.name)
    return left


async def compensate_with_results_by_name(done: Done) -> list[str]:
    left: list[str] = []
    results = {step.name: result for step, result in done}
    for step, _ in reversed(done):
        try:
            await step.undo(results[step.name])
        except Exception:
            left.append(step.name)
    return left


async def compensate_saying_each_name_once(done: Done) -> list[str]:
    left: list[str] = []
    for step, result in reversed(done):
        try:
            await step.undo(result)
        except Exception:
            if step.name not in left:
                left.append(step.name)
    return left


async def compensate_without_await(done: Done) -> list[str]:
    for step, result in reversed(done):
        step.undo(result)  # type: ignore[unused-coroutine]  # without await
    return []


async def compensate_and_return_nothing(done: Done) -> Any:
    await compensate_in_reverse(done)


async def compensate_a_step_without_its_result(done: Done) -> list[str]:
    for step in reversed(done):
        await step.undo()  # type: ignore[attr-defined]
    return []


# -- 1.2b-2: what does this answer say?


def _object(answer: Answer) -> dict[str, Any]:
    """The body as an object, an empty one if it is none."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def read_stub(answer: Answer | None) -> str:
    raise NotImplementedError


def read_all_parts(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    body = _object(answer)
    if body.get("service") != "payments":
        return "unknown"
    kind = (answer.status, answer.content_type)
    if kind == (200, "application/json") and body.get("charged") is True:
        return "yes"
    refused = body.get("outcome") == "refused"
    if answer.status in (404, 409) and answer.content_type.endswith("problem+json") and refused:
        return "no"
    return "unknown"


def read_by_pattern(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    match answer.status, _object(answer):
        case 200, {"service": "payments", "charged": True}:
            return "yes"
        case 404 | 409, {"service": "payments", "outcome": "refused"}:
            return "no"
    return "unknown"


def read_against_a_list(answer: Answer | None) -> str:
    """Right for these documented answers, and for no other way to write them."""
    if answer == CHARGED:
        return "yes"
    return "no" if answer in REFUSALS.values() else "unknown"


def read_status(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    return {200: "yes", 404: "no", 409: "no"}.get(answer.status, "unknown")


def read_class_of_status(answer: Answer | None) -> str:
    if answer is None or answer.status >= 500:
        return "unknown"
    return "yes" if answer.status < 300 else "no"


def read_everything_else_as_no(answer: Answer | None) -> str:
    return "yes" if answer and read_all_parts(answer) == "yes" else "no"


def read_silence_as_no(answer: Answer | None) -> str:
    return "no" if answer is None else read_all_parts(answer)


def read_a_404_as_no(answer: Answer | None) -> str:
    return "no" if answer and answer.status == 404 else read_all_parts(answer)


def read_a_409_as_no(answer: Answer | None) -> str:
    return "no" if answer and answer.status == 409 else read_all_parts(answer)


def read_content_type(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    meanings = {"application/json": "yes", "application/problem+json": "no"}
    return meanings.get(answer.content_type, "unknown")


def read_any_service(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    body = _object(answer)
    if answer.status == 200 and body.get("charged") is True:
        return "yes"
    return "no" if body.get("outcome") == "refused" else "unknown"


def read_words(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    if "payments" in answer.body and "charged" in answer.body:
        return "yes"
    return "no" if "payments" in answer.body and "refused" in answer.body else "unknown"


def read_parts_of_the_text(answer: Answer | None) -> str:
    if answer is None or '"service": "payments"' not in answer.body:
        return "unknown"
    if '"charged": true' in answer.body:
        return "yes"
    return "no" if '"outcome": "refused"' in answer.body else "unknown"


def read_a_name_that_begins_so(answer: Answer | None) -> str:
    if answer and str(_object(answer).get("service")).startswith("payments"):
        outcome = _object(answer).get("outcome")
        return "no" if outcome == "refused" else read_all_parts(answer)
    return "unknown"


def read_that_charged_is_not_false(answer: Answer | None) -> str:
    if answer and _object(answer).get("service") == "payments" and _object(answer).get("charged"):
        return "yes"
    return read_all_parts(answer)


def read_that_charged_is_there(answer: Answer | None) -> str:
    if answer and answer.status == 200 and "charged" in _object(answer):
        return "yes" if _object(answer)["service"] == "payments" else "unknown"
    return read_all_parts(answer)


def read_200_of_payments(answer: Answer | None) -> str:
    if answer and answer.status == 200 and _object(answer).get("service") == "payments":
        return "yes"
    return read_all_parts(answer)


def read_any_outcome_of_payments(answer: Answer | None) -> str:
    if answer and "outcome" in _object(answer):
        return "no" if _object(answer).get("service") == "payments" else "unknown"
    return read_all_parts(answer)


def read_server_errors_as_no(answer: Answer | None) -> str:
    return "no" if answer and answer.status >= 500 else read_all_parts(answer)


def read_refusals_with_409_only(answer: Answer | None) -> str:
    said = read_all_parts(answer)
    return "unknown" if said == "no" and answer and answer.status == 404 else said


def read_nothing(answer: Answer | None) -> str:
    return "unknown"


def read_yes_only(answer: Answer | None) -> str:
    return "yes" if read_all_parts(answer) == "yes" else "unknown"


def read_without_a_net(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    body = json.loads(answer.body)
    return "yes" if body.get("charged") and body["service"] == "payments" else "unknown"


def read_no_answer_as_one(answer: Answer) -> str:
    return "unknown" if answer.status >= 500 else read_all_parts(answer)


def read_and_say_true(answer: Answer | None) -> Any:
    return read_all_parts(answer) == "yes"


async def read_later(answer: Answer | None) -> str:
    return read_all_parts(answer)


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
        forgetful={compensate_without_await: "DoneStep.undo"},
        wrong={
            compensate_forwards: (
                "payments, stock were done in this order, and undone as payments, stock"
            ),
            compensate_until_one_fails: (
                "stock was done twice, and undone once: payments was down, and "
                "compensate stopped there"
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
            compensate_what_is_down: "stock is down, and compensate raised that",
            compensate_down_or_late: "stock is down, and compensate raised that",
            compensate_what_returned_something: "stock was done, and never undone",
            compensate_with_something: "stock was undone with {}, and not with what it had",
            compensate_each_name_once: "stock was done twice, and undone once",
            compensate_with_results_by_name: "stock was undone 2 times",
            compensate_saying_each_name_once: "stock, stock could not be undone, and compensate",
            compensate_catching_everything: (
                "compensate was cancelled while it waited for stock, and took that for "
                "a failure of the step"
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
    Exercise(
        "1.2b-2",
        scenarios=(clear_answers,),
        stub=read_stub,
        to_write="read_stub",
        right=(read_all_parts, read_by_pattern),
        right_too=(read_against_a_list,),
        wrong={
            read_status: "for a yes, and payments had not charged",
            read_class_of_status: "for a yes, and payments had not charged",
            read_everything_else_as_no: "for a no, and payments had charged",
            read_silence_as_no: "read took the answer nothing for a no, and payments had charged",
            read_a_404_as_no: "default backend - 404 for a no, and payments had charged",
            read_a_409_as_no: "for a no, and payments had charged",
            read_content_type: "for a yes, and payments had not charged",
            read_any_service: "for a yes, and payments had not charged",
            read_words: '["payments", "charged"] for a yes, and payments had not charged',
            read_parts_of_the_text: "for a no, and payments had charged",
            read_a_name_that_begins_so: "for a no, and payments had charged",
            read_that_charged_is_not_false: "for a yes, and payments had not charged",
            read_that_charged_is_there: "for a yes, and payments had not charged",
            read_200_of_payments: '"status": "up"} for a yes, and payments had not charged',
            read_any_outcome_of_payments: "for a no, and payments had charged",
            read_server_errors_as_no: "for a no, and payments had charged",
            read_refusals_with_409_only: "payments itself said 404",
            read_nothing: "payments itself said 409",
            read_yes_only: "payments itself said 4",
        },
        raising={
            read_without_a_net: "JSONDecodeError",
            read_no_answer_as_one: "AttributeError",
        },
        odd={
            read_and_say_true: 'read must return "yes", "no" or "unknown", got',
            read_later: "read must be a plain function, not an async one",
        },
    ),
)
