"""What readers hand in for the exercises of lesson 1.1b: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import begin_immediate, reading
from labkit.lessons.l1_1b.late_payment import Statements, late_payment
from labkit.lessons.l1_1b.moving_rights import moving_rights
from labkit.lessons.l1_1b.sweepers import sweepers
from tests.lessons.handed_in import Exercise

# -- 1.1b-1: confirm a hold

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


async def confirm_nothing(db: Statements, hold_id: str, now: float) -> bool:
    return False


async def confirm_and_return_nothing(db: Statements, hold_id: str, now: float) -> Any:
    await db.change(GUARDED, id=hold_id, now=now)


async def confirm_expecting_a_row(db: Statements, hold_id: str, now: float) -> bool:
    if await db.change(GUARDED, id=hold_id, now=now):
        return True
    return bool((await db.ask(STATUS, id=hold_id)).startswith("confirmed"))


# -- 1.1b-2: sweep

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
    expire = "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at <= :now RETURNING sku, quantity"
    async with begin_immediate(engine) as connection:
        for sku, quantity in (await connection.execute(text(expire), {"now": now})).all():
            await connection.execute(text(RETURN), {"sku": sku, "quantity": quantity})


async def sweep_those_before(engine: AsyncEngine, now: float) -> None:
    expire = "UPDATE holds SET status = 'expired' WHERE status = 'held' AND expires_at < :now RETURNING sku, quantity"
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


async def sweep_into_a_column_that_is_not_there(engine: AsyncEngine, now: float) -> None:
    async with begin_immediate(engine) as connection:
        await connection.execute(text("UPDATE holds SET state = 'expired'"))


# -- 1.1b-3: rights that move


class QuotaStub:
    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site = site

    def rights(self) -> int:
        raise NotImplementedError

    def take(self, quantity: int) -> bool:
        raise NotImplementedError

    def give(self, to: str, quantity: int) -> bool:
        raise NotImplementedError

    def state(self) -> Any:
        raise NotImplementedError

    def merge(self, state: Any) -> None:
        raise NotImplementedError


class BoundedCounter:
    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site = site
        self.given: dict[tuple[str, str], int] = {
            (a, b): first[a] if a == b else 0 for a in first for b in first
        }
        self.taken: dict[str, int] = dict.fromkeys(first, 0)

    def rights(self) -> int:
        came = sum(count for (_, b), count in self.given.items() if b == self.site)
        went = sum(count for (a, b), count in self.given.items() if a == self.site != b)
        return came - went - self.taken[self.site]

    def take(self, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.taken[self.site] += quantity
        return True

    def give(self, to: str, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.given[self.site, to] += quantity
        return True

    def state(self) -> Any:
        return self.given, self.taken

    def merge(self, state: Any) -> None:
        given, taken = state
        self.given |= {key: max(self.given[key], count) for key, count in given.items()}
        self.taken |= {site: max(self.taken[site], count) for site, count in taken.items()}


class TellsOnlyItsOwn(BoundedCounter):
    """A right one too: who was given something learns it from the giver."""

    def state(self) -> Any:
        return {key: count for key, count in self.given.items() if key[0] == self.site}, {
            self.site: self.taken[self.site]
        }


class AddsWhatItHears(BoundedCounter):
    """The last gift in a letter."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site, self.left = site, first[site]
        self.gift: tuple[str, int] = ("", 0)

    def rights(self) -> int:
        return self.left

    def take(self, quantity: int) -> bool:
        if quantity > self.left:
            return False
        self.left -= quantity
        return True

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.gift = (to, quantity)
        return True

    def state(self) -> Any:
        return self.gift

    def merge(self, state: Any) -> None:
        to, quantity = state
        if to == self.site:
            self.left += quantity


class NumbersItsGifts(AddsWhatItHears):
    """Gifts with a number, each taken once; but every giver counts from 1."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        super().__init__(site, first)
        self.gifts: list[tuple[int, str, int]] = []
        self.seen: set[int] = set()

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.gifts.append((len(self.gifts) + 1, to, quantity))
        return True

    def state(self) -> Any:
        return self.gifts

    def merge(self, state: Any) -> None:
        for number, to, quantity in state:
            if to == self.site and number not in self.seen:
                self.seen.add(number)
                self.left += quantity


class AddsAndForgets(AddsWhatItHears):
    """Told once, the gift is out of the giver's books, arrived or not."""

    def state(self) -> Any:
        gift, self.gift = self.gift, ("", 0)
        return gift


class MaximumOfWhatIsLeft(AddsWhatItHears):
    """The larger of two remainders: what was sold comes back to life."""

    def __init__(self, site: str, first: dict[str, int]) -> None:
        self.site, self.all = site, dict(first)

    def rights(self) -> int:
        return self.all[self.site]

    def take(self, quantity: int) -> bool:
        if quantity > self.rights():
            return False
        self.all[self.site] -= quantity
        return True

    def give(self, to: str, quantity: int) -> bool:
        if not self.take(quantity):
            return False
        self.all[to] += quantity
        return True

    def state(self) -> Any:
        return self.all

    def merge(self, state: Any) -> None:
        self.all = {site: max(count, state[site]) for site, count in self.all.items()}


class Overwrites(BoundedCounter):
    def merge(self, state: Any) -> None:
        self.given, self.taken = state


class OverwritesOthers(BoundedCounter):
    """Its own row is safe; of another's, an old letter undoes a newer one."""

    def merge(self, state: Any) -> None:
        given, taken = state
        self.given |= {key: count for key, count in given.items() if key[0] != self.site}
        self.taken |= {site: count for site, count in taken.items() if site != self.site}


class Sums(BoundedCounter):
    def merge(self, state: Any) -> None:
        given, taken = state
        self.given |= {key: self.given[key] + count for key, count in given.items()}
        self.taken |= {site: self.taken[site] + count for site, count in taken.items()}


class GivesWhatItHasNot(BoundedCounter):
    def give(self, to: str, quantity: int) -> bool:
        self.given[self.site, to] += quantity
        return True


class SellsWhatIsAnywhere(BoundedCounter):
    def rights(self) -> int:
        return sum(count for (a, b), count in self.given.items() if a == b) - sum(
            self.taken.values()
        )


class SaysNothing(BoundedCounter):
    def take(self, quantity: int) -> Any:
        super().take(quantity)


class ForgetsAKey(BoundedCounter):
    def merge(self, state: Any) -> None:
        super().merge((state[0], {"south": state[1]["south"]}))


class RightsInWords(BoundedCounter):
    def rights(self) -> Any:
        return str(super().rights())


EXERCISES = (
    Exercise(
        "1.1b-1",
        scenarios=(late_payment,),
        stub=confirm_stub,
        to_write="confirm_stub",
        right=(confirm_guarded,),
        long=(confirm_looking_first, confirm_once_only),
        wrong={
            confirm_looking_first: (
                "was told True on one and False on the other, and the stove is hers"
            ),
            confirm_without_a_guard: "given to ben when anna's hold was expired, and then that hold became confirmed",
            confirm_look_then_write: "and then that hold became confirmed",
            confirm_by_time_alone: "and then that hold became confirmed",
            confirm_by_status_alone: "anna was told True, and her hold had ended",
            confirm_whatever_was_changed: "anna was told True, and the stove is ben's",
            confirm_once_only: (
                "was told True on one and False on the other, and the stove is hers"
            ),
            confirm_every_hold: "cleo has another hold, did nothing, and it is confirmed",
            confirm_or_expire: "nobody ended her hold, and it is expired: False must change nothing",
            confirm_or_delete: "nobody ended her hold, and it is gone: False must change nothing",
            confirm_nothing: "anna was told False, and the stove was hers for another 1 s",
        },
        raising={
            confirm_expecting_a_row: "in confirm_expecting_a_row:  return bool((await db.ask(",
        },
        odd={
            confirm_and_return_nothing: "confirm must return True or False, it returned None",
        },
    ),
    Exercise(
        "1.1b-2",
        scenarios=(sweepers,),
        stub=sweep_stub,
        to_write="sweep_stub",
        long=(sweep_without_a_guard, sweep_without_looking_at_the_count),
        right=(sweep_one_by_one,),
        right_too=(sweep_at_once,),
        wrong={
            sweep_status_first: "1 stove did not come back",
            sweep_by_marking: "1 stove did not come back",
            sweep_units_first: "1 stove came back twice",
            sweep_without_a_guard: "came back twice",
            sweep_without_looking_at_the_count: "came back twice",
            sweep_all_that_are_expired: "3 stoves came back twice",
            sweep_one_unit_each: "1 stove did not come back",
            sweep_everybody: "hold-fred was not due for an hour, and it is expired",
            sweep_those_before: "was due, and after the last sweep it is held",
            sweep_the_first: "hold-emil was due, and after the last sweep it is held",
        },
        raising={
            sweep_into_a_column_that_is_not_there: "in sweep_into_a_column_that_is_not_there:  await connection",
        },
    ),
    Exercise(
        "1.1b-3",
        scenarios=(moving_rights,),
        stub=QuotaStub,
        to_write="rights, take, give, state, merge",
        right=(BoundedCounter,),
        right_too=(TellsOnlyItsOwn,),
        wrong={
            AddsWhatItHears: "merged what it was told",
            NumbersItsGifts: "when everybody has told everybody, east 5, north 1 and west 2 may be sold",
            AddsAndForgets: "when everybody has told everybody, east 5, north 0 and west 4 may be sold",
            MaximumOfWhatIsLeft: "after north merged what it was told, east 6, north 1 and west 4 may be sold",
            Overwrites: "may be sold: with",
            OverwritesOthers: "north merged what it was told, and its rights went from 1 to 0",
            Sums: "after east merged what it was told",
            GivesWhatItHasNot: "north had 0, and give(1) returned True",
            SellsWhatIsAnywhere: "after east gave 1 to north, east 10",
        },
        raising={
            ForgetsAKey: 'in ForgetsAKey.merge:  super().merge((state[0], {"south": state[1]["south"]}))',
        },
        odd={
            SaysNothing: "take must return True or False, it returned None",
            RightsInWords: "rights must return an int, it returned '6'",
        },
    ),
)
