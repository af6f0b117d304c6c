"""The judge of exercise 1.1c-1, "confirm, unless it has ended".

One stove. anna holds it and pays; ben waits for it. When her hold has ended, or the shop has
released it, the stove is given to ben, in one transaction; sometimes the shop is late to notice.
Sometimes anna's phone pays for the same hold at the same moment. cleo holds another, and does
nothing. The reader's `confirm` speaks to the database one statement at
a time, each of them its own transaction, so between two of them anything may happen; anna is
paused, and her messages are slow.

Leaves out: a statement whose answer is lost (its caller asks again, and that is judged), several
lines to a hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import begin_immediate, reading
from labkit.check import Invariant
from labkit.course.figures.text import duration
from labkit.course.judge import judge
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Event, Fault, Pause, Run, Slow, World

PAYS = 1.25  # the second at which anna pays; not a whole one, so that rounding it does harm
DEVICES = ("anna", "anna's phone")
ANNAS, CLEOS, NOBODYS = "hold-anna", "hold-cleo", "hold-nobody"
NEVER_GIVES_UP = 3600.0  # seconds for an answer: nothing is lost, so there always is one
TABLE = (
    "CREATE TABLE holds (id VARCHAR(64) PRIMARY KEY, customer VARCHAR(64), status VARCHAR(16),"
    " expires_at DOUBLE PRECISION)"
)


class Statements:
    """A database that is spoken to one statement at a time. Each is a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def change(self, sql: str, **values: Any) -> int:
        """Carry out an UPDATE, INSERT or DELETE; returns how many rows it changed."""
        async with begin_immediate(self._engine) as connection:
            return (await connection.execute(text(sql), values)).rowcount

    async def ask(self, sql: str, **values: Any) -> Any:
        """The first value of the first row that a SELECT finds; None when it finds none."""
        async with reading(self._engine) as connection:
            return await connection.scalar(text(sql), values)


Confirm = Callable[[Statements, str, float], Awaitable[bool]]


async def late_payment(
    world: World,
    confirm: Confirm,
    ends: float,
    released: bool = False,
    unswept: float = 0.0,
    devices: int = 1,
    again: bool = False,
) -> None:
    """anna pays at second 1.25, on one or two `devices`, and each asks `again`; her hold is over at
    second `ends`, and `unswept` later ben has the stove.
    """
    engine = world.database(timeout=NEVER_GIVES_UP)
    db, until = Statements(engine), world.clock() + ends + (60.0 if released else 0.0)
    await db.change(TABLE)
    for hold, customer, end in ((ANNAS, "anna", until), (CLEOS, "cleo", until + 3600.0)):
        await db.change(
            "INSERT INTO holds VALUES (:id, :who, 'held', :until)", id=hold, who=customer, until=end
        )

    async def asked(hold: str) -> bool:
        said = await confirm(db, hold, world.clock())
        if said not in (True, False):
            raise TypeError(f"confirm must return True or False, it returned {said!r}")
        return bool(said)

    async def anna() -> None:
        await asyncio.sleep(PAYS)
        for _ in range(1 + again):
            world.record("pays", late=world.clock() >= until)
            world.record("told", said=await asked(ANNAS))

    async def ben() -> None:
        await asyncio.sleep(ends + unswept)
        new = "released" if released else "expired"
        async with begin_immediate(engine) as connection:
            over = "UPDATE holds SET status = :new WHERE id = :id AND status = 'held'"
            if not (await connection.execute(text(over), {"new": new, "id": ANNAS})).rowcount:
                return
            await connection.execute(
                text("INSERT INTO holds VALUES ('hold-ben', 'ben', 'confirmed', 0)")
            )
        world.record("has the stove", hers=new)

    paying = [world.node(device).start(anna) for device in DEVICES[:devices]]
    await world.join(*paying, world.node("ben").start(ben))
    found = await _rows(engine)
    world.record("in the end", **{hold: found.get(hold) for hold in (ANNAS, CLEOS)}, until=until)
    try:
        said = await asked(NOBODYS)
    except Exception as error:
        error.add_note(f"This was a hold that does not exist, {NOBODYS!r}, and must return False.")
        raise
    world.record("asked for nobody's", said=said, changed=await _rows(engine) != found)


async def _rows(engine: AsyncEngine) -> dict[str, tuple[str, str, float]]:
    """Customer, status and end of every hold, by its id."""
    async with reading(engine) as connection:
        rows = await connection.execute(text("SELECT id, customer, status, expires_at FROM holds"))
        return {id: (customer, status, ends) for id, customer, status, ends in rows}


def _harm(run: Run) -> str | None:
    told = [event.data["said"] for event in run.history.of("told")]
    (end,) = run.history.of("in the end")
    status, cleos = _status(end, ANNAS), _status(end, CLEOS)
    if cleos != "held":
        return f"cleo has another hold, did nothing, and it is {_state(cleos)}"
    for hold, customer in ((ANNAS, "anna"), (CLEOS, "cleo")):
        row = end.data[hold]
        if row and row[0] != customer:
            return f"{hold} is {customer}'s, and in the end its customer is {row[0]!r}"
    for ben in run.history.of("has the stove"):
        if status != ben.data["hers"]:
            was = f"the one stove was given to ben when anna's hold was {ben.data['hers']}"
            return f"{was}, and then that hold became {_state(status)}"
        if True in told:
            return f"anna was told True, and the stove is ben's: her hold is {_state(status)}"
    return None


def _calls(run: Run) -> Iterator[tuple[int, Event, Event]]:
    """The payments and their answers, device by device, each with its number on that device."""
    for device in DEVICES:
        pays = [event for event in run.history.of("pays") if event.node == device]
        told = [event for event in run.history.of("told") if event.node == device]
        for nth, (paid, answer) in enumerate(zip(pays, told, strict=True)):
            yield nth, paid, answer


def _status(end: Event, hold: str) -> str | None:
    row = end.data[hold]
    return row[1] if row else None


def _state(status: str | None) -> str:
    return "gone" if status is None else status


def _lie(run: Run) -> str | None:
    (end,) = run.history.of("in the end")
    status = _status(end, ANNAS)
    told = [event.data["said"] for event in run.history.of("told")]
    for nth, paid, answer in _calls(run):
        said, left = answer.data["said"], run.args["ends"] - answer.at
        if status == "confirmed" and True in told and not said:
            if nth:
                return "anna asked twice, was told True and then False, and the stove is hers"
            if run.args["devices"] > 1:
                other = "was told True on one and False on the other, and the stove is hers"
                return f"anna paid on two devices at the same moment, {other}"
        if said and all(pay.data["late"] for pay in run.history.of("pays") if pay.at <= answer.at):
            ago = paid.at - run.args["ends"]
            when = f"{duration(ago)} before she paid" if ago > 0 else "the instant she paid"
            return f"anna was told True, and her hold had ended {when}"
        if not said and left > 0 and status != "confirmed":
            return f"anna was told False, and the stove was hers for another {duration(left)}"
        if said != (status == "confirmed"):
            return f"anna was told {said}, and in the end her hold is {_state(status)}"
    if status not in ("held", "confirmed") and not run.history.of("has the stove"):
        return (
            f"anna was told {told[-1]}, nobody ended her hold, and it is {_state(status)}: False"
            " must change nothing"
        )
    if status not in (None, "confirmed") and end.data[ANNAS][2] != end.data["until"]:
        return f"anna was told {told[-1]}, and her hold ends at another time than before"
    for event in run.history.of("asked for nobody's"):
        if event.data["said"]:
            return f"it returned True for {NOBODYS!r}, a hold that does not exist"
        if event.data["changed"]:
            return f"it returned False for {NOBODYS!r}, which does not exist, and changed the table"
    return None


SAFE = Invariant(
    "a hold is confirmed once, while it is held and has not ended, and the answer says whether"
    " it is",
    _harm,
)
TRUE = replace(SAFE, test=_lie)


def _case(
    ends: float,
    *faults: Fault,
    released: bool = False,
    unswept: float = 0.0,
    devices: int = 1,
    again: bool = False,
) -> Case:
    args = {
        "ends": ends,
        "released": released,
        "unswept": unswept,
        "devices": devices,
        "again": again,
    }
    return Case(args, faults)


BEFORE, AFTER, MEANWHILE = 0.5, 2.0, (1.254, 1.252)  # when her hold may end
CASES = (
    *[
        _case(ends, released=released)
        for released in (False, True)
        for ends in (BEFORE, AFTER, *MEANWHILE)
    ],
    *[
        _case(ends, unswept=1.0, devices=devices, again=True)
        for devices in (1, 2)
        for ends in (BEFORE, 1.2, PAYS, 1.3, 1.45, AFTER, MEANWHILE[0])
    ],
    _case(1.45, Pause("anna", after="pays", for_=0.5), unswept=1.0, again=True),
)
"""ben gets the stove before she pays, after it, or meanwhile; nobody has swept when she pays, on
one device or two, long before the end, just before it, at it, and after it; and she asks again
after the end.
"""


@judge(
    "1.1c-1",
    title="Confirm, unless it has ended",
    hints=(
        (
            "Between a SELECT and an UPDATE the hold may end, and the stove may be another's. Which"
            " statement can look and write in one step, and how does its caller learn what it saw?"
        ),
        (
            "UPDATE holds SET status = 'confirmed' WHERE id = :id AND status = 'held' AND"
            " expires_at > :now. One row changed: True. None: look whether the status is"
            " 'confirmed', from an earlier call."
        ),
    ),
    budget=120,
)
def judge_confirm(answer: Any, budget: int) -> Finding:
    """Search for a run in which the reader's `confirm(db, hold_id, now)` sells the stove twice, or
    says what is not so.
    """
    slow: st.SearchStrategy[Fault] = st.builds(
        Slow,
        factor=st.integers(1, 6).map(lambda step: 50 * step),
        src=st.just("anna"),
        dst=st.just("database"),
        for_=st.just(1.0),
        after=st.just("pays"),
    )
    late: st.SearchStrategy[Fault] = st.builds(
        Pause,
        node=st.just("anna"),
        after=st.just("pays"),
        for_=st.integers(1, 20).map(lambda tenths: tenths / 10),
    )
    options: dict[str, Any] = {
        "faults": [late, slow],
        "at_most": 1,
        "args": {
            "confirm": answer,
            "ends": st.sampled_from((AFTER, BEFORE, 1.45, *MEANWHILE, PAYS, 1.2)),
            "released": st.booleans(),
            "unswept": st.sampled_from((0.0, 1.0)),
            "devices": st.integers(1, 2),
            "again": st.booleans(),
        },
        "max_steps": 10_000,
    }
    return cases_first(
        late_payment,
        (SAFE, TRUE),
        CASES,
        lambda runs: worst_first(late_payment, SAFE, TRUE, runs=runs, **options),
        budget=budget,
        args={"confirm": answer},
        max_steps=10_000,
    )
