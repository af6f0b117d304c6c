"""Lesson 1.2a on a real PostgreSQL: a refund arrives while the charge that it should undo has run
its statements and has not committed yet.

Both versions keep an answer under a key, with a primary key on the table, at READ COMMITTED:
- `OWN_KEY`: the refund writes its tombstone under its own key. The two transactions write
  different rows, neither waits and neither sees the other. The charge stays, refunded or not.
- `CHARGES_KEY`: the refund writes it under the key of the charge. It waits at that row until the
  charge has committed or rolled back, and then sees what to give back.

Leaves out: a refund that is repeated under `OWN_KEY`, and other isolation levels. (At SERIALIZABLE
PostgreSQL aborts one of the two.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from labkit import real

OWN_KEY, CHARGES_KEY = "refund order-7", "charge order-7"
BALANCE, PRICE = 10_000, 4_500  # cents
WAITING = 0.3  # seconds after which a statement that has not returned is waiting for a row

Work = Callable[[AsyncConnection], Awaitable[Any]]


def refund_meets_charge() -> dict[str, int] | None:
    """The customer's cents after charge and refund, by the key of the tombstone; None when no
    PostgreSQL can be started here.
    """
    # A notebook's own thread already runs a loop.
    with suppress(real.ServerUnavailable), real.postgres() as url, ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _both(url)).result()
    print("no PostgreSQL can be started on this machine; the lesson goes on without it")
    return None


async def meet(engine: AsyncEngine, do: Work, undo: Work, commit: bool = True) -> bool:
    """Run `undo` in a transaction that begins when `do` has run and has not committed; then commit
    `do`, or roll it back. Returns whether `undo` waited for that.
    """

    async def committed(work: Work) -> None:
        async with engine.begin() as connection:
            await work(connection)

    async with engine.connect() as first:
        await do(first)
        undoing = asyncio.create_task(committed(undo))
        done, _ = await asyncio.wait([undoing], timeout=WAITING)
        await (first.commit() if commit else first.rollback())
    await undoing
    return not done


async def charge(connection: AsyncConnection) -> None:
    """Charge order-7, unless it has an answer or has been withdrawn."""
    if not await _inserted(connection, CHARGES_KEY, 200):
        return
    withdrawn = "SELECT 1 FROM answers WHERE key = :key"
    if await connection.scalar(text(withdrawn), {"key": OWN_KEY}) is None:
        await _pay(connection, -PRICE)


async def refund_under_own_key(connection: AsyncConnection) -> None:
    """Give back what a charge has taken, as far as this transaction can see one."""
    if not await _inserted(connection, OWN_KEY, 200):
        return
    charged = "SELECT 1 FROM answers WHERE key = :key AND status = 200"
    if await connection.scalar(text(charged), {"key": CHARGES_KEY}):
        await _pay(connection, PRICE)


async def refund_under_the_charges_key(connection: AsyncConnection) -> None:
    """Leave a tombstone where the charge writes its answer; give back what it has taken."""
    if await _inserted(connection, CHARGES_KEY, 409):
        return  # it was not charged, and will not be
    turn = "UPDATE answers SET status = 409 WHERE key = :key AND status = 200"
    if (await connection.execute(text(turn), {"key": CHARGES_KEY})).rowcount:
        await _pay(connection, PRICE)


async def prepare(engine: AsyncEngine) -> None:
    """Empty tables: one account, no answers."""
    async with engine.begin() as connection:
        for statement in (
            "DROP TABLE IF EXISTS answers, accounts",
            "CREATE TABLE answers (key text PRIMARY KEY, status integer NOT NULL)",
            "CREATE TABLE accounts (customer text PRIMARY KEY, cents integer NOT NULL)",
            f"INSERT INTO accounts VALUES ('ada', {BALANCE})",
        ):
            await connection.execute(text(statement))


async def cents(engine: AsyncEngine) -> int:
    """What the customer has."""
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT cents FROM accounts")) or 0)


async def _both(url: str) -> dict[str, int]:
    engine, left = create_async_engine(url), {}
    for key, refund in (
        (OWN_KEY, refund_under_own_key),
        (CHARGES_KEY, refund_under_the_charges_key),
    ):
        await prepare(engine)
        await meet(engine, charge, refund)
        left[key] = await cents(engine)
    await engine.dispose()
    return left


async def _inserted(connection: AsyncConnection, key: str, status: int) -> bool:
    insert = "INSERT INTO answers VALUES (:key, :status) ON CONFLICT DO NOTHING"
    made = await connection.execute(text(insert), {"key": key, "status": status})
    return bool(made.rowcount)


async def _pay(connection: AsyncConnection, amount: int) -> None:
    pay = "UPDATE accounts SET cents = cents + :amount WHERE customer = 'ada'"
    await connection.execute(text(pay), {"amount": amount})
