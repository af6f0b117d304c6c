"""The judge of exercise 1.2c-2, "a relay that neither loses nor reorders".

A service writes events into its outbox, numbered 1, 2, 3 … in the order of their commits. A relay,
on a node of its own, calls the reader's function again and again; what it publishes lands in a
stream of a broker. The relay crashes and restarts, requests and answers get lost, the broker stands
still. The rows lie in the table in another order than their numbers.

Leaves out: two relays at a time (they would need a lease), and numbers whose transactions commit in
another order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import DatabaseUnavailable
from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Crash, Fault, LoseReply, Partition, Pause, Run, World

STREAM = "events"
POLL, PATIENCE = 0.1, 0.5  # seconds between rounds; seconds for an answer
CALM = 2.5  # seconds after the last event, until everything must have been published and marked
CASES = (
    Case({"events": 2, "gap": 0}),
    # The broker does not hear of event 1, and hears of event 2.
    Case(
        {"events": 2, "gap": 0},
        (Partition(one=("relay",), other=("redis",), for_=0.3, after="publishes"),),
    ),
    # The answer to event 1 is lost: it may be published again, and nothing before it.
    Case({"events": 3, "gap": 0}, (LoseReply(src="relay", after="publishes"),)),
    # An event comes while the relay is at work.
    Case({"events": 4, "gap": 3}),
    # Enough events that 10 comes before 2 when numbers are sorted as text.
    Case({"events": 11, "gap": 0}),
    # The relay dies between publishing and marking, and comes back.
    Case(
        {"events": 3, "gap": 0},
        (Crash(node="relay", after="published", nth=2, restart_after=0.2),),
    ),
    # The answer to the first COMMIT of a mark is lost: it is marked, and nobody knows.
    Case({"events": 2, "gap": 0}, (LoseReply(src="relay", label="COMMIT", after="published"),)),
)
BUGS = 6  # failures, more than one fault can cause; the reader is shown the last
Publish = Callable[[int], Awaitable[None]]


async def patient_relay(
    world: World, relay: Callable[[AsyncEngine, Publish], Awaitable[object]], events: int, gap: int
) -> tuple[list[int], list[int]]:
    """`events` events, `gap` milliseconds apart. Returns the numbers in the stream, in order, and
    those still unsent.
    """
    lab = world.database()
    async with lab.begin() as setup:  # without a row id, a SELECT without an order answers by `id`
        columns = "id TEXT PRIMARY KEY, number INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0"
        await setup.execute(text(f"CREATE TABLE outbox ({columns}) WITHOUT ROWID"))

    async def shop() -> None:
        engine = world.database()
        for number in range(1, events + 1):
            async with engine.begin() as connection:
                row = {"id": f"{7 * number % 5}-{number}", "number": number}
                await connection.execute(
                    text("INSERT INTO outbox (id, number) VALUES (:id, :number)"), row
                )
            world.record("event", number=number)
            await asyncio.sleep(gap / 1000)

    marked: set[int] = set()  # what was ever seen to be marked as sent

    async def publish(number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"publish takes the number of an event, got {number!r}")
        look = world.node("onlooker").start(
            _with_mark, world.database(), 1
        )  # from there no fault is spent on the look
        [now_marked] = await world.join(look)
        marked.update(now_marked)
        world.record("publishes", number=number, marked=number in marked)
        await world.redis(timeout=PATIENCE).xadd(STREAM, {"number": number})
        world.record("published", number=number)

    async def work() -> None:
        engine, failed = world.database(timeout=PATIENCE), 0
        while True:
            try:
                await relay(engine, publish)
            except (DatabaseUnavailable, DBAPIError, OSError, RedisError, ValueError) as error:
                failed += 1
                if failed == BUGS or (
                    isinstance(error, ValueError) and "no active connection" not in str(error)
                ):
                    raise
                world.record("raised", error=type(error).__name__)
            await asyncio.sleep(POLL)

    world.node("relay").boot(work)
    await world.join(world.node("shop").start(shop))
    deadline = world.now() + CALM
    while (unsent := await _with_mark(lab, 0)) and world.now() < deadline:
        await asyncio.sleep(POLL)
    entries: Any = await world.redis().xrange(STREAM)
    return [int(fields[b"number"]) for _, fields in entries], unsent


async def _with_mark(engine: AsyncEngine, sent: int) -> list[int]:
    numbers = text("SELECT number FROM outbox WHERE sent = :sent ORDER BY number")
    async with engine.connect() as connection:
        return list((await connection.execute(numbers, {"sent": sent})).scalars())


def _lost_or_late(run: Run) -> str | None:
    numbers, _ = run.result
    first = list(dict.fromkeys(numbers))
    for number in range(1, run.args["events"] + 1):
        if number not in first:
            return f"event {number} was committed and never published"
    for before, after in pairwise(first):
        if after < before:
            return (
                f"event {after} was published after event {before}: the stream has "
                f"{_listed(numbers)}"
            )
    return None


def _needless(run: Run) -> str | None:
    numbers, unsent = run.result
    for event in run.history.of("publishes"):
        if event.data["marked"]:
            return f"event {event.data['number']} was marked as sent, and published once more"
    if unsent:
        return f"event {unsent[0]} was published and is still marked as unsent"
    if not run.faults and len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        return (
            f"nothing went wrong, and event {twice} was published more than once: the stream has "
            f"{_listed(numbers)}"
        )
    return None


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:12])) + (" …" if len(numbers) > 12 else "")


IN_ORDER = Invariant(
    "every committed event is published, in order, and not once more when it is marked",
    _lost_or_late,
)
NO_MORE = replace(IN_ORDER, test=_needless)


@judge(
    "1.2c-2",
    title="A relay that neither loses nor reorders",
    hints=(
        "Publishing and marking are two writes to two systems, so a crash can come between them. "
        "Which order of the two loses an event, and which only repeats it? And what may the relay "
        "do with event 3 while it does not know about event 2?",
        "SELECT the unsent ones ORDER BY number. For each: publish it, then UPDATE that one row, "
        "in a transaction of its own. Let an error go through: the next round begins again with "
        "the first event that is not marked.",
    ),
    budget=120,
)
def judge_relay(answer: Any, budget: int) -> Finding:
    """Search for a crash, a lost message or a pause after which an event is missing, early, or
    there once too often.
    """
    args = {"relay": answer, "events": st.integers(1, 4), "gap": st.sampled_from((0, 3, 8, 60))}
    when: dict[str, Any] = {
        "after": st.sampled_from(("publishes", "published")),
        "nth": st.integers(1, 3),
    }
    crash: st.SearchStrategy[Fault] = st.builds(
        Crash, node=st.just("relay"), restart_after=st.just(0.2), **when
    )
    lost: st.SearchStrategy[Fault] = st.builds(LoseReply, src=st.just("relay"), **when)
    still: st.SearchStrategy[Fault] = st.builds(
        Pause, node=st.just("redis"), for_=st.sampled_from((0.6, 1.0)), **when
    )
    cut: st.SearchStrategy[Fault] = st.builds(
        Partition, one=st.just(("relay",)), other=st.just(("redis",)), for_=st.just(0.3), **when
    )
    options: dict[str, Any] = {
        "faults": [crash, lost, cut, still],
        "args": args,
        "max_steps": 8_000,
    }
    return cases_first(
        patient_relay,
        (IN_ORDER, NO_MORE),
        CASES,
        lambda runs: worst_first(patient_relay, IN_ORDER, NO_MORE, runs=runs, at_most=1, **options),
        budget=budget,
        args={"relay": answer},
        max_steps=8_000,
    )
