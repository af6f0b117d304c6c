"""What readers hand in for the exercises of lesson 1.2c: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate
from labkit.lessons.l1_2c.once_only import once_only
from labkit.lessons.l1_2c.patient_relay import patient_relay
from tests.lessons.handed_in import Exercise

Effect = Callable[[AsyncConnection], Awaitable[None]]
Publish = Callable[[int], Awaitable[None]]

# -- 1.2c-1: an idempotent consumer

ENTER = text("INSERT INTO inbox VALUES (:message) ON CONFLICT DO NOTHING")
LOOK = text("SELECT 1 FROM inbox WHERE message = :message")


async def consume_stub(engine: AsyncEngine, message: str, effect: Effect) -> None:
    raise NotImplementedError


async def consume_in_one_transaction(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        if (await connection.execute(ENTER, {"message": message})).rowcount:
            await effect(connection)


async def consume_immediately(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with begin_immediate(engine) as connection:
        if not (await connection.execute(LOOK, {"message": message})).first():
            await effect(connection)
            await connection.execute(ENTER, {"message": message})


async def consume_trying_again(engine: AsyncEngine, message: str, effect: Effect) -> None:
    try:
        await consume_in_one_transaction(engine, message, effect)
    except Exception:
        await consume_in_one_transaction(engine, message, effect)


async def consume_every_time(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        await effect(connection)


async def consume_after_a_look(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        seen = (await connection.execute(LOOK, {"message": message})).first()
    if not seen:
        async with engine.begin() as connection:
            await effect(connection)
        async with engine.begin() as connection:
            await connection.execute(ENTER, {"message": message})


async def consume_entered_first(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        new = (await connection.execute(ENTER, {"message": message})).rowcount
    if new:
        async with engine.begin() as connection:
            await effect(connection)


async def consume_entered_last(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        if (await connection.execute(LOOK, {"message": message})).first():
            return
        await effect(connection)
    async with engine.begin() as connection:
        await connection.execute(ENTER, {"message": message})


async def consume_and_swallow(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        if (await connection.execute(ENTER, {"message": message})).rowcount:
            with suppress(Exception):
                await effect(connection)


SEEN: WeakKeyDictionary[AsyncEngine, set[str]] = WeakKeyDictionary()


async def consume_remembering(engine: AsyncEngine, message: str, effect: Effect) -> None:
    seen = SEEN.setdefault(engine, set())
    if message not in seen:
        async with engine.begin() as connection:
            await effect(connection)
        seen.add(message)


async def consume_without_conflict(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO inbox VALUES (:message)"), {"message": message})
        await effect(connection)


async def consume_nothing(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        await connection.execute(ENTER, {"message": message})


async def consume_passing_over_the_database(
    engine: AsyncEngine, message: str, effect: Effect
) -> None:
    """Takes a lost answer for a commit."""
    with suppress(DBAPIError):
        await consume_in_one_transaction(engine, message, effect)


async def consume_hoping_for_the_commit(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.connect() as connection:
        if (await connection.execute(ENTER, {"message": message})).rowcount:
            await effect(connection)
        with suppress(Exception):
            await connection.commit()


async def consume_without_await(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        if (await connection.execute(ENTER, {"message": message})).rowcount:
            effect(connection)  # type: ignore[unused-awaitable]  # without await


async def consume_with_a_typo(engine: AsyncEngine, message: str, effect: Effect) -> None:
    async with engine.begin() as connection:
        if (await connection.execute(ENTER, {"message": message})).rowcount:
            await effect(connection.conection)  # type: ignore[attr-defined]


# -- 1.2c-2: a relay that neither loses nor reorders

UNSENT = text("SELECT number FROM outbox WHERE sent = 0 ORDER BY number")
MARK = text("UPDATE outbox SET sent = 1 WHERE number = :number")


async def unsent(engine: AsyncEngine, statement: TextClause = UNSENT) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.execute(statement)).scalars())


async def mark(engine: AsyncEngine, number: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(MARK, {"number": number})


async def relay_stub(engine: AsyncEngine, publish: Publish) -> None:
    raise NotImplementedError


async def relay_one_by_one(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        await publish(number)
        await mark(engine, number)


async def relay_in_a_batch(engine: AsyncEngine, publish: Publish) -> None:
    numbers = await unsent(engine)
    for number in numbers:
        await publish(number)
    async with engine.begin() as connection:
        for number in numbers:
            await connection.execute(MARK, {"number": number})


async def relay_the_next(engine: AsyncEngine, publish: Publish) -> None:
    for number in (await unsent(engine))[:1]:
        await publish(number)
        await mark(engine, number)


async def relay_marked_first(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        await mark(engine, number)
        await publish(number)


async def relay_marking_all(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        await publish(number)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE outbox SET sent = 1 WHERE sent = 0"))


async def relay_unmarking(engine: AsyncEngine, publish: Publish) -> None:
    try:
        await relay_one_by_one(engine, publish)
    except Exception:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE outbox SET sent = 0"))
        raise


async def relay_publishing_until_marked(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        while True:
            with suppress(Exception):
                await publish(number)
                await mark(engine, number)
                break
            await asyncio.sleep(0.05)


async def relay_without_await(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        await publish(number)
        mark(engine, number)  # type: ignore[unused-coroutine]  # without await


async def relay_in_any_order(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine, text("SELECT number FROM outbox WHERE sent = 0")):
        await publish(number)
        await mark(engine, number)


async def relay_at_once(engine: AsyncEngine, publish: Publish) -> None:
    async def one(number: int) -> None:
        await publish(number)
        await mark(engine, number)

    await asyncio.gather(*map(one, await unsent(engine)))


async def relay_skipping(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        try:
            await publish(number)
        except Exception:
            continue  # the next round tries it again
        await mark(engine, number)


async def relay_whatever_happens(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        with suppress(Exception):
            await publish(number)
        await mark(engine, number)


async def relay_unmarked(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        await publish(number)


async def relay_of_rows(engine: AsyncEngine, publish: Any) -> None:
    async with engine.connect() as connection:
        for row in await connection.execute(UNSENT):
            await publish(row)


async def relay_twice(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine):
        await publish(number)
        await publish(number)
        await mark(engine, number)


async def relay_for_ever(engine: AsyncEngine, publish: Publish) -> None:
    while True:
        for number in await unsent(engine):
            await publish(number)


async def relay_misspelt(engine: AsyncEngine, publish: Publish) -> None:
    for number in await unsent(engine, text("SELECT nummer FROM outbox")):
        await publish(number)


EXERCISES = (
    Exercise(
        "1.2c-1",
        scenarios=(once_only,),
        stub=consume_stub,
        to_write="consume_stub",
        right=(consume_in_one_transaction,),
        right_too=(consume_immediately,),
        wrong={
            consume_trying_again: "m1's effect raised, and consume did not let the error out",
            consume_every_time: "m1 was delivered twice, and its effect is there twice",
            consume_after_a_look: "m1 was delivered twice, and its effect is there twice",
            consume_entered_first: "m1 was acknowledged, and its effect is not there",
            consume_entered_last: "m1 was delivered twice, and its effect is there twice",
            consume_and_swallow: (
                "m1's effect raised, and half of it was committed: a charge, and no receipt"
            ),
            consume_remembering: "m1 was delivered twice, and its effect is there twice",
            consume_passing_over_the_database: "m1 was acknowledged, and its effect is not there",
            consume_hoping_for_the_commit: "m1 was acknowledged, and its effect is not there",
            consume_nothing: "m1 was acknowledged, and its effect is not there",
        },
        forgetful={consume_without_await: "effect"},
        raising={
            consume_with_a_typo: "in consume_with_a_typo:  await effect(connection.conection)",
            consume_without_conflict: (
                "in consume_without_conflict:  await connection.execute(text("
            ),
        },
    ),
    Exercise(
        "1.2c-2",
        scenarios=(patient_relay,),
        stub=relay_stub,
        to_write="relay_stub",
        right=(relay_one_by_one,),
        right_too=(
            relay_in_a_batch,
            relay_the_next,
        ),
        wrong={
            relay_marked_first: "event 1 was committed and never published",
            relay_marking_all: "event 1 was committed and never published",
            relay_whatever_happens: "event 1 was committed and never published",
            relay_unmarking: "was marked as sent, and published once more",
            relay_publishing_until_marked: "was marked as sent, and published once more",
            relay_in_any_order: "event 1 was published after event 3: the stream has 3",
            relay_at_once: "event 1 was published after event 2: the stream has 2, 1",
            relay_skipping: "event 1 was published after event 2: the stream has 2, 1",
            relay_twice: (
                "nothing went wrong, and event 1 was published more than once: the stream has 1, 1"
            ),
        },
        forgetful={relay_without_await: "mark"},
        raising={
            relay_of_rows: "in relay_of_rows:  await publish(row)",
            relay_misspelt: (
                "in unsent:  return list((await connection.execute(statement)).scalars())"
            ),
        },
    ),
)
