"""What readers hand in for the exercises of lesson 1.2a: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from labkit.base import Refused
from labkit.lessons.l1_2a.taken_up import Log, LogStep, taken_up
from labkit.lessons.l1_2a.unanswered import DeskStep, unanswered
from tests.lessons.handed_in import Exercise

# -- 1.2a-1: compensate the unknown


async def _until_answered(call: Any) -> None:
    while True:
        try:
            return await call()  # type: ignore[no-any-return]
        except TimeoutError:
            continue


async def place_stub(steps: Sequence[DeskStep]) -> str:
    raise NotImplementedError


async def place_started_or_done(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        for step in reversed(asked):
            await _until_answered(step.undo)
        return "cancelled"


async def place_asking_again(steps: Sequence[DeskStep]) -> str:
    """Another right way: ask until every outcome is known."""
    for number, step in enumerate(steps):
        try:
            await _until_answered(step.do)
        except Refused:
            for done in reversed(steps[:number]):
                await _until_answered(done.undo)
            return "cancelled"
    return "placed"


async def place_undoing_what_finished(steps: Sequence[DeskStep]) -> str:
    done: list[DeskStep] = []
    try:
        for step in steps:
            await step.do()
            done.append(step)
        return "placed"
    except (Refused, TimeoutError):
        for step in reversed(done):
            await _until_answered(step.undo)
        return "cancelled"


async def place_undoing_once(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        for step in reversed(asked):
            with suppress(TimeoutError):
                await step.undo()
        return "cancelled"


async def place_undoing_ten_times_at_most(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        for step in reversed(asked):
            for _ in range(10):
                with suppress(TimeoutError):
                    await step.undo()
                    break
                await asyncio.sleep(0.1)
        return "cancelled"


async def place_undoing_in_rounds(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        while asked:
            unanswered: list[DeskStep] = []
            for step in reversed(asked):
                try:
                    await step.undo()
                except TimeoutError:
                    unanswered.insert(0, step)
            asked = unanswered
        return "cancelled"


async def place_letting_the_undo_raise(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        for step in reversed(asked):
            await step.undo()
        return "cancelled"


async def place_taking_silence_for_yes(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            with suppress(TimeoutError):
                await step.do()
        return "placed"
    except Refused:
        for step in reversed(asked):
            await _until_answered(step.undo)
        return "cancelled"


async def place_catching_refusals_only(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            await step.do()
        return "placed"
    except Refused:
        for step in reversed(asked):
            await _until_answered(step.undo)
        return "cancelled"


async def place_undoing_forwards(steps: Sequence[DeskStep]) -> str:
    asked: list[DeskStep] = []
    try:
        for step in steps:
            asked.append(step)
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        for step in asked:
            await _until_answered(step.undo)
        return "cancelled"


async def place_undoing_in_the_background(steps: Sequence[DeskStep]) -> str:
    try:
        for step in steps:
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        for step in reversed(steps):
            asyncio.get_running_loop().create_task(_until_answered(step.undo))
        return "cancelled"


async def place_all_at_once(steps: Sequence[DeskStep]) -> str:
    ended = await asyncio.gather(*[step.do() for step in steps], return_exceptions=True)
    if not any(ended):
        return "placed"
    for step in reversed(steps):
        await _until_answered(step.undo)
    return "cancelled"


async def place_in_reverse_order(steps: Sequence[DeskStep]) -> str:
    try:
        for step in reversed(steps):
            await step.do()
        return "placed"
    except (Refused, TimeoutError):
        for step in reversed(steps):
            await _until_answered(step.undo)
        return "cancelled"


async def place_going_on_after_a_refusal(steps: Sequence[DeskStep]) -> str:
    failed = False
    for step in steps:
        try:
            await step.do()
        except (Refused, TimeoutError):
            failed = True
    if not failed:
        return "placed"
    for step in reversed(steps):
        await _until_answered(step.undo)
    return "cancelled"


async def place_without_await(steps: Sequence[DeskStep]) -> str:
    for step in steps:
        step.do()  # type: ignore[unused-coroutine]  # without await
    return "placed"


async def place_nothing(steps: Sequence[DeskStep]) -> str:
    return "cancelled"


async def place_and_say_true(steps: Sequence[DeskStep]) -> Any:
    return await place_started_or_done(steps) == "placed"


# -- 1.2a-2: take it up after a crash


async def drive_stub(steps: Sequence[LogStep], log: Log) -> str:
    raise NotImplementedError


async def _back(steps: Sequence[LogStep], log: Log, *statuses: str) -> str:
    for step in reversed(steps):
        if (await log.read()).get(step.name) in statuses:
            await _until_answered(step.undo)
            await log.write(step.name, "undone")
    return "cancelled"


async def drive_by_the_log(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await _until_answered(step.do)
                await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps, log, "started", "done")


async def drive_turning_back_before_the_pivot(steps: Sequence[LogStep], log: Log) -> str:
    """Another right way: before the pivot is done, silence turns it back; from then on it goes
    forward only.
    """
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await (_until_answered(step.do) if step.kind == "retriable" else step.do())
                await log.write(step.name, "done")
        return "completed"
    except (Refused, TimeoutError):
        return await _back(steps, log, "started", "done")


async def drive_announcing_everything_first(steps: Sequence[LogStep], log: Log) -> str:
    """Right, too: the log says of each step that it may have happened before it may have."""
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if step.name not in known:
                await log.write(step.name, "started")
        for step in steps:
            if known.get(step.name) != "done":
                await _until_answered(step.do)
                await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps[:3], log, "started", "done")


async def drive_writing_nothing_ahead(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await _until_answered(step.do)
                await log.write(step.name, "done")
        return "completed"
    except Refused:
        for step in reversed(steps[:3]):
            if known.get(step.name) != "undone":
                await _until_answered(step.undo)
                await log.write(step.name, "undone")
        return "cancelled"


async def drive_charging_first(steps: Sequence[LogStep], log: Log) -> str:
    return await drive_by_the_log([steps[1], steps[0], *steps[2:]], log)


async def drive_once(steps: Sequence[LogStep], log: Log) -> str:
    if await log.read():
        return "completed"
    return await drive_by_the_log(steps, log)


async def drive_taking_started_for_done(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if step.name not in known:
                await log.write(step.name, "started")
                await _until_answered(step.do)
                await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps, log, "started", "done")


async def drive_undoing_what_is_done(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if known:
            raise Refused
        for step in steps:
            await log.write(step.name, "started")
            await _until_answered(step.do)
            await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps[:3], log, "done")


async def drive_writing_done_too_early(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "done")
                await _until_answered(step.do)
        return "completed"
    except Refused:
        return await _back(steps, log, "done")


async def drive_turning_back_after_every_crash(steps: Sequence[LogStep], log: Log) -> str:
    if await log.read():
        return await _back(steps[:3], log, "started", "done")
    return await drive_by_the_log(steps, log)


async def drive_giving_up_on_silence(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await step.do()
                await log.write(step.name, "done")
        return "completed"
    except (Refused, TimeoutError):
        return await _back(steps[:3], log, "started", "done")


async def drive_forgetting_the_direction(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        for step in steps:
            if step.name not in known or known[step.name] == "started":
                await log.write(step.name, "started")
                await _until_answered(step.do)
                await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps, log, "started", "done")


async def drive_without_the_log(steps: Sequence[LogStep], log: Log) -> str:
    asked: list[LogStep] = []
    try:
        for step in steps:
            asked.append(step)
            await _until_answered(step.do)
        return "completed"
    except Refused:
        for step in reversed(asked):
            await _until_answered(step.undo)
        return "cancelled"


async def drive_asking_for_everything_again(steps: Sequence[LogStep], log: Log) -> str:
    try:
        for step in steps:
            await log.write(step.name, "started")
            await _until_answered(step.do)
            await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps, log, "started", "done")


async def drive_without_await(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await _until_answered(step.do)
                log.write(step.name, "done")  # type: ignore[unused-coroutine]  # without await
        return "completed"
    except Refused:
        return await _back(steps, log, "started", "done")


async def drive_undoing_a_mail(steps: Sequence[LogStep], log: Log) -> str:
    if await log.read():
        return await _back(steps, log, "started", "done")
    return await drive_by_the_log(steps, log)


async def drive_with_statuses_of_its_own(steps: Sequence[LogStep], log: Log) -> str:
    await log.write(steps[0].name, "begun")
    return "completed"


async def drive_never_writing_done(steps: Sequence[LogStep], log: Log) -> str:
    try:
        if "undone" in (await log.read()).values():
            raise Refused
        for step in steps:
            await log.write(step.name, "started")
            await _until_answered(step.do)
        return "completed"
    except Refused:
        return await _back(steps, log, "started")


async def drive_leaving_the_last_open(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await _until_answered(step.do)
                if step.kind != "retriable":
                    await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps, log, "started", "done")


async def _drive_mailing(steps: Sequence[LogStep], log: Log, times: int) -> str:
    """Ask for the mail so often, and take it for sent."""
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) == "done":
                continue
            await log.write(step.name, "started")
            if step.kind == "retriable":
                for _ in range(times):
                    with suppress(TimeoutError):
                        await step.do()
                        break
            else:
                await _until_answered(step.do)
            await log.write(step.name, "done")
        return "completed"
    except Refused:
        return await _back(steps, log, "started", "done")


async def drive_mailing_once(steps: Sequence[LogStep], log: Log) -> str:
    return await _drive_mailing(steps, log, 1)


async def drive_mailing_twelve_times(steps: Sequence[LogStep], log: Log) -> str:
    return await _drive_mailing(steps, log, 12)


async def drive_taking_a_started_mail_for_sent(steps: Sequence[LogStep], log: Log) -> str:
    if (await log.read()).get(steps[-1].name) == "started":
        await log.write(steps[-1].name, "done")
        return "completed"
    return await drive_by_the_log(steps, log)


async def drive_undoing_each_once(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await _until_answered(step.do)
                await log.write(step.name, "done")
        return "completed"
    except Refused:
        for step in reversed(steps[:3]):
            if (await log.read()).get(step.name) in ("started", "done"):
                with suppress(TimeoutError):
                    await step.undo()
                await log.write(step.name, "undone")
        return "cancelled"


async def drive_going_back_once(steps: Sequence[LogStep], log: Log) -> str:
    """A crash on the way back makes it forget the rest."""
    known = await log.read()
    if "undone" in known.values():
        return "cancelled"
    for number, step in enumerate(steps):
        if known.get(step.name) == "done":
            continue
        await log.write(step.name, "started")
        try:
            await _until_answered(step.do)
        except Refused:
            return await _back(steps[:number], log, "done")
        await log.write(step.name, "done")
    return "completed"


async def drive_writing_in_the_background(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    written: list[asyncio.Future[None]] = []
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await _until_answered(step.do)
                written.append(asyncio.ensure_future(log.write(step.name, "done")))
        return "completed"
    except Refused:
        await asyncio.gather(*written)
        return await _back(steps, log, "started", "done")


async def drive_writing_one_undone(steps: Sequence[LogStep], log: Log) -> str:
    """It remembers the direction, and not what it undid."""
    known = await log.read()
    try:
        if "undone" in known.values():
            raise Refused
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await _until_answered(step.do)
                await log.write(step.name, "done")
        return "completed"
    except Refused:
        known = await log.read()
        for step in reversed(steps[:3]):
            if step.name in known:
                await _until_answered(step.undo)
                if "undone" not in (await log.read()).values():
                    await log.write(step.name, "undone")
        return "cancelled"


async def drive_back_over_the_pivot(steps: Sequence[LogStep], log: Log) -> str:
    known = await log.read()
    try:
        for step in steps:
            if known.get(step.name) != "done":
                await log.write(step.name, "started")
                await step.do()
                await log.write(step.name, "done")
        return "completed"
    except (Refused, TimeoutError):
        if step.kind == "retriable":
            await _until_answered(step.do)  # it must not arrive later
        return await _back(steps[:3], log, "started", "done")


EXERCISES = (
    Exercise(
        "1.2a-1",
        scenarios=(unanswered,),
        stub=place_stub,
        to_write="place_stub",
        right=(
            place_started_or_done,
            place_asking_again,
        ),
        wrong={
            place_undoing_what_finished: (
                "left the goods behind: reserve was not answered in time, and that does not"
            ),
            place_undoing_once: (
                "left the money and the goods behind: nobody heard whether the refund happened"
            ),
            place_undoing_ten_times_at_most: "nobody heard whether the refund happened",
            place_undoing_in_rounds: "place asked to release before the refund was answered",
            place_letting_the_undo_raise: "place raised TimeoutError (no answer to release)",
            place_taking_silence_for_yes: (
                "place said 'placed', without the goods: reserve was not answered in time"
            ),
            place_catching_refusals_only: (
                "place raised TimeoutError (no answer to reserve) and left the goods behind"
            ),
            place_undoing_forwards: (
                "reserve, charge, book come in this order, and were undone as release, refund"
            ),
            place_undoing_in_the_background: (
                "place said 'cancelled' before the goods had been given back"
            ),
            place_all_at_once: "place asked to charge before reserve had succeeded",
            place_in_reverse_order: "place asked to book before charge had succeeded",
            place_going_on_after_a_refusal: "place asked to charge before reserve had succeeded",
            place_nothing: "everything was answered in time, and place cancelled the order",
        },
        forgetful={place_without_await: "DeskStep.do"},
        odd={
            place_and_say_true: "place must return 'placed' or 'cancelled', it returned True",
        },
    ),
    Exercise(
        "1.2a-2",
        scenarios=(taken_up,),
        stub=drive_stub,
        to_write="drive_stub",
        right=(
            drive_by_the_log,
            drive_turning_back_before_the_pivot,
            drive_announcing_everything_first,
        ),
        wrong={
            drive_once: (
                "drive said 'completed' after a crash, without the goods, the money, a parcel "
                "and a mail"
            ),
            drive_taking_started_for_done: (
                "drive said 'completed' after a crash, without the goods"
            ),
            drive_undoing_what_is_done: ("drive said 'completed' and, called again, 'cancelled'"),
            drive_writing_done_too_early: "drive said 'completed' after a crash, without the goods",
            drive_turning_back_after_every_crash: (
                "drive said 'completed' and, called again, 'cancelled'"
            ),
            drive_giving_up_on_silence: (
                "drive said 'cancelled' after a call without an answer and left a mail"
            ),
            drive_forgetting_the_direction: "drive said 'completed' after a crash, without",
            drive_back_over_the_pivot: "left a mail behind",
            drive_without_the_log: "drive asked for reserve with no word of it in the log",
            drive_writing_nothing_ahead: "drive asked for reserve with no word of it in the log",
            drive_charging_first: "drive asked to charge before reserve had succeeded",
            drive_never_writing_done: (
                "drive said 'completed', and the log says 'started' of reserve"
            ),
            drive_leaving_the_last_open: (
                "drive said 'completed', and the log says 'started' of send"
            ),
            drive_mailing_once: "after a call without an answer, without a mail",
            drive_mailing_twelve_times: "after a call without an answer, without a mail",
            drive_taking_a_started_mail_for_sent: "after a crash, without a mail",
            drive_undoing_each_once: "drive wrote that charge is undone, and no answer had said so",
            drive_going_back_once: "drive said 'cancelled' after a crash and left the goods behind",
            drive_writing_in_the_background: "and the log says 'started' of send",
            drive_writing_one_undone: (
                "drive said 'cancelled', and the log says 'done' of reserve"
            ),
            drive_asking_for_everything_again: (
                "the log said that reserve is done, and drive started it again"
            ),
        },
        forgetful={drive_without_await: "Log.write"},
        odd={
            drive_with_statuses_of_its_own: (
                "one of started, done, undone, got 'reserve' and 'begun'"
            ),
            drive_undoing_a_mail: (
                "send is retriable: it is never undone, it is asked until it is done"
            ),
        },
    ),
)
