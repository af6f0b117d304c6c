"""The judge of exercise 1.1c-2, "a sweeper that survives a crash".

Six holds: three are due when the sweepers begin, at second 1, one of them since a while; one is
due at second 20.25, one at 20.5 and one in an hour. Two sweepers, anna and ben, run the reader's
`sweep`; they crash and are paused, and their answers are lost. carl pays for one of the due holds
in the last moment, and hugo reserves a stove while the sweep is under way. When all is quiet we
sweep once more, at the instant at which the fourth hold ends, and count the stock.

Leaves out: how many holds one transaction takes (a large batch keeps others waiting), and who is
told that a hold has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import DatabaseUnavailable, begin_immediate, reading
from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Crash, Fault, LoseReply, Pause, Run, World

EARLY, DUE, LATER, NEXT = 0.4, 1.0, 20.25, 20.5  # seconds at which holds end: not all are whole
QUIET = 15.0  # seconds after which no sweep is under way
TABLES = (
    "CREATE TABLE stock (sku VARCHAR(64) PRIMARY KEY, on_hand INTEGER, held INTEGER, sold INTEGER)",
    (
        "CREATE TABLE holds (id VARCHAR(64) PRIMARY KEY, sku VARCHAR(64), quantity INTEGER, status"
        " VARCHAR(16), expires_at DOUBLE PRECISION)"
    ),
)


@dataclass(frozen=True)
class Held:
    """A hold as it is at the start; `ends` in seconds since the run began."""

    id: str
    sku: str
    quantity: int
    ends: float


CARLS = Held("hold-carl", "stove", 1, DUE)
HOLDS = (
    Held("hold-dora", "stove", 2, DUE),
    CARLS,
    Held("hold-emil", "tent", 3, EARLY),
    Held("hold-fred", "stove", 1, 3600.0),
    Held("hold-gina", "tent", 2, LATER),
    Held("hold-ivan", "tent", 1, NEXT),
)
HUGOS = Held("hold-hugo", "stove", 1, 3600.0)
FREE = {"stove": 1, "tent": 0}
Sweep = Callable[[AsyncEngine, float], Awaitable[object]]


async def sweepers(
    world: World,
    sweep: Sweep,
    second: float | None = None,
    pays: float | None = None,
    reserves: float | None = None,
) -> None:
    """anna sweeps at second 1, ben `second` later; carl pays that much before, hugo reserves that
    much later. At last we sweep once more.
    """
    lab, began = world.database(), world.clock()
    await _open(lab, began)

    async def sweeper(after: float, engine: AsyncEngine) -> None:
        await asyncio.sleep(after)
        world.record("sweeps")
        while True:
            try:
                await sweep(engine, world.clock())
            except (
                DatabaseUnavailable
            ):  # it was busy, or the answer was lost: the next round comes soon
                await asyncio.sleep(0.5)
            else:
                break
        world.record("swept")

    async def carl(before: float) -> None:
        await asyncio.sleep(DUE - before)
        with suppress(DatabaseUnavailable):
            if await _pay(world.database(), world.clock()):
                world.record("paid")

    async def hugo(after: float) -> None:
        await asyncio.sleep(DUE + after)
        with suppress(DatabaseUnavailable):
            if await _reserve(world.database(), began + HUGOS.ends):
                world.record("reserved")

    people = [world.node("anna").start(sweeper, DUE, await _connected(world))]
    people += (
        []
        if second is None
        else [world.node("ben").start(sweeper, DUE + second, await _connected(world))]
    )
    people += [] if pays is None else [world.node("carl").start(carl, pays)]
    people += [] if reserves is None else [world.node("hugo").start(hugo, reserves)]
    await world.join(*people)
    await asyncio.sleep(max(0.0, QUIET - world.now()))
    world.record("looked", holds=(await _counted(lab))["holds"])
    await sweep(lab, began + LATER)  # the instant at which the fourth ends
    world.record("counted", **await _counted(lab))


async def _counted(engine: AsyncEngine) -> dict[str, dict[str, Any]]:
    async with reading(engine) as connection:
        stock = await connection.execute(text("SELECT sku, on_hand, held, sold FROM stock"))
        states = await connection.execute(text("SELECT id, status FROM holds ORDER BY id"))
        return {
            "stock": {sku: tuple(units) for sku, *units in stock.all()},
            "holds": {id: status for id, status in states.all()},
        }


async def _connected(world: World) -> AsyncEngine:
    """An engine with an open connection, so that a picture begins with what the sweep sends."""
    engine = world.database(timeout=1.0)
    async with engine.connect():
        return engine


async def _open(engine: AsyncEngine, began: float) -> None:
    async with begin_immediate(engine) as connection:
        for table in TABLES:
            await connection.execute(text(table))
        for sku, free in FREE.items():
            held = sum(hold.quantity for hold in HOLDS if hold.sku == sku)
            row = {"sku": sku, "free": free, "held": held}
            await connection.execute(text("INSERT INTO stock VALUES (:sku, :free, :held, 0)"), row)
        for hold in HOLDS:
            row = {
                "id": hold.id,
                "sku": hold.sku,
                "quantity": hold.quantity,
                "ends": began + hold.ends,
            }
            await connection.execute(
                text("INSERT INTO holds VALUES (:id, :sku, :quantity, 'held', :ends)"), row
            )


async def _pay(engine: AsyncEngine, now: float) -> bool:
    live = (
        "UPDATE holds SET status = 'confirmed' WHERE id = :id AND status = 'held' AND expires_at >"
        " :now"
    )
    async with begin_immediate(engine) as connection:
        if not (await connection.execute(text(live), {"id": CARLS.id, "now": now})).rowcount:
            return False
        moved = "UPDATE stock SET held = held - :quantity, sold = sold + :quantity WHERE sku = :sku"
        await connection.execute(text(moved), {"quantity": CARLS.quantity, "sku": CARLS.sku})
    return True


async def _reserve(engine: AsyncEngine, ends: float) -> bool:
    taken = (
        "UPDATE stock SET on_hand = on_hand - :quantity, held = held + :quantity WHERE sku = :sku"
        " AND on_hand >= :quantity"
    )
    hold = {"id": HUGOS.id, "sku": HUGOS.sku, "quantity": HUGOS.quantity, "ends": ends}
    async with begin_immediate(engine) as connection:
        if not (await connection.execute(text(taken), hold)).rowcount:
            return False
        await connection.execute(
            text("INSERT INTO holds VALUES (:id, :sku, :quantity, 'held', :ends)"), hold
        )
    return True


def _all_holds(run: Run) -> tuple[Held, ...]:
    return (*HOLDS, HUGOS) if run.history.of("reserved") else HOLDS


def _harm(run: Run) -> str | None:
    (counted,) = run.history.of("counted")
    states = counted.data["holds"]
    if run.history.of("paid") and _state(states, CARLS) != "confirmed":
        return f"carl had paid, and his hold is {_state(states, CARLS)}"
    for sku, (on_hand, held, sold) in sorted(counted.data["stock"].items()):
        mine = [hold for hold in _all_holds(run) if hold.sku == sku]
        taken = sum(hold.quantity for hold in mine if _state(states, hold) in ("held", "confirmed"))
        right = FREE[sku] + sum(hold.quantity for hold in HOLDS if hold.sku == sku) - taken
        if on_hand != right:
            off = f"{abs(on_hand - right)} {sku}{'s' if abs(on_hand - right) != 1 else ''}"
            what = f"{off} came back twice" if on_hand > right else f"{off} did not come back"
            return (
                f"{what}: in the end {on_hand} on hand, {held} held, {sold} sold; by the holds it"
                f" should be {right} on hand"
            )
    return None


def _fault(run: Run) -> str | None:
    ((counted,), (looked,)) = run.history.of("counted"), run.history.of("looked")
    states = counted.data["holds"]
    for hold in HOLDS:
        state = _state(states, hold)
        if hold.ends <= LATER and state not in ("expired", "confirmed"):
            return f"{hold.id} was due, and after the last sweep it is {state}"
        if hold.ends == LATER and _state(looked.data["holds"], hold) != "held":
            early = _state(looked.data["holds"], hold)
            return f"{hold.id} was not due for 19 s when we swept first, and it is {early}"
        if hold.ends > LATER and state != "held":
            return f"{hold.id} was not yet due, and after the last sweep it is {state}"
    if run.history.of("reserved") and _state(states, HUGOS) != "held":
        return f"hugo reserved for an hour, and his hold is {_state(states, HUGOS)}"
    for sku, (_, held, sold) in sorted(counted.data["stock"].items()):
        for count, status in ((held, "held"), (sold, "confirmed")):
            rows = sum(
                hold.quantity
                for hold in _all_holds(run)
                if hold.sku == sku and _state(states, hold) == status
            )
            if count != rows:
                return (
                    f"the stock says that {count} of {sku} are {status}, and by the holds it is"
                    f" {rows}"
                )
    return None


def _state(states: Mapping[str, str], hold: Held) -> str:
    return states.get(hold.id, "gone")


SAFE = Invariant("every due hold is expired, and each of its units is back on hand once", _harm)
DONE = replace(SAFE, test=_fault)


def _case(fault: Fault | None = None, **when: float) -> Case:
    args = {"second": None, "pays": None, "reserves": None, **when}
    return Case(args, () if fault is None else (fault,))


CASES = (
    _case(),
    *[_case(second=later) for later in (0.0, 0.003, 0.01)],
    *[_case(pays=before) for before in (0.001, 0.003)],
    *[_case(reserves=later) for later in (0.0, 0.002, 0.004, 0.006, 0.01)],
    *[_case(Crash(node="anna", at=round(DUE + ms / 1000, 3))) for ms in range(2, 40, 3)],
    _case(LoseReply(src="anna", label="COMMIT", after="sweeps")),
    _case(LoseReply(src="anna", label="COMMIT", after="sweeps"), second=0.01),
)
"""What every answer is run through: calm, with one who comes in between, with a crash in every gap,
and with a commit whose answer is lost."""


@judge(
    "1.1c-2",
    title="A sweeper that survives a crash",
    hints=(
        (
            "What has been committed when the sweeper dies between two statements, and what does"
            " the next one find? And which of two sweepers that both see a hold as due may give its"
            " units back?"
        ),
        (
            "One transaction for each hold: UPDATE holds SET status = 'expired' WHERE id = :id AND"
            " status = 'held', and only when that changed a row, UPDATE stock with the hold's own"
            " sku and quantity. The list may be read before."
        ),
    ),
    budget=150,
)
def judge_sweep(answer: Any, budget: int) -> Finding:
    """Search for a crash, a pause or a payment under which the reader's `sweep(engine, now)` loses
    or doubles a unit.
    """
    meanwhile = st.integers(0, 60).map(
        lambda ms: round(DUE + ms / 1000, 3)
    )  # while a sweep is under way
    options: dict[str, Any] = {
        "faults": [
            st.builds(Crash, node=st.just("anna"), at=meanwhile),
            st.builds(Pause, node=st.just("anna"), at=meanwhile, for_=st.integers(1, 4).map(float)),
            st.builds(LoseReply, src=st.just("anna"), at=meanwhile),
        ],
        "at_most": 2,
        "args": {
            "sweep": answer,
            "second": st.none() | st.sampled_from((0.0, 0.003, 0.01)),
            "pays": st.none() | st.sampled_from((0.5, 0.001, 0.003)),
            "reserves": st.none() | st.sampled_from((0.0, 0.004, 0.01)),
        },
        "max_steps": 20_000,
    }
    return cases_first(
        sweepers,
        (SAFE, DONE),
        CASES,
        lambda runs: worst_first(sweepers, SAFE, DONE, runs=runs, **options),
        budget=budget,
        args={"sweep": answer},
        max_steps=20_000,
    )
