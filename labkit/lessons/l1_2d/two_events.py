"""The judge of exercise 1.2d-2, "wait for two events".

Shipping hears of the payment and of the goods in whatever order the deliveries fall, some of them
twice, by one worker or by two, and perhaps that the order has timed out. The reader's `hear` writes
each down and says when to book the parcel and when to cancel it. The history has every event that
was heard and every answer.

Leaves out: crashes and lost answers. In labkit a handler's answer is committed with its
transaction, by an outbox; here it is only returned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import text

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Pause, Run, World

WORKERS = ("anna", "ben")
CHARGED, PACKED, TIMED_OUT = "PaymentCharged", "GoodsPacked", "OrderTimedOut"
EVENTS = (CHARGED, PACKED, TIMED_OUT)
MINE, OTHER, READY = "order-1", "order-2", "order-3"
UNTOUCHED = [(OTHER, 0, 0, "waiting"), (READY, 1, 1, "waiting")]
"""The rows of other orders. Of the second, both events were heard, and nothing is booked yet."""
NEVER_GIVES_UP = 3600.0  # seconds for the database to answer: nothing is lost, so it always does

Do = Callable[..., Awaitable[Any]]
Hear = Callable[[Do, str], Awaitable[str | None]]


async def two_events(world: World, hear: Hear, told: tuple[str, ...], workers: int) -> list[Any]:
    """The workers take the deliveries of `told`, all for one order, one after the other.

    Returns what is in the table in the end of the other orders."""
    lab = world.database(timeout=NEVER_GIVES_UP)
    async with lab.begin() as setup:
        columns = "id TEXT PRIMARY KEY, charged INTEGER, packed INTEGER, state TEXT"
        await setup.execute(text(f"CREATE TABLE parcels ({columns})"))
        names = ("id", "charged", "packed", "state")
        rows = [dict(zip(names, row, strict=True)) for row in [(MINE, 0, 0, "waiting"), *UNTOUCHED]]
        await setup.execute(
            text("INSERT INTO parcels VALUES (:id, :charged, :packed, :state)"), rows
        )
    engine = world.database(timeout=NEVER_GIVES_UP)
    waiting = list(told)

    async def do(statement: str, **values: Any) -> Any:
        """One statement, one transaction; the rows of a SELECT, else how many rows it changed."""
        async with engine.connect() as connection:
            await connection.execution_options(sqlite_begin="IMMEDIATE")
            async with connection.begin():
                done = await connection.execute(text(statement), {"order": MINE, **values})
                found = [tuple(row) for row in done] if done.returns_rows else done.rowcount
        world.record("did")
        return found

    async def worker() -> None:
        while waiting:
            event = waiting.pop(0)
            world.record("hears", event=event)
            said = await hear(do, event)
            if said not in ("book", "cancel", None):
                raise TypeError(f'hear must return "book", "cancel" or None, it returned {said!r}')
            world.record("says", said=said, to=event)

    await world.join(*[world.node(name).start(worker) for name in WORKERS[:workers]])
    async with lab.connect() as look:
        rows_of_others = text("SELECT * FROM parcels WHERE id <> :mine ORDER BY id")
        return [tuple(found) for found in await look.execute(rows_of_others, {"mine": MINE})]


def _wrong_parcel(run: Run) -> str | None:
    said = [event.data["said"] for event in run.history.of("says")]
    books, cancels = said.count("book"), said.count("cancel")
    told = run.args["told"]
    ready = CHARGED in told and PACKED in told
    if books > 1:
        return f'"book" was returned {books} times for one order'
    if cancels > books:
        return '"cancel" was returned, and "book" never was' if not books else _twice(cancels)
    if books and not ready:
        missing = PACKED if CHARGED in told else CHARGED
        return f'"book" was returned, and {missing} was never heard'
    if TIMED_OUT not in told:
        if cancels:
            return '"cancel" was returned, and the order never timed out'
        if ready and not books:
            return '"book" was never returned, although both events were heard'
        return None
    if books and not cancels:
        return "the order timed out, a parcel was booked, and nobody cancelled it"
    return None


def _twice(cancels: int) -> str:
    return f'"cancel" was returned {cancels} times for one parcel'


def _wrong_moment(run: Run) -> str | None:
    """What a single worker must have said, event by event; and the other order's row."""
    if run.result != UNTOUCHED:
        return f"the events are about {MINE}, and the row of another order was changed"
    if run.args["workers"] != 1:
        return None
    heard: set[str] = set()
    booked = False
    for answer in run.history.of("says"):
        event, said = answer.data["to"], answer.data["said"]
        new, heard = event not in heard, heard | {event}
        due = None
        if event == TIMED_OUT:
            due = "cancel" if new and booked else None
        elif not booked and {CHARGED, PACKED} <= heard and TIMED_OUT not in heard:
            due, booked = "book", True
        if said != due:
            before = ", ".join(sorted(heard - {event})) or "nothing"
            return f"hear returned {said!r} to {event}, after {before}; {due!r} was due"
    return None


ONE_PARCEL = Invariant(
    "a parcel is booked once when both events are there, and never after the time-out",
    _wrong_parcel,
)
IN_TIME = replace(ONE_PARCEL, test=_wrong_moment)

_ORDERS = (
    (CHARGED, PACKED),
    (PACKED, CHARGED),
    (CHARGED, CHARGED, PACKED, PACKED),
    (PACKED, PACKED),
    (CHARGED, TIMED_OUT, PACKED, CHARGED),
    (TIMED_OUT, PACKED, CHARGED),
    (CHARGED, PACKED, TIMED_OUT, TIMED_OUT, PACKED),
    (TIMED_OUT, TIMED_OUT),
)
_RACES = ((CHARGED, PACKED), (CHARGED, PACKED, TIMED_OUT), (CHARGED, TIMED_OUT, PACKED))
CASES = (
    *(Case({"told": told, "workers": 1}) for told in _ORDERS),
    *(Case({"told": told, "workers": 2}) for told in _RACES),
    # one worker stands still after each statement, while the other goes on
    *(
        Case({"told": _RACES[-1], "workers": 2}, (Pause(worker, after="did", nth=nth, for_=1.0),))
        for worker in WORKERS
        for nth in range(1, 6)
    ),
)


@judge(
    "1.2d-2",
    title="Wait for two events",
    hints=(
        "Two workers write down one event each and then look: both see that both are there. Which "
        'of them may say "book", and what decides it? And what does `OrderTimedOut` leave behind, '
        "so that a later event finds it?",
        'Write the event down in one UPDATE. Then let a second UPDATE go from "waiting" to '
        '"booked", with all conditions in its WHERE: only one worker changes the row, and that one '
        'returns "book". `OrderTimedOut` first tries to go from "waiting" to "cancelled", '
        'then from "booked" to "cancelled"; only the second returns "cancel". Why in this order?',
    ),
    budget=120,
)
def judge_hear(answer: Any, budget: int) -> Finding:
    """Run the fixed orders of events, then search for one, and for a schedule, in which a parcel is
    booked twice, too early, too late or never.
    """
    args = {
        "hear": answer,
        "told": st.lists(st.sampled_from(EVENTS), min_size=1, max_size=5).map(tuple),
        "workers": st.integers(1, len(WORKERS)),
    }
    return cases_first(
        two_events,
        (ONE_PARCEL, IN_TIME),
        CASES,
        lambda runs: worst_first(
            two_events, ONE_PARCEL, IN_TIME, runs=runs, args=args, max_steps=10_000
        ),
        budget=budget,
        args={"hear": answer},
        max_steps=10_000,
    )
