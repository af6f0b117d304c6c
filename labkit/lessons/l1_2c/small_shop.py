"""The plumbing of lesson 1.2c's own shop: five tables, three services that listen to one stream.

What a service does with an event is the lesson's; here is what carries no idea of its own.
`publish` and `listen` are the event bus that the guide leaves to its reader. `guide` opens a shop
of classes whose methods are marked by `hears`; `ours` opens one of plain functions, which `react`
runs. `relay` is the other half of the lesson's outbox, and what exercise 2 asks for.

Leaves out: what a shop that one would deploy needs; that is `labkit.lessons.shared.two_ways`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base import DatabaseUnavailable
from labkit.base.transactions import begin_immediate
from labkit.course.figures import Handler
from labkit.lessons.shared.four_stores import End
from labkit.world import World

SERVICES = ("orders", "payments", "warehouse")
STREAM = "events"
TABLES = (
    "orders (id TEXT, status TEXT)",
    "charges (id TEXT, cents INTEGER)",
    "stock (units INTEGER)",
    "outbox (id INTEGER PRIMARY KEY, source TEXT, kind TEXT, about TEXT, sent INTEGER DEFAULT 0)",
    "inbox (consumer TEXT, message TEXT, PRIMARY KEY (consumer, message))",
)
TROUBLE = RedisError, DatabaseUnavailable, OSError
POLL = 0.2  # seconds between two rounds of a relay
PAUSE = 0.1  # seconds before a service tries again after trouble

M = TypeVar("M", bound=Callable[..., Any])
Handle = Callable[[str, str, str], Awaitable[object]]
"""Handles the event of this kind, about this order, with this id."""
Opened = tuple[Callable[..., Awaitable[object]], Callable[[], Awaitable[End]]]
"""`place(order)`, and the function that looks what became of the orders."""


# -- the bus


async def publish(world: World, kind: str, order: str, id: str | None = None) -> None:
    """Append an event to the stream, and wait for the broker's answer."""
    world.record(f"publishes {kind}")
    event = {"kind": kind, "order": order, "id": id or world.new_id("event-")}
    await world.redis().xadd(STREAM, event)  # type: ignore[arg-type]  # its dict is invariant
    world.record("published")


async def listen(world: World, handle: Handle) -> None:
    """Give every event of the stream to `handle`, one after the other, for ever.

    After any trouble the service is first given again what it has not acknowledged."""
    redis, me = world.redis(), world.here()
    after = "0"  # what I was given and have not acknowledged; later ">", what is new
    while True:
        try:
            streams: Any = await redis.xreadgroup(me, me, {STREAM: after}, count=1, block=500)
            entries = streams[0][1] if streams else []
            for place, event in entries:
                kind, order, id = (event[name].decode() for name in (b"kind", b"order", b"id"))
                await handle(kind, order, id)
                await redis.xack(STREAM, me, place)
            after = after if entries else ">"
        except Exception as error:
            if not isinstance(error, TROUBLE):
                world.record("raised", error=type(error).__name__)
            after = "0"
            await asyncio.sleep(PAUSE)


# -- the guide's shop


def hears(kind: str) -> Callable[[M], M]:
    """Mark a method as the handler of the events of this kind."""

    def mark(method: M) -> M:
        method.hears = kind  # type: ignore[attr-defined]  # a mark, for `handlers`
        return method

    return mark


def handlers(service: object) -> dict[str, Any]:
    """The marked methods of a service, or of its class, by the kind of event."""
    methods = [getattr(service, name) for name in dir(service)]
    return {method.hears: method for method in methods if hasattr(method, "hears")}


class Service:
    """A service of the guide's shop; `sql` runs one statement and commits it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._engine = world.database(timeout=1.0)

    async def sql(self, statement: str, **values: Any) -> Any:
        """One statement in a transaction of its own."""
        return await sql(self._engine, statement, **values)

    async def publish(self, kind: str, order: str) -> None:
        """Tell the broker what has happened."""
        await publish(self.world, kind, order)


async def guide(world: World, stock: int, services: Mapping[str, Any]) -> Opened:
    """Open the shop of these classes, one for each service."""

    async def serve() -> None:
        heard = handlers(services[world.here()](world))

        async def handle(kind: str, order: str, id: str) -> None:
            if kind in heard:
                world.record(f"hears {kind}")
                await heard[kind](order)

        await listen(world, handle)

    return services["orders"](world).place, await open_tables(world, stock, serve)


def table_of(services: Mapping[str, type]) -> list[Handler]:
    """The event graph of classes, read from their code: each marked method with its service and
    the events whose names it mentions."""
    return [
        Handler(kind, service, _mentioned(method), name)
        for service, written in services.items()
        for kind, method in handlers(written).items()
        for name in [method.__name__]
    ]


def _mentioned(method: Any) -> tuple[str, ...]:
    """The texts in a method that are written like the name of an event: `OrderCreated`."""
    texts = [part for part in method.__code__.co_consts if isinstance(part, str)]
    return tuple(part for part in texts if part.isidentifier() and part[0].isupper())


# -- our shop


class Do:
    """Runs statements of one transaction. `:me` is the service and `:order` the order."""

    def __init__(self, connection: AsyncConnection, me: str, order: str) -> None:
        self._connection = connection
        self._known = {"me": me, "order": order}
        self.order = order

    def __repr__(self) -> str:
        return f"<Do, for {self.order}>"

    async def __call__(self, statement: str, **values: Any) -> int:
        """Run the statement; returns how many rows it changed."""
        done = await self._connection.execute(text(statement), self._known | values)
        return done.rowcount


class Place:
    """What a handler of our shop is run with, at one service."""

    def __init__(self, world: World, outbox: Any, inbox: Any) -> None:
        self.world, self.outbox, self.inbox = world, outbox, inbox
        self.engine = world.database(timeout=1.0)

    def statements(self, connection: AsyncConnection, order: str) -> Do:
        """`do`, for the statements of one transaction."""
        return Do(connection, self.world.here(), order)

    async def publish(self, kind: str, order: str) -> None:
        """Tell the broker what has happened."""
        await publish(self.world, kind, order)


async def ours(
    world: World,
    stock: int,
    handlers: Mapping[str, Any],
    react: Callable[..., Awaitable[None]],
    outbox: Any = None,
    inbox: Any = None,
) -> Opened:
    """Open the shop of the handlers `placed`, `charged` and `reserved`; `react` runs a handler.

    The other three are below. `outbox` and `inbox` are what `react` finds at its place."""
    table = {
        "orders": {"InventoryReserved": completed, "InventoryReservationFailed": cancelled},
        "payments": {
            "OrderCreated": handlers["charged"],
            "InventoryReservationFailed": refunded,
        },
        "warehouse": {"PaymentProcessed": handlers["reserved"]},
    }

    async def serve() -> None:
        mine, place = table[world.here()], Place(world, outbox, inbox)

        async def handle(kind: str, order: str, id: str) -> None:
            if kind in mine:
                await react(place, mine[kind], order, id)

        await asyncio.gather(listen(world, handle), *([relay(world)] if outbox else []))

    async def order(reference: str) -> None:
        place = Place(world, outbox, inbox)
        await react(place, handlers["placed"], reference, f"place {reference}")

    return order, await open_tables(world, stock, serve)


async def refunded(do: Do) -> None:
    """Give the money back."""
    await do("INSERT INTO charges VALUES (:order, -4500)")


async def completed(do: Do) -> None:
    """End a pending order well."""
    await do("UPDATE orders SET status = 'completed' WHERE id = :order AND status = 'pending'")


async def cancelled(do: Do) -> None:
    """End a pending order without a stove."""
    await do("UPDATE orders SET status = 'cancelled' WHERE id = :order AND status = 'pending'")


async def relay(world: World) -> None:
    """Publish what this service has in its outbox, in order, and mark each event after that."""
    me, engine = world.here(), world.database(timeout=1.0)
    unsent = "SELECT id, kind, about FROM outbox WHERE source = :me AND sent = 0 ORDER BY id"
    mark = "UPDATE outbox SET sent = 1 WHERE id = :id"
    while True:
        with suppress(*TROUBLE):
            for row in await sql(engine, unsent, me=me):
                await publish(world, row.kind, row.about, f"{me}-{row.id}")
                await sql(engine, mark, id=row.id)
        await asyncio.sleep(POLL)


# -- the tables


async def sql(engine: AsyncEngine, statement: str, **values: Any) -> Any:
    """One statement in a transaction of its own: the rows it returns, or how many it changed."""
    async with begin_immediate(engine) as connection:
        done = await connection.execute(text(statement), values)
        return done.all() if done.returns_rows else done.rowcount


async def open_tables(
    world: World, stock: int, serve: Callable[[], Awaitable[None]]
) -> Callable[[], Awaitable[End]]:
    """Make the tables, with this many units in stock, and run `serve` on the node of each service,
    again after a crash.

    Returns the function that looks what the orders came to.
    """
    engine = world.database()
    for table in TABLES:
        await sql(engine, f"CREATE TABLE {table}")
    await sql(engine, "INSERT INTO stock VALUES (:stock)", stock=stock)
    for name in SERVICES:
        await world.redis().xgroup_create(STREAM, name, "0", mkstream=True)
        world.node(name).boot(serve)  # type: ignore[arg-type]  # a coroutine function, as an awaitable is enough here

    async def end() -> End:
        statuses = [
            row.status for row in await sql(engine, "SELECT status FROM orders ORDER BY id")
        ]
        cents = [row.cents for row in await sql(engine, "SELECT cents FROM charges")]
        [(left,)] = await sql(engine, "SELECT units FROM stock")
        charged = sum(amount > 0 for amount in cents)
        return End(
            ", ".join(statuses) or "never placed", charged, len(cents) - charged, stock - left
        )

    return end
