"""One delivery, one transaction: inbox, effect and answer together or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.transactions import begin_immediate, use_write_ahead_log
from labkit.messaging import (
    BadMessage,
    Early,
    Envelope,
    Inbox,
    Later,
    Outbox,
    Service,
    Subscriber,
    create_inbox,
    create_outbox,
)
from tests.messaging.letters import CATALOG, Answered, Asked, Clock, Refused, asked, numbered
from tests.support.engines import engine_on, lost_commit


class Desk:
    """A service that counts what it was asked, and answers; `answer` decides with what."""

    def __init__(
        self,
        engine: AsyncEngine,
        answer: Callable[[], Iterable[Any]],
        observe: Any = lambda kind, **facts: None,
    ) -> None:
        service = Service("desk")

        @service.on(Asked, emits=(Answered, Refused))
        async def react(
            connection: AsyncConnection, event: Asked, envelope: Envelope
        ) -> Iterable[Any]:
            await connection.execute(text("UPDATE effects SET n = n + 1"))
            return answer()

        self.engine = engine
        self.outbox = Outbox("desk", CATALOG, clock=Clock(), ids=numbered())
        inbox = Inbox("desk", Clock())
        self.subscriber = Subscriber(
            service, CATALOG, engine, inbox=inbox, outbox=self.outbox, observe=observe
        )

    async def state(self) -> tuple[int, list[Any]]:
        """How often it has had its effect, and what it has said."""
        async with self.engine.connect() as connection:
            effects = (await connection.execute(text("SELECT n FROM effects"))).scalar_one()
            wires = (
                await connection.execute(text("SELECT wire FROM outbox ORDER BY position"))
            ).scalars()
            return effects, [CATALOG.decode(wire).event for wire in wires]


def play(url: str, scenario: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    async def act() -> Any:
        async with engine_on(url) as engine:
            await use_write_ahead_log(engine)
            await create_inbox(engine)
            await create_outbox(engine)
            async with begin_immediate(engine) as connection:
                await connection.execute(text("CREATE TABLE effects (n INTEGER)"))
                await connection.execute(text("INSERT INTO effects VALUES (0)"))
            return await scenario(engine)

    return asyncio.run(act())


def failing(error: Exception) -> Callable[[], Iterable[Any]]:
    def answer() -> Iterable[Any]:
        raise error

    return answer


def test_a_message_has_its_effect_and_its_answer_once(database: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        desk = Desk(engine, lambda: [Answered("o1", 3)])
        handled = [await desk.subscriber.receive(asked(number)) for number in (1, 1, 2, 1)]
        return handled, await desk.state()

    handled = ["done", "duplicate", "done", "duplicate"]
    assert play(database, scenario) == (handled, (2, [Answered("o1", 3), Answered("o1", 3)]))


def test_the_answer_names_its_cause(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        desk = Desk(engine, lambda: [Refused("o1")])
        await desk.subscriber.receive(asked(7))
        async with engine.connect() as connection:
            (said,) = await desk.outbox.said(connection, "event-7")
        return said.causation, said.correlation, said.aggregate, said.sequence, said.source

    assert play(sqlite_url, scenario) == ("event-7", "event-7", "o1", 1, "desk")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ZeroDivisionError("a mistake"), ZeroDivisionError),
        (Early("too early"), Early),
        (Later("not now"), Later),
    ],
    ids=["a mistake", "early", "later"],
)
def test_a_reaction_that_raises_leaves_nothing_and_the_message_may_come_again(
    database: str, error: Exception, raised: type[Exception]
) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        with pytest.raises(raised):
            await Desk(engine, failing(error)).subscriber.receive(asked())
        desk = Desk(engine, lambda: ())
        between = await desk.state()
        return between, await desk.subscriber.receive(asked()), await desk.state()

    assert play(database, scenario) == ((0, []), "done", (1, []))


def test_to_say_what_was_not_declared_is_an_error_and_nothing_happens(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        desk = Desk(engine, lambda: [Answered("o1", 3), Asked("o1")])
        with pytest.raises(
            TypeError,
            match="desk on Asked may say Answered, Refused, as it declared, and said Asked",
        ):
            await desk.subscriber.receive(asked())
        return await desk.state()

    assert play(sqlite_url, scenario) == (0, [])


def test_a_message_for_others_costs_no_transaction(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        told: list[str] = []
        desk = Desk(engine, lambda: (), observe=lambda kind, **facts: told.append(kind))
        other = CATALOG.encode(
            Envelope("event-1", "shop", "o1", 1, "event-1", None, 0.0, Refused("o1"))
        )
        return await desk.subscriber.receive(other), told, await desk.state()

    assert play(sqlite_url, scenario) == ("ignored", [], (0, []))


def test_what_is_no_message_is_refused_before_the_database_is_asked(sqlite_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        desk = Desk(engine, lambda: ())
        with pytest.raises(
            BadMessage, match="type must be one of Answered, Asked, Refused, got 'Stolen'"
        ):
            await desk.subscriber.receive('{"type": "Stolen"}')
        return await desk.state()

    assert play(sqlite_url, scenario) == (0, [])


@pytest.mark.parametrize("executed", [False, True], ids=["not carried out", "carried out"])
def test_a_commit_without_an_answer_is_for_later_and_the_inbox_knows_then(
    database: str, executed: bool
) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        desk = Desk(engine, lambda: [Refused("o1")])
        with lost_commit(engine, executed=executed), pytest.raises(Later):
            await desk.subscriber.receive(asked())
        return await desk.subscriber.receive(asked()), await desk.state()

    assert play(database, scenario) == ("duplicate" if executed else "done", (1, [Refused("o1")]))


def test_a_service_that_hears_or_says_what_the_catalog_does_not_have_is_refused(
    sqlite_url: str,
) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        foreign = type("Foreign", (Asked,), {})
        said = Service("desk")
        said.on(Asked, emits=(foreign,))(_nothing)
        heard = Service("desk")
        heard.on(foreign)(_nothing)
        itself = Service("desk")
        itself.says(foreign)
        for service in (said, heard, itself):
            with pytest.raises(
                ValueError, match="desk hears or says Foreign, which is not in the catalog"
            ):
                outbox = Outbox("desk", CATALOG, clock=Clock(), ids=numbered())
                Subscriber(service, CATALOG, engine, inbox=Inbox("desk", Clock()), outbox=outbox)

    play(sqlite_url, scenario)


def test_a_service_reacts_to_an_event_in_one_way() -> None:
    service = Service("desk")
    service.on(Asked)(_nothing)
    with pytest.raises(
        ValueError, match="desk reacts to Asked already; one reaction to an event is allowed"
    ):
        service.on(Asked)(_nothing)
    assert repr(service) == "<Service desk, reacts to Asked>"


async def _nothing(connection: AsyncConnection, event: Any, envelope: Envelope) -> Iterable[Any]:
    return ()
