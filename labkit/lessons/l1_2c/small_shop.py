"""The plumbing of lesson 1.2c's own shop: five tables, three services that listen to one stream,
and what it all came to.

What a service does with an event is the lesson's; here is what carries no idea of its own. `hears`
marks a method as the handler of an event, `sql` runs one statement in a transaction of its own,
`open_tables` makes the tables and starts the services, and gives the function that counts
afterwards.

Leaves out: what a shop one would deploy needs; that is `labkit.lessons.shared.two_ways`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.transactions import begin_immediate
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

M = TypeVar("M", bound=Callable[..., Any])


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
