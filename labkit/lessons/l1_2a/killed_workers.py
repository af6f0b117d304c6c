"""Lesson 1.2a with real processes: each worker drives one saga on a real PostgreSQL and is killed
(SIGKILL), one after the first commit, one after the first call, and so on. Then one more worker
finds what they have left.

The participants keep answers by key in the same PostgreSQL, in transactions of their own. They add
a row to `effects` for each effect, and to `requests` for each request: both tables can hold more
than one row for a key. The workers are forked from one process that has imported everything, so
that starting them takes little time.

Leaves out: refusals (the project's tests kill workers while sagas turn back as well), and a
database that is killed: lesson 1.2b does that.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from labkit import real
from labkit.lessons.shared.checkout import UNDO
from labkit.sagas import Context, Orchestrator, SagaDefinition, Step, create_sagas

POINTS = len(UNDO) + 1 + len(UNDO)
"""Moments at which a worker can die: after each commit, and after each call."""
PATIENCE = 60.0  # seconds


def workers_are_killed() -> dict[str, Any] | None:
    """What is left of one order for each moment at which a worker can die; None when no PostgreSQL
    can be started here.

    "killed": workers ended by SIGKILL; "completed": sagas; "effects": what was done, for all
    orders; "requests": how often that was asked for."""
    with suppress(real.ServerUnavailable), real.postgres() as url:
        command = [sys.executable, "-m", __name__, url]
        said = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
        found: dict[str, Any] = json.loads(said.stdout)
        return found
    print("no PostgreSQL can be started on this machine; the lesson goes on without it")
    return None


def _definition(engine: AsyncEngine) -> SagaDefinition:
    async def call(context: Context) -> None:
        async with engine.begin() as connection:
            answer = "INSERT INTO answers VALUES (:key) ON CONFLICT DO NOTHING"
            new = await connection.execute(text(answer), {"key": context.key})
            if new.rowcount:
                await connection.execute(text("INSERT INTO effects DEFAULT VALUES"))
            await connection.execute(text("INSERT INTO requests DEFAULT VALUES"))

    steps = [Step(verb, call, call, timeout=30.0) for verb in UNDO]
    return SagaDefinition("checkout", 1, tuple(steps))


def _worker(
    engine: AsyncEngine, owner: str, observe: Callable[..., object], ahead: float = 0.0
) -> Orchestrator:
    """A worker whose clock is so many seconds ahead."""
    return Orchestrator(
        engine,
        [_definition(engine)],
        owner=owner,
        lease=30.0,
        clock=lambda: time.time() + ahead,
        ids=lambda prefix: f"{prefix}{owner}",
        rng=random.Random(0),
        observe=observe,
    )


async def _drive_and_die(url: str, point: int) -> None:
    """Drive order number `point`, until this many commits and calls have happened."""
    seen = 0

    def observe(kind: str, /, **facts: Any) -> None:
        nonlocal seen
        seen += kind in ("saved", "called")
        if seen == point:
            os.kill(os.getpid(), signal.SIGKILL)

    worker = _worker(create_async_engine(url), f"worker-{point}", observe)
    await worker.run("checkout", {}, saga_id=f"order-{point}")


async def _take_over(url: str) -> dict[str, Any]:
    """Drive what is left until nothing is, and count. The clock is an hour ahead: the claims of
    the dead have ended.
    """
    engine = create_async_engine(url)
    standby = _worker(engine, "standby", lambda *_, **__: None, ahead=3600.0)
    done = "completed"
    while len(await standby.find(done)) < POINTS:
        await standby.recover()
    async with engine.connect() as connection:

        async def count(table: str) -> int:
            return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)

        counted = {table: await count(table) for table in ("effects", "requests")}
    completed = len(await standby.find(done))
    await engine.dispose()
    return {"completed": completed, **counted}


async def _prepare(url: str) -> None:
    engine = create_async_engine(url)
    await create_sagas(engine)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE answers (key text PRIMARY KEY)"))
        await connection.execute(text("CREATE TABLE effects (n serial PRIMARY KEY)"))
        await connection.execute(text("CREATE TABLE requests (n serial PRIMARY KEY)"))
    await engine.dispose()


def _main(url: str) -> None:
    asyncio.run(_prepare(url))
    children = []
    for point in range(1, POINTS + 1):
        child = os.fork()
        if not child:
            asyncio.run(_drive_and_die(url, point))
            os._exit(1)  # it should not have lived
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    killed = sum(os.WIFSIGNALED(end) and os.WTERMSIG(end) == signal.SIGKILL for end in ends)
    print(json.dumps({"killed": killed, **asyncio.run(_take_over(url))}))


if __name__ == "__main__":
    _main(sys.argv[1])
