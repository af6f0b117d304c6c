"""The judge of exercise 1.2d-1, "events out of order".

The order service hears of the payment and of the stock in whatever order the deliveries fall, some
of them twice, by one worker or by two. The reader's `apply` turns each into a change of the order's
row. The history has every status that the row was in.

Leaves out: crashes and lost answers (the inbox and the redelivery are other exercises), and events
of orders not there yet."""

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
from labkit.world import Event, Pause, Run, World

WORKERS = ("anna", "ben")
MEANS = {
    "PaymentProcessed": "paid",
    "InventoryReserved": "completed",
    "InventoryReservationFailed": "cancelled",
}
"""What each event makes of an order that may still change."""
FINAL = ("completed", "cancelled")
MINE, OTHER = "order-1", "order-2"
NEVER_GIVES_UP = 3600.0  # seconds for the database to answer: nothing is lost, so it always does

Do = Callable[..., Awaitable[Any]]


async def late_events(
    world: World, apply: Callable[[Do, str], Awaitable[bool]], told: tuple[str, ...], workers: int
) -> None:
    """The workers take the deliveries of `told`, all for one order, one after the other."""
    lab = world.database(timeout=NEVER_GIVES_UP)
    async with lab.begin() as setup:
        await setup.execute(text("CREATE TABLE orders (id TEXT PRIMARY KEY, status TEXT NOT NULL)"))
        await setup.execute(
            text("INSERT INTO orders VALUES (:one, 'pending'), (:other, 'pending')"),
            {"one": MINE, "other": OTHER},
        )
    now = {MINE: "pending", OTHER: "pending"}
    waiting = list(told)

    async def do(statement: str, **values: Any) -> Any:
        """One statement, one transaction; the rows of a SELECT, else how many rows were changed."""
        async with engine.connect() as connection:
            await connection.execution_options(sqlite_begin="IMMEDIATE")
            async with connection.begin():
                done = await connection.execute(text(statement), {"order": MINE, **values})
                found = [tuple(row) for row in done] if done.returns_rows else done.rowcount
                for order, status in await connection.execute(
                    text("SELECT id, status FROM orders ORDER BY id")
                ):
                    if now.get(order) != status:
                        world.record("becomes", order=order, before=now.get(order), now=status)
                        now[order] = status
        world.record("did")
        return found

    async def worker() -> None:
        while waiting:
            event = waiting.pop(0)
            world.record("hears", event=event)
            said = await apply(do, event)
            if said not in (True, False):
                raise TypeError(f"apply must return True or False, it returned {said!r}")
            world.record("says", changed=bool(said), event=event)

    engine = world.database(timeout=NEVER_GIVES_UP)
    await world.join(*[world.node(name).start(worker) for name in WORKERS[:workers]])


def _wrong_status(run: Run) -> str | None:
    status = "pending"
    for change in run.history.of("becomes"):
        order, new, heard = change.data["order"], change.data["now"], _heard(run, change)
        if order != MINE:
            return f"{heard} is about {MINE}, and it made {order} {new}"
        if status in FINAL:
            return f"the order was {status}, and {heard}, which came later, made it {new}"
        if new != MEANS[heard]:
            return f"{heard} made the order {new!r}; it means {MEANS[heard]!r}"
        status = new
    told = [event.data["event"] for event in run.history.of("hears")]
    ends = [event for event in told if MEANS[event] in FINAL]
    if ends and status not in FINAL:
        return f"{ends[0]} was heard, and in the end the order is still {status}"
    if told and status == "pending":
        return f"{told[0]} was heard, and in the end the order is still pending"
    return None


def _wrong_word(run: Run) -> str | None:
    for said in run.history.of("says"):
        since = [
            event
            for event in run.history.of("hears")
            if event.node == said.node and event.seq < said.seq
        ][-1]
        changed = any(
            c.node == said.node and since.seq < c.seq < said.seq for c in run.history.of("becomes")
        )
        if said.data["changed"] != changed:
            what = "the order had not changed" if said.data["changed"] else "the order had changed"
            return f"apply said {said.data['changed']} of {said.data['event']}, and {what}"
    return None


def _heard(run: Run, change: Event) -> str:
    """The event that the worker was told of when it made this change."""
    before = [
        event
        for event in run.history.of("hears")
        if event.node == change.node and event.seq < change.seq
    ]
    return str(before[-1].data["event"])


TRUE_TO_EVENTS = Invariant(
    "an order ends as its events say, whatever order they come in, and stays so", _wrong_status
)
TRUE_WORD = replace(TRUE_TO_EVENTS, test=_wrong_word)

PAID, RESERVED, FAILED = MEANS
_ORDERS = (
    *((event,) for event in MEANS),
    (PAID, RESERVED),
    (RESERVED, PAID),
    (PAID, FAILED),
    (FAILED, PAID),
    (RESERVED, FAILED),
    (FAILED, RESERVED),
    *((event, event) for event in MEANS),
    (PAID, RESERVED, PAID, RESERVED),
    (PAID, FAILED, RESERVED, FAILED),
)
_RACES = ((PAID, RESERVED), (RESERVED, PAID), (RESERVED, FAILED), (PAID, PAID))
CASES = (
    *(Case({"told": told, "workers": 1}) for told in _ORDERS),
    *(Case({"told": told, "workers": 2}) for told in _RACES),
    # one worker stands still after its first statement, while the other goes on
    *(
        Case({"told": told, "workers": 2}, (Pause(worker, after="did", nth=nth, for_=1.0),))
        for told in _RACES
        for worker, nth in zip(WORKERS, (1, 2), strict=True)
    ),
)


@judge(
    "1.2d-1",
    title="Events out of order",
    hints=(
        "Between your SELECT and your UPDATE the other worker may change the row. Which statement "
        "looks and changes in one step? And which statuses may each event start from?",
        "One `UPDATE orders SET status = … WHERE id = :order AND status IN (…)` for each event: "
        "'paid' only from 'pending', the two ends from 'pending' or 'paid'. Whether it changed a "
        "row is in what `do` returns.",
    ),
    budget=150,
)
def judge_apply(answer: Any, budget: int) -> Finding:
    """Search for an order of deliveries, and a schedule, in which the reader's `apply(do, event)`
    leaves the wrong status.
    """
    args = {
        "apply": answer,
        "told": st.lists(st.sampled_from(tuple(MEANS)), min_size=1, max_size=4).map(tuple),
        "workers": st.integers(1, len(WORKERS)),
    }
    return cases_first(
        late_events,
        (TRUE_TO_EVENTS, TRUE_WORD),
        CASES,
        lambda runs: worst_first(
            late_events, TRUE_TO_EVENTS, TRUE_WORD, runs=runs, args=args, max_steps=10_000
        ),
        budget=budget,
        args={"apply": answer},
        max_steps=10_000,
    )
