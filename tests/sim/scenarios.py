"""Scenarios that several tests of the bench share."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from redis import exceptions
from sqlalchemy import text

from labkit.check import Invariant
from labkit.world import Run, World


async def race(world: World, clients: int = 3) -> int:
    """Each client reads a counter and writes back one more."""

    async def client() -> None:
        redis = world.redis()
        value = int(await redis.get("counter") or 0)
        world.record("read", value=value)
        await redis.set("counter", value + 1)
        world.record("wrote", value=value + 1)

    await world.join(*[world.node(f"c{number}").start(client) for number in range(clients)])
    return int(await world.redis().get("counter"))


EVERY_INCREMENT_COUNTS = Invariant(
    "every increment counts", lambda run: run.result == run.args.get("clients", 3)
)


async def leased(world: World, lease: float = 1.0) -> None:
    """Two clients take turns under a lease that nobody renews; each believes it holds the lock for
    as long as it works.
    """

    async def client() -> None:
        redis, me = world.redis(), world.here()
        with suppress(exceptions.TimeoutError):
            while not await redis.set("lock", me, nx=True, px=int(lease * 1000)):
                await asyncio.sleep(0.1)
            with world.holding("lock"):
                world.record("acquired")
                await asyncio.sleep(0.05)
            if await redis.get("lock") == me.encode():
                await redis.delete("lock")

    await world.join(*[world.node(name).start(client) for name in ("a", "b")])


def _two_holders(run: Run) -> str | None:
    holds = [span for span in run.history.spans if span.kind == "hold"]
    for one in holds:
        for other in holds:
            if (
                one.node < other.node
                and one.start < (other.end or 1e9)
                and other.start < (one.end or 1e9)
            ):
                return f"{one.node} and {other.node} hold it at once"
    return None


ONE_HOLDER = Invariant("at most one holder", _two_holders)


async def bit_of_everything(world: World) -> list[object]:
    """Redis, SQL, HTTP, a task group that cancels, a blocked client, a crash: what could depend on
    addresses or hashes.
    """
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/double/{number}")
    async def double(number: int) -> dict[str, int]:
        await asyncio.sleep(0.01)
        return {"double": 2 * number}

    world.serve("maths", app)

    async def customer(number: int) -> object:
        redis, engine = world.redis(), world.database()
        async with world.http() as http:
            answer = (await http.get(f"http://maths/double/{number}")).json()
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": answer["double"]})
        await redis.rpush("queue", number)
        world.record("served", number=number, id=world.new_id("order-"))
        return await redis.blpop(["queue"], timeout=1)

    async def group() -> None:
        async def wait(number: int) -> None:
            try:
                await asyncio.sleep(9)
            finally:
                world.record("cancelled", number=number)

        async def fail() -> None:
            await asyncio.sleep(0.02)
            raise ValueError("enough")

        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as tasks:
                for number in range(5):
                    tasks.create_task(wait(number))
                tasks.create_task(fail())

    async with world.database().begin() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER)"))
    await world.join(
        *[world.node(f"c{number}").start(customer, number) for number in range(4)],
        world.node("g").start(group),
    )
    async with world.database().connect() as connection:
        return [row[0] for row in await connection.execute(text("SELECT n FROM t ORDER BY rowid"))]
