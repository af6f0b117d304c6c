"""What readers hand in for the exercises of lesson 1.1c: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import begin_immediate, reading
from labkit.lessons.l1_1c.late_payment import Statements, late_payment
from labkit.lessons.l1_1c.sweepers import sweepers
from tests.lessons.handed_in import Exercise

# -- 1.1c-1: confirm a hold

GUARDED = (
    "UPDATE holds SET status = 'confirmed' WHERE id = :id AND status = 'held' AND expires_at > :now"
)
STATUS = "SELECT status FROM holds WHERE id = :id"


async def confirm_stub(db: Statements, hold_id: str, now: float) -> bool:
    raise NotImplementedError


async def confirm_guarded(db: Statements, hold_id: str, now: float) -> bool:
    if await db.change(GUARDED, id=hold_id, now=now):
        return True
    return bool(await db.ask(STATUS, id=hold_id) == "confirmed")


async def confirm_looking_first(db: Statements, hold_id: str, now: float) -> bool:
    if await db.ask(STATUS, id=hold_id) == "confirmed":
        return True
    return await db.change(GUARDED, id=hold_id, now=now) == 1


async def confirm_without_a_guard(db: Statements, hold_id: str, now: float) -> bool:
    return await db.change("UPDATE holds SET status = 'confirmed' WHERE id = :id", id=hold_id) == 1


async def confirm_look_then_write(db: Statements, hold_id: str, now: float) -> bool:
    live = "SELECT count(*) FROM holds WHERE id = :id AND status = 'held' AND expires_at > :now"
    if not await db.ask(live, id=hold_id, now=now):
        return bool(await db.ask(STATUS, id=hold_id) == "confirmed")
    await db.change("UPDATE holds SET status = 'confirmed' WHERE id = :id", id=hold_id)
    return True


async def confirm_by_time_alone(db: Statements, hold_id: str, now: float) -> bool:
    guard = "UPDATE holds SET status = 'confirmed' WHERE id = :id AND expires_at > :now"
    return await db.change(guard, id=hold_id, now=now) == 1


async def confirm_by_status_alone(db: Statements, hold_id: str, now: float) -> bool:
    guard = "UPDATE holds SET status = 'confirmed' WHERE id = :id AND status = 'held'"
    if await db.change(guard, id=hold_id):
        return True
    return bool(await db.ask(STATUS, id=hold_id) == "confirmed")


async def confirm_whatever_was_changed(db: Statements, hold_id: str, now: float) -> bool:
    await db.change(GUARDED, id=hold_id, now=now)
    return True


async def confirm_once_only(db: Statements, hold_id: str, now: float) -> bool:
    return await db.change(GUARDED, id=hold_id, now=now) == 1


async def confirm_every_hold(db: Statements, hold_id: str, now: float) -> bool:
    if await db.change(
        "UPDATE holds SET status = 'confirmed' WHERE status = 'held' AND expires_at > :now", now=now
    ):
        return True
    return bool(await db.ask(STATUS, id=hold_id) == "confirmed")


async def confirm_or_expire(db: Statements, hold_id: str, now: float) -> bool:
    if await confirm_guarded(db, hold_id, now):
        return True
    await db.change(
        "UPDATE holds SET status = 'expired' WHERE id = :id AND status = 'held'", id=hold_id
    )
    return False


async def confirm_or_delete(db: Statements, hold_id: str, now: float) -> bool:
    if await confirm_guarded(db, hold_id, now):
        return True
    await db.change("DELETE FROM holds WHERE id = :id AND status = 'held'", id=hold_id)
    return False


async def confirm_and_undo(db: Statements, hold_id: str, now: float) -> bool:
    """Looks at the time after the write, and takes the write back."""
    confirm = "UPDATE holds SET status = 'confirmed' WHERE id = :id AND status = 'held'"
    if not await db.change(confirm, id=hold_id):
        return bool(await db.ask(STATUS, id=hold_id) == "confirmed")
    if await db.ask("SELECT expires_at FROM holds WHERE id = :id", id=hold_id) <= now:
        await db.change("UPDATE holds SET status = 'held' WHERE id = :id", id=hold_id)
        return False
    return True


async def confirm_in_whole_seconds(db: Statements, hold_id: str, now: float) -> bool:
    return await confirm_guarded(db, hold_id, int(now))


async def confirm_under_another_name(db: Statements, hold_id: str, now: float) -> bool:
    named = GUARDED.replace("status =", "customer = 'paid', status =", 1)
    if await db.change(named, id=hold_id, now=now):
        return True
    return bool(await db.ask(STATUS, id=hold_id) == "confirmed")


async def confirm_for_longer(db: Statements, hold_id: str, now: float) -> bool:
    """Gives another minute to a hold that can no longer be confirmed."""
    if await confirm_guarded(db, hold_id, now):
        return True
    await db.change("UPDATE holds SET expires_at = expires_at + 60 WHERE id = :id", id=hold_id)
    return False


async def confirm_leaving_a_row(db: Statements, hold_id: str, now: float) -> bool:
    """Writes down a hold that there was not."""
    if await db.ask(STATUS, id=hold_id) is None:
        await db.change("INSERT INTO holds VALUES (:id, 'nobody', 'expired', 0)", id=hold_id)
    return await confirm_guarded(db, hold_id, now)


async def confirm_nothing(db: Statements, hold_id: str, now: float) -> bool:
    return False


async def confirm_and_return_nothing(db: Statements, hold_id: str, now: float) -> Any:
    await db.change(GUARDED, id=hold_id, now=now)


async def confirm_expecting_a_row(db: Statements, hold_id: str, now: float) -> bool:
    if await db.change(GUARDED, id=hold_id, now=now):
        return True
    return bool((await db.ask(STATUS, id=hold_id)).startswith("confirmed"))


# -- 1.1c-2: sweep

DUE = "SELECT id, sku, quantity FROM holds WHERE status = 'held' AND expires_at <= :now ORDER BY id"
EXPIRE = "UPDATE holds SET status = 'expired' WHERE id = :id AND status = 'held'"
RETURN = "UPDATE stock SET held = held - :quantity, on_hand = on_hand + :quantity WHERE sku = :sku"


async def due(engine: AsyncEngine, now: float) -> list[dict[str, Any]]:
    async with reading(engine) as connection:
        return [dict(row._mapping) for row in await connection.execute(text(DUE), {"now": now})]


async def sweep_stub(engine: AsyncEngine, now: float) -> None:
    raise NotImplementedError


async def sweep_one_by_one(engine: AsyncEngine, now: float) -> None:
    for hold in await due(engine, now):
        async with begin_immediate(engine) as connection:
            if (await connection.execute(text(EXPIRE), {"id": hold["id"]})).rowcount:
                await connection.execute(
                    text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
                )


async def sweep_at_once(engine: AsyncEngine, now: float) -> None:
    expire = (
        "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at <= :now RETURNING"
        " sku, quantity"
    )
    async with begin_immediate(engine) as connection:
        for sku, quantity in (await connection.execute(text(expire), {"now": now})).all():
            await connection.execute(text(RETURN), {"sku": sku, "quantity": quantity})


async def sweep_those_before(engine: AsyncEngine, now: float) -> None:
    expire = (
        "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at < :now RETURNING"
        " sku, quantity"
    )
    async with begin_immediate(engine) as connection:
        for sku, quantity in (await connection.execute(text(expire), {"now": now})).all():
            await connection.execute(text(RETURN), {"sku": sku, "quantity": quantity})


async def sweep_status_first(engine: AsyncEngine, now: float) -> None:
    for hold in await due(engine, now):
        async with begin_immediate(engine) as connection:
            expired = (await connection.execute(text(EXPIRE), {"id": hold["id"]})).rowcount
        if expired:
            async with begin_immediate(engine) as connection:
                await connection.execute(
                    text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
                )


async def sweep_units_first(engine: AsyncEngine, now: float) -> None:
    for hold in await due(engine, now):
        async with begin_immediate(engine) as connection:
            await connection.execute(
                text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
            )
        async with begin_immediate(engine) as connection:
            await connection.execute(text(EXPIRE), {"id": hold["id"]})


async def sweep_without_a_guard(engine: AsyncEngine, now: float) -> None:
    for hold in await due(engine, now):
        async with begin_immediate(engine) as connection:
            await connection.execute(
                text("UPDATE holds SET status = 'expired' WHERE id = :id"), {"id": hold["id"]}
            )
            await connection.execute(
                text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
            )


async def sweep_without_looking_at_the_count(engine: AsyncEngine, now: float) -> None:
    for hold in await due(engine, now):
        async with begin_immediate(engine) as connection:
            await connection.execute(text(EXPIRE), {"id": hold["id"]})
            await connection.execute(
                text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
            )


async def sweep_one_unit_each(engine: AsyncEngine, now: float) -> None:
    for hold in await due(engine, now):
        async with begin_immediate(engine) as connection:
            if (await connection.execute(text(EXPIRE), {"id": hold["id"]})).rowcount:
                await connection.execute(text(RETURN), {"sku": hold["sku"], "quantity": 1})


async def sweep_all_that_are_expired(engine: AsyncEngine, now: float) -> None:
    expire = "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at <= :now"
    async with begin_immediate(engine) as connection:
        await connection.execute(text(expire), {"now": now})
        expired = await connection.execute(
            text("SELECT sku, quantity FROM holds WHERE status = 'expired' ORDER BY id")
        )
        for sku, quantity in expired.all():
            await connection.execute(text(RETURN), {"sku": sku, "quantity": quantity})


async def sweep_by_marking(engine: AsyncEngine, now: float) -> None:
    for hold in await due(engine, now):
        async with begin_immediate(engine) as connection:
            mark = "UPDATE holds SET status = 'expiring' WHERE id = :id AND status = 'held'"
            mine = (await connection.execute(text(mark), {"id": hold["id"]})).rowcount
        if mine:
            async with begin_immediate(engine) as connection:
                await connection.execute(
                    text("UPDATE holds SET status = 'expired' WHERE id = :id"), {"id": hold["id"]}
                )
                await connection.execute(
                    text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
                )


async def sweep_everybody(engine: AsyncEngine, now: float) -> None:
    await sweep_at_once(engine, now + 100_000)


async def sweep_the_first(engine: AsyncEngine, now: float) -> None:
    for hold in (await due(engine, now))[:1]:
        async with begin_immediate(engine) as connection:
            if (await connection.execute(text(EXPIRE), {"id": hold["id"]})).rowcount:
                await connection.execute(
                    text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
                )


async def sweep_rounding_up(engine: AsyncEngine, now: float) -> None:
    await sweep_at_once(engine, math.ceil(now))


async def sweep_in_whole_seconds(engine: AsyncEngine, now: float) -> None:
    await sweep_at_once(engine, int(now))


async def sweep_at_this_instant(engine: AsyncEngine, now: float) -> None:
    """Finds the holds that end now, and not those that have ended."""
    await _sweep_at_once(engine, now, " AND expires_at = :now")


async def sweep_the_earliest(engine: AsyncEngine, now: float) -> None:
    """One due time only."""
    earliest = "(SELECT MIN(expires_at) FROM holds WHERE status = 'held')"
    await _sweep_at_once(engine, now, f" AND expires_at = {earliest}")


async def _sweep_at_once(engine: AsyncEngine, now: float, more: str) -> None:
    expire = (
        "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at <= :now"
        f"{more} RETURNING sku, quantity"
    )
    async with begin_immediate(engine) as connection:
        for sku, quantity in (await connection.execute(text(expire), {"now": now})).all():
            await connection.execute(text(RETURN), {"sku": sku, "quantity": quantity})


async def sweep_with_counted_stock(engine: AsyncEngine, now: float) -> None:
    """Writes the stock that it has read before, plus the units: who reserves meanwhile is lost."""
    async with reading(engine) as connection:
        stock = (await connection.execute(text("SELECT sku, on_hand, held FROM stock"))).all()
    expire = (
        "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at <= :now"
        " AND sku = :sku RETURNING quantity"
    )
    write = text("UPDATE stock SET on_hand = :on_hand, held = :held WHERE sku = :sku")
    async with begin_immediate(engine) as connection:
        for sku, on_hand, held in stock:
            ended = await connection.execute(text(expire), {"now": now, "sku": sku})
            units = sum(ended.scalars())
            if units:
                counted = {"on_hand": on_hand + units, "held": held - units, "sku": sku}
                await connection.execute(write, counted)


async def sweep_sums_of_before(engine: AsyncEngine, now: float) -> None:
    """Adds up what is due in one transaction and expires it in another."""
    sums: dict[str, int] = {}
    for hold in await due(engine, now):
        sums[hold["sku"]] = sums.get(hold["sku"], 0) + hold["quantity"]
    expire = (
        "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at <= :now"
        " AND sku = :sku"
    )
    async with begin_immediate(engine) as connection:
        for sku, quantity in sums.items():
            if (await connection.execute(text(expire), {"now": now, "sku": sku})).rowcount:
                await connection.execute(text(RETURN), {"sku": sku, "quantity": quantity})


async def sweep_all_that_is_held(engine: AsyncEngine, now: float) -> None:
    expire = "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at <= :now"
    async with begin_immediate(engine) as connection:
        await connection.execute(text(expire), {"now": now})
        await connection.execute(text("UPDATE stock SET on_hand = on_hand + held, held = 0"))


async def sweep_away(engine: AsyncEngine, now: float) -> None:
    delete = (
        "DELETE FROM holds WHERE status = 'held' AND expires_at <= :now RETURNING sku, quantity"
    )
    async with begin_immediate(engine) as connection:
        for sku, quantity in (await connection.execute(text(delete), {"now": now})).all():
            await connection.execute(text(RETURN), {"sku": sku, "quantity": quantity})


async def sweep_from_a_look(engine: AsyncEngine, now: float) -> None:
    """Looks at each hold once more, in another transaction than the one that ends it."""
    for hold in await due(engine, now):
        async with reading(engine) as connection:
            status = await connection.scalar(text(STATUS), {"id": hold["id"]})
        if status == "held":
            async with begin_immediate(engine) as connection:
                await connection.execute(
                    text("UPDATE holds SET status = 'expired' WHERE id = :id"), {"id": hold["id"]}
                )
                await connection.execute(
                    text(RETURN), {"sku": hold["sku"], "quantity": hold["quantity"]}
                )


async def sweep_into_a_column_that_is_not_there(engine: AsyncEngine, now: float) -> None:
    async with begin_immediate(engine) as connection:
        await connection.execute(text("UPDATE holds SET state = 'expired'"))


async def confirm_without_await(db: Statements, hold_id: str, now: float) -> bool:
    if db.change(GUARDED, id=hold_id, now=now):  # type: ignore[truthy-bool]  # without await
        return True
    return bool(await db.ask(STATUS, id=hold_id) == "confirmed")


async def confirm_returning_a_coroutine(db: Statements, hold_id: str, now: float) -> Any:
    return db.ask(STATUS, id=hold_id)


async def sweep_without_await(engine: AsyncEngine, now: float) -> None:
    async with begin_immediate(engine) as connection:
        connection.execute(text(EXPIRE), {"id": "hold-carl"})  # type: ignore[unused-coroutine]  # without await


EXERCISES = (
    Exercise(
        "1.1c-1",
        scenarios=(late_payment,),
        stub=confirm_stub,
        to_write="confirm_stub",
        right=(confirm_guarded,),
        wrong={
            confirm_looking_first: (
                "was told True on one and False on the other, and the stove is hers"
            ),
            confirm_without_a_guard: (
                "given to ben when anna's hold was expired, and then that hold became confirmed"
            ),
            confirm_look_then_write: "and then that hold became confirmed",
            confirm_by_time_alone: "and then that hold became confirmed",
            confirm_by_status_alone: "anna was told True, and her hold had ended",
            confirm_whatever_was_changed: "anna was told True, and the stove is ben's",
            confirm_once_only: "asked twice, was told True and then False, and the stove is hers",
            confirm_every_hold: "cleo has another hold, did nothing, and it is confirmed",
            confirm_or_expire: (
                "nobody ended her hold, and it is expired: False must change nothing"
            ),
            confirm_and_undo: "anna was told True, and the stove is ben's",
            confirm_or_delete: "nobody ended her hold, and it is gone: False must change nothing",
            confirm_in_whole_seconds: "anna was told True, and her hold had ended 50 ms before",
            confirm_under_another_name: (
                "hold-anna is anna's, and in the end its customer is 'paid'"
            ),
            confirm_for_longer: "her hold ends at another time than before",
            confirm_leaving_a_row: (
                "it returned False for 'hold-nobody', which does not exist, and changed the table"
            ),
            confirm_nothing: "anna was told False, and the stove was hers for another 750 ms",
        },
        forgetful={confirm_without_await: "Statements.change"},
        raising={
            confirm_expecting_a_row: "in confirm_expecting_a_row:  return bool((await db.ask(",
        },
        odd={
            confirm_returning_a_coroutine: (
                "An async function returns a coroutine: is an `await` missing?"
            ),
            confirm_and_return_nothing: "confirm must return True or False, it returned None",
        },
    ),
    Exercise(
        "1.1c-2",
        scenarios=(sweepers,),
        stub=sweep_stub,
        to_write="sweep_stub",
        right=(sweep_one_by_one,),
        right_too=(sweep_at_once,),
        wrong={
            sweep_status_first: "1 stove did not come back",
            sweep_by_marking: "1 stove did not come back",
            sweep_units_first: (
                "3 stoves came back twice: in the end 7 on hand, -2 held, 0 sold; by "
                "the holds it should be 4 on hand"
            ),
            sweep_without_a_guard: "came back twice",
            sweep_without_looking_at_the_count: "came back twice",
            sweep_all_that_are_expired: "3 stoves came back twice",
            sweep_one_unit_each: "1 stove did not come back",
            sweep_everybody: "hold-fred was not yet due, and after the last sweep it is expired",
            sweep_those_before: "was due, and after the last sweep it is held",
            sweep_at_this_instant: "hold-emil was due, and after the last sweep it is held",
            sweep_the_earliest: "was due, and after the last sweep it is held",
            sweep_with_counted_stock: "1 stove came back twice: in the end 4 on hand",
            sweep_sums_of_before: "came back twice",
            sweep_all_that_is_held: "came back twice",
            sweep_away: "was due, and after the last sweep it is gone",
            sweep_from_a_look: "came back twice",
            sweep_rounding_up: "hold-ivan was not yet due, and after the last sweep it is expired",
            sweep_in_whole_seconds: "hold-gina was due, and after the last sweep it is held",
            sweep_the_first: "hold-emil was due, and after the last sweep it is held",
        },
        forgetful={sweep_without_await: "AsyncConnection.execute"},
        raising={
            sweep_into_a_column_that_is_not_there: (
                "in sweep_into_a_column_that_is_not_there:  await connection"
            ),
        },
    ),
)
