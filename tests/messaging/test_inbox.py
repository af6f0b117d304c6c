"""The inbox on both databases: one effect a message, one answer a command, whatever comes at the
same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import KeyReused
from labkit.base.idempotency import Answer
from labkit.base.transactions import begin_immediate, use_write_ahead_log
from labkit.messaging import Inbox, create_inbox
from tests.messaging.letters import Clock
from tests.support.engines import engine_on

CLOCK = Clock()
PAYMENTS = Inbox("payments", CLOCK)


class Refusal(Exception):
    pass


def play(url: str, scenario: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    """Run the scenario on a database with an inbox and a counter."""

    async def act() -> Any:
        async with engine_on(url) as engine:
            await use_write_ahead_log(engine)
            await create_inbox(engine)
            async with begin_immediate(engine) as connection:
                await connection.execute(text("CREATE TABLE effects (n INTEGER)"))
                await connection.execute(text("INSERT INTO effects VALUES (0)"))
            return await scenario(engine)

    return asyncio.run(act())


async def count_up(connection: AsyncConnection) -> int:
    await connection.execute(text("UPDATE effects SET n = n + 1"))
    return int((await connection.execute(text("SELECT n FROM effects"))).scalar_one())


async def effects(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT n FROM effects"))).scalar_one())


async def handle(
    engine: AsyncEngine, message: str, inbox: Inbox = PAYMENTS, fail: bool = False
) -> bool:
    async with begin_immediate(engine) as connection:
        first = await inbox.first(connection, message)
        if first:
            await count_up(connection)
        if fail:
            raise Refusal
        return first


async def command(
    engine: AsyncEngine, message: str, fingerprint: str = "", error: Exception | None = None
) -> tuple[str, bool]:
    async with begin_immediate(engine) as connection:

        async def work() -> Answer:
            now = await count_up(connection)
            if error is not None:
                raise error
            return Answer(200, f"effect {now}")

        def refusal(raised: Exception) -> Answer | None:
            return Answer(402, "refused") if isinstance(raised, Refusal) else None

        answer, replayed = await PAYMENTS.once(
            connection, message, work, fingerprint=fingerprint, refusal=refusal
        )
        return answer.body, replayed


def test_a_message_has_its_effect_the_first_time(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        return [await handle(engine, message) for message in ("a", "a", "b", "a")], await effects(
            engine
        )

    assert play(database, scenario) == ([True, False, True, False], 2)


def test_two_consumers_on_one_database_each_have_it_once(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        shipping = Inbox("shipping", CLOCK)
        return [
            await handle(engine, "a", inbox) for inbox in (PAYMENTS, shipping, PAYMENTS, shipping)
        ]

    assert play(database, scenario) == [True, True, False, False]


def test_what_is_rolled_back_was_not_received(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        with pytest.raises(Refusal):
            await handle(engine, "a", fail=True)
        return await handle(engine, "a"), await effects(engine)

    assert play(database, scenario) == (True, 1)


def test_of_many_deliveries_at_the_same_moment_one_is_the_first(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        firsts = await asyncio.gather(*(handle(engine, "a") for _ in range(8)))
        return sum(firsts), await effects(engine)

    assert play(database, scenario) == (1, 1)


def test_of_many_equal_commands_at_the_same_moment_all_hear_the_one_answer(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        answers = await asyncio.gather(*(command(engine, "a") for _ in range(8)))
        return (
            {body for body, _ in answers},
            sum(not replayed for _, replayed in answers),
            await effects(engine),
        )

    assert play(database, scenario) == ({"effect 1"}, 1, 1)


def test_a_refusal_is_an_answer_whose_work_is_undone(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        return [
            await command(engine, "a", error=Refusal()),
            await command(engine, "a"),
            await effects(engine),
        ]

    assert play(database, scenario) == [("refused", False), ("refused", True), 0]


def test_what_is_no_refusal_leaves_nothing_and_the_command_may_come_again(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        with pytest.raises(ZeroDivisionError):
            await command(engine, "a", error=ZeroDivisionError())
        return await command(engine, "a"), await effects(engine)

    assert play(database, scenario) == (("effect 1", False), 1)


def test_a_message_id_with_another_payload_is_refused(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        await command(engine, "a", fingerprint="one")
        with pytest.raises(
            KeyReused, match="message 'a' was received by 'payments' with another payload"
        ):
            await command(engine, "a", fingerprint="two")
        await handle(engine, "event")
        with pytest.raises(KeyReused):  # an event's id is no command's
            await command(engine, "event")
        return await effects(engine)

    assert play(sqlite_url, scenario) == 2


def test_what_is_pruned_would_have_its_effect_again(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        await handle(engine, "old")
        CLOCK.now += 100
        await handle(engine, "new")
        async with begin_immediate(engine) as connection:
            pruned = await PAYMENTS.prune(connection, CLOCK.now)
        return pruned, await handle(engine, "new"), await handle(engine, "old")

    assert play(sqlite_url, scenario) == (1, False, True)


@pytest.mark.parametrize("name", ["", "x" * 65, None, 3])
def test_a_consumer_needs_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match="consumer must be a name of 1 to 64 characters, got"):
        Inbox(name, CLOCK)


@pytest.mark.parametrize("message", ["", "x" * 256, None, 3])
def test_a_message_needs_an_id(sqlite_url: str, message: Any) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(
            ValueError, match="message_id must be a text of 1 to 255 characters, got"
        ):
            await handle(engine, message)

    play(sqlite_url, scenario)
