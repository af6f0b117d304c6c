"""The judge of exercise 1.2c-1, "an idempotent consumer".

Two workers take deliveries of messages, the same message several times: by a broker that sends one
twice, and again after a worker died, or raised, before it acknowledged. The reader's `consume` must
let each message take effect once. An effect may also fail at first, after it has written something.

Leaves out: effects outside the database, and a broker that loses what it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import DatabaseUnavailable
from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding, crashes, lost_replies
from labkit.world import Fault, LoseReply, Partition, Run, World

WORKERS = ("anna", "ben")
AGAIN = 0.05  # seconds until a delivery that failed comes again
ATTEMPTS = 8  # failures of one worker, after which the last one is shown to the reader
HALVES = ("charges", "receipts")
Effect = Callable[[AsyncConnection], Awaitable[None]]


class PrinterBusy(Exception):
    """The effect failed: nothing of it may stay, and it is to be tried again."""


async def once_only(
    world: World,
    consume: Callable[[AsyncEngine, str, Effect], Awaitable[object]],
    deliveries: tuple[str, ...],
    busy: bool,
) -> dict[str, tuple[int, int]]:
    """Deliver until everything is acknowledged; returns, by message, how often each half of its
    effect is in the database.

    The halves are a charge and its receipt. `busy`: the first time that a message's effect is
    tried, it fails in between."""
    async with world.database().begin() as setup:
        await setup.execute(text("CREATE TABLE inbox (message TEXT PRIMARY KEY)"))
        await setup.execute(text("CREATE TABLE charges (message TEXT NOT NULL)"))
        await setup.execute(text("CREATE TABLE receipts (message TEXT NOT NULL)"))
    queue = list(deliveries)
    # Given to a worker and not acknowledged. The broker remembers, whatever becomes of the worker.
    pending: dict[str, str] = {}
    tried: Counter[str] = Counter()

    def effect_of(message: str) -> Effect:
        async def effect(connection: AsyncConnection) -> None:
            await connection.execute(
                text("INSERT INTO charges VALUES (:message)"), {"message": message}
            )
            tried[message] += 1
            world.record("charges", message=message)
            if busy and tried[message] == 1:
                world.record("no receipt", message=message)
                raise PrinterBusy
            await connection.execute(
                text("INSERT INTO receipts VALUES (:message)"), {"message": message}
            )
            world.record("receipt", message=message)

        return effect

    async def worker() -> None:
        me, engine, failed = world.here(), world.database(timeout=1.0), 0
        while pending.get(me) or queue:
            message = pending.get(me) or queue.pop(0)
            pending[me] = message
            world.record("delivered", message=message)
            try:
                await consume(engine, message, effect_of(message))
            except (PrinterBusy, DatabaseUnavailable, DBAPIError, OSError, ValueError) as error:
                failed += 1
                if failed == ATTEMPTS or not _trouble(error):
                    raise
                world.record("raised", error=type(error).__name__)
                await asyncio.sleep(AGAIN)
                continue
            world.record("acknowledged", message=message)
            del pending[me]

    for name in WORKERS:
        world.node(name).boot(worker)
    for _ in range(200):
        await asyncio.sleep(AGAIN)
        if not queue and not pending:
            break
    async with world.database().connect() as lab:
        halves = [
            Counter((await lab.execute(text(f"SELECT message FROM {half}"))).scalars())
            for half in ("charges", "receipts")
        ]
    return {
        message: (halves[0][message], halves[1][message]) for message in sorted(set(deliveries))
    }


def _trouble(error: Exception) -> bool:
    """Whether the world made the error, and not the reader: a lost connection, a busy database, or
    what `effect` raised.
    """
    if isinstance(error, ValueError):
        return "no active connection" in str(error)
    return True


def _wrong_count(run: Run) -> str | None:
    times = Counter(run.args["deliveries"])
    for message in sorted(times):
        there, receipts = run.result[message]
        acknowledged = sum(
            event.data["message"] == message for event in run.history.of("acknowledged")
        )
        if there > 1:
            return (
                f"{message} was delivered {_times(run, message)}, and its effect is there "
                f"{_how_often(there)}"
            )
        if there != receipts:
            return (
                f"{message}'s effect raised, and half of it was committed: a charge, and no receipt"
            )
        if there == 0 and acknowledged:
            return f"{message} was acknowledged, and its effect is not there"
    return None


def _not_done(run: Run) -> str | None:
    if kept := _kept_in(run):
        return kept
    for message in sorted(set(run.args["deliveries"])):
        if not run.result[message][0]:
            return f"{message} was delivered {_times(run, message)}, and never acknowledged"
    return None


def _kept_in(run: Run) -> str | None:
    """An error of `effect` that did not come out of `consume`."""
    said = run.history.of("no receipt", "delivered", "raised", "acknowledged")
    for error in [event for event in said if event.kind == "no receipt"]:
        after = [event for event in said if event.node == error.node and event.seq > error.seq]
        if after and after[0].kind == "acknowledged":
            return f"{error.data['message']}'s effect raised, and consume did not let the error out"
    return None


def _times(run: Run, message: str) -> str:
    return _how_often(
        sum(event.data["message"] == message for event in run.history.of("delivered"))
    )


def _how_often(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


ONCE = Invariant("every message that is acknowledged has taken effect, once", _wrong_count)
DONE = replace(ONCE, test=_not_done)


def _case(*deliveries: str, busy: bool = False, fault: Fault | None = None) -> Case:
    return Case({"deliveries": deliveries, "busy": busy}, () if fault is None else (fault,))


CASES = (
    _case("m1"),
    _case("m1", busy=True),
    _case("m1", "m1"),
    _case("m1", "m2", "m1"),
    _case("m1", "m1", busy=True),
    # An answer is lost: to the commit, which has happened, and to what came before it.
    *[
        _case("m1", fault=LoseReply(src="anna", label=label, after="delivered"))
        for label in ("COMMIT", "INSERT", "BEGIN")
    ],
    # Requests are lost: at once, when the effect has begun, and when it is to be committed.
    *[
        _case("m1", fault=Partition(one=("anna",), other=("database",), for_=1.5, after=after))
        for after in ("delivered", "charges", "receipt")
    ],
)
"""What every answer is run through, the smallest first."""


@judge(
    "1.2c-1",
    title="An idempotent consumer",
    hints=(
        "Two facts must become true together: that the message was seen, and that its effect is "
        "there. What commits two facts together? And which of two deliveries at the same moment "
        "may go on?",
        "One transaction: INSERT the message into `inbox` with ON CONFLICT DO NOTHING, look at "
        "`rowcount`, and only when it is 1 `await effect(connection)` on the same connection. Let "
        "what `effect` raises go through: both are rolled back.",
    ),
    budget=150,
)
def judge_consume(answer: Any, budget: int) -> Finding:
    """Search for deliveries, crashes and lost answers after which a message's effect is there
    twice, or not at all.
    """
    args = {
        "consume": answer,
        "deliveries": st.lists(st.sampled_from(("m1", "m2")), min_size=1, max_size=3).map(tuple),
        "busy": st.booleans(),
    }
    options: dict[str, Any] = {
        "faults": [crashes(*WORKERS, restart_after=0.2), lost_replies(*WORKERS)],
        "at_most": 1,
        "args": args,
        "max_steps": 20_000,
    }
    return cases_first(
        once_only,
        (ONCE, DONE),
        CASES,
        lambda runs: worst_first(once_only, ONCE, DONE, runs=runs, **options),
        budget=budget,
        args={"consume": answer},
        max_steps=20_000,
    )
