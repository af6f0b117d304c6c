"""Sagas of four steps, one after another and sixteen at once: `python -m
tests.benchmarks.bench_sagas`.

The steps do nothing, so that what is measured is what remembering them costs. Each contender keeps
its state in a database of its own on the same disk, at equal durability: SQLite with
`synchronous=FULL`, with its rollback journal (as DBOS ships it) and with a write-ahead log, and
PostgreSQL as it comes, fsync on. The floor is five bare commits of one small row, by the driver
alone, no SQLAlchemy: the commits that labkit's orchestrator needs. DBOS 3.4 commits six times.

Rounds are interleaved in a new order each time, and a ratio is the median over the rounds of
labkit's rate to the other's in the same round. Leaves out: power loss (the disk's own cache), and
DBOS's queues."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import median

import asyncpg
from dbos import DBOS
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from labkit.base import sqlite_engine
from labkit.real.servers import postgres
from labkit.sagas import Context, Orchestrator, SagaDefinition, Step, create_sagas
from tests.benchmarks._report import Row, report

ROUNDS, WARM_UP, SAGAS = 7, 10, 60
AT_ONCE = (1, 16)
COMMITS = 5
TARGET = 2.0
Saga = Callable[[], Awaitable[object]]
FLOOR = "floor: five bare commits"


@asynccontextmanager
async def dbos(url: str, journal: str | None) -> AsyncIterator[Saga]:
    """DBOS on the database of this URL."""
    DBOS.destroy(destroy_registry=True)
    quiet = {
        "log_level": "CRITICAL",
        "console_log_level": "CRITICAL",
        "run_admin_server": False,
        "enable_otlp": False,
    }
    DBOS(config={"name": "bench", "system_database_url": url, **quiet})  # type: ignore[typeddict-item]

    @DBOS.step()
    async def step(number: int) -> dict[str, int]:
        return {"step": number}

    @DBOS.workflow()
    async def saga() -> list[dict[str, int]]:
        return [await step(number) for number in range(4)]

    if journal is not None:  # before DBOS opens it: the file remembers
        connection = sqlite3.connect(str(make_url(url).database))
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.close()
    DBOS.launch()
    try:
        yield saga
    finally:
        DBOS.destroy()


@asynccontextmanager
async def labkit(url: str, journal: str | None) -> AsyncIterator[Saga]:
    """labkit's orchestrator on the database of this URL."""
    if journal is None:
        engine = create_async_engine(url, pool_size=max(AT_ONCE), max_overflow=0)
    else:  # SQLite has one writer at a time: waiting for the connection is cheaper than its lock
        engine = sqlite_engine(str(make_url(url).database), pool_size=1, max_overflow=0)
        event.listen(engine.sync_engine, "connect", _durable(journal))

    async def action(context: Context) -> dict[str, str]:
        return {"step": context.step}

    async def undo(context: Context) -> None:
        pass

    definition = SagaDefinition(
        "bench", 1, tuple(Step(f"step-{number}", action, undo) for number in range(4))
    )
    numbers = count(1)
    orchestrator = Orchestrator(
        engine,
        [definition],
        clock=time.time,
        ids=lambda prefix: f"{prefix}{next(numbers)}",
        rng=random.Random(1),
        owner="bench",
        within=30.0,
    )
    await create_sagas(engine)
    if journal is not None:  # the tables are made in a write-ahead log, which the file remembers
        async with engine.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA journal_mode={journal}")
    try:
        yield lambda: orchestrator.run("bench", {"order": 1})
    finally:
        await engine.dispose()


def _durable(journal: str) -> Callable[[sqlite3.Connection, object], None]:
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("PRAGMA synchronous=FULL")

    return set_up


@asynccontextmanager
async def floor(url: str, journal: str | None) -> AsyncIterator[Saga]:
    """Five commits of one row, by the driver alone: sqlite3 in this thread, asyncpg with a
    connection for each saga at once.
    """
    if journal is not None:
        connection = sqlite3.connect(str(make_url(url).database), isolation_level=None)
        _durable(journal)(connection, None)
        connection.execute("CREATE TABLE IF NOT EXISTS bare (saga INTEGER, step INTEGER)")

        async def bare() -> None:
            for step in range(COMMITS):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO bare VALUES (1, ?)", (step,))
                connection.execute("COMMIT")

        yield bare
        connection.close()
        return
    async with asyncpg.create_pool(
        host=make_url(url).query["host"], user="postgres", database="postgres"
    ) as pool:
        await pool.execute("CREATE TABLE IF NOT EXISTS bare (saga int, step int)")

        async def bare_on_postgres() -> None:
            async with pool.acquire() as connection:
                for step in range(COMMITS):
                    await connection.execute("INSERT INTO bare VALUES (1, $1)", step)

        yield bare_on_postgres


DATABASES = {
    "SQLite, rollback journal": "DELETE",
    "SQLite, write-ahead log": "WAL",
    "PostgreSQL": None,
}
CONTENDERS = {FLOOR: floor, "labkit": labkit, "DBOS": dbos}


async def rate(saga: Saga, at_once: int) -> float:
    """Sagas per second."""
    turns = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with turns:
            await saga()

    for _ in range(WARM_UP):
        await one()
    began = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(SAGAS)])
    return SAGAS / (time.perf_counter() - began)


async def measure(folder: Path, postgres_url: str) -> list[Row]:
    """Every contender on every database, in rounds."""
    rates: dict[tuple[str, int, str], list[float]] = {}
    order = random.Random(1)
    for number in range(ROUNDS):
        for database, journal in (
            ("SQLite, rollback journal", "DELETE"),
            ("SQLite, write-ahead log", "WAL"),
            ("PostgreSQL", None),
        ):
            for name in order.sample(sorted(CONTENDERS), k=len(CONTENDERS)):
                file = folder / f"{number}-{journal}-{name[:4]}.sqlite"
                async with CONTENDERS[name](
                    _url(name, file if journal else postgres_url), journal
                ) as saga:
                    for at_once in AT_ONCE:
                        rates.setdefault((database, at_once, name), []).append(
                            await rate(saga, at_once)
                        )
    rows = []
    for database, at_once, name in rates:
        if name != FLOOR:
            continue
        mine, theirs, bare = (rates[database, at_once, who] for who in ("labkit", "DBOS", FLOOR))
        rows.append(
            {
                "database": database,
                "at once": at_once,
                "labkit per second": round(median(mine)),
                "to DBOS's": round(
                    median(one / other for one, other in zip(mine, theirs, strict=True)), 2
                ),
                "to the floor": round(
                    median(one / other for one, other in zip(mine, bare, strict=True)), 2
                ),
            }
        )
    return sorted(rows, key=lambda row: (row["at once"], row["database"]))


def _url(name: str, where: Path | str) -> str:
    if isinstance(where, Path):
        return f"{'sqlite' if name == 'DBOS' else 'sqlite+aiosqlite'}:///{where}"
    return (
        make_url(where)
        .set(drivername="postgresql+psycopg" if name == "DBOS" else "postgresql+asyncpg")
        .render_as_string(False)
    )


def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, postgres() as url:
        rows = asyncio.run(measure(Path(folder), url))
    note = (
        f"Sagas of four steps; medians of {ROUNDS} interleaved rounds of {SAGAS}; "
        f"target: at least {TARGET:g} times DBOS's."
    )
    report("sagas", rows, packages=["dbos", "sqlalchemy", "aiosqlite", "asyncpg"], note=note)


if __name__ == "__main__":
    main()
