"""SQL in the simulated world: SQLite behind aiosqlite and SQLAlchemy, reached over the simulated
network.

Each statement, commit and rollback is a message to the database's node and an answer back. There it
runs in line: SQLite itself decides who must wait. A busy database is asked again on virtual time
until the busy time-out has passed, and then the statement fails as SQLite's does ("database is
locked"). A connection belongs to the node that uses it: when that node dies, or the server does,
its open transaction is rolled back. What was committed is on the server's disk and survives.

A transaction begins with BEGIN; `connection.execution_options(sqlite_begin="IMMEDIATE")` makes it
BEGIN IMMEDIATE, which takes the write lock at once. Leaves out: the time a statement takes, and
what a real server does that SQLite does not (row locks)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import aiosqlite
from sqlalchemy import Table, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.dialects.sqlite.base import SQLiteDDLCompiler
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateTable
from sqlalchemy.util import LRUCache

from labkit.sim.kernel import HERE, Kernel, Place, Wire
from labkit.world import LAB

_BUSY_PAUSE = 0.005
"""How long a busy database waits before it tries again, in virtual seconds."""

_CROSSING = {"execute", "executemany", "executescript", "commit", "rollback"}
"""What of a connection or cursor needs the server; the rest (making a cursor, fetching rows that
are there) does not.
"""


class _Raw(sqlite3.Connection):
    """An SQLite connection that is gone once closed. SQLite itself keeps one with an unfinished
    statement open (sqlite3_close_v2), and its lock with it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, *args: Any, **options: Any) -> Any:
        made = super().cursor(*args, **options)
        self._cursors.add(made)
        return made

    def close(self) -> None:
        for cursor in [*self._cursors]:
            cursor.close()
        super().close()


class SimSqlServer:
    """One database server, on one node: an SQLite file in WAL mode. What was committed survives the
    node's death; what was not is rolled back with its connection.
    """

    def __init__(self, kernel: Kernel, node: str, path: Path) -> None:
        self.node = node
        self._kernel = kernel
        self._path = path
        self.connections: list[SimSqlConnection] = []
        kernel.node(node).on_death.append(self._died)
        with sqlite3.connect(path) as first:
            first.execute("PRAGMA journal_mode=WAL")
        first.close()

    def open(self) -> sqlite3.Connection:
        """A connection that never waits by itself: waiting is done on virtual time."""
        raw = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False, factory=_Raw
        )
        # A simulated crash never loses what the operating system has.
        raw.execute("PRAGMA synchronous=OFF")
        raw.execute("PRAGMA foreign_keys=ON")
        return raw

    def _died(self) -> None:
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.broken()
        self._kernel.loop.call_soon(
            lambda: self._kernel.node(self.node).on_death.append(self._died)
        )


class InLine:
    """The queue into which an aiosqlite connection puts its work; here the work is done at once."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        try:
            result = function()
        except Exception as error:
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class NoThread:
    """Stands for the thread that an aiosqlite connection starts."""

    daemon = True

    def start(self) -> None:
        return None

    def is_alive(self) -> bool:
        return False

    def join(self) -> None:
        return None


class SimSqlConnection(aiosqlite.Connection):
    """The client's end of a connection."""

    def __init__(self, kernel: Kernel, server: SimSqlServer, timeout: float) -> None:
        super().__init__(server.open, iter_chunk_size=64)
        self._tx = InLine()  # type: ignore[assignment]
        self._thread = NoThread()  # type: ignore[assignment]
        self._kernel = kernel
        self._server = server
        self._timeout = timeout
        self._there, self._back = Wire(), Wire()
        self._broken = False
        self._hung_up = False
        self._serving = 0
        self._place: Place | None = None
        self._waiting: asyncio.Future[Any] | None = None

    async def _connect(self) -> aiosqlite.Connection:
        kernel = self._kernel
        if not kernel.node(self._server.node).place.alive:
            raise sqlite3.OperationalError(
                f"connection refused by {self._server.node}"
            ) from ConnectionRefusedError()
        await super()._connect()
        self._server.connections.append(self)
        self._used_here()
        return self

    def _used_here(self) -> None:
        """Tie the connection to the node that uses it now: engines may be shared, and the
        connection ends with that node's life.
        """
        place, self._user = HERE.get(), self._kernel.here()
        if place is not None and place is not self._place:
            self._kernel.node(place.name).on_death.append(
                lambda: self.stop() if self._place is place else None
            )
        self._place = place

    async def _execute(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
        name = getattr(fn, "__name__", "")
        if name not in _CROSSING or self._connection is None:
            return await super()._execute(fn, *args, **options)  # type: ignore[no-untyped-call]  # aiosqlite's
        if self._broken:
            raise ValueError("no active connection")  # SQLAlchemy takes this for a disconnect
        label = " ".join(str(args[0]).split()[:3]) if args else name.upper()
        return await self._ask(label, partial(fn, *args, **options))

    async def _ask(self, label: str, work: Callable[[], Any]) -> Any:
        kernel, server, here = self._kernel, self._server.node, self._kernel.here()
        self._used_here()
        self._waiting = answer = kernel.loop.create_future()

        def deliver(set_answer: Callable[[Any], None], value: Any) -> None:
            if not answer.done():
                set_answer(value)

        async def serve() -> None:
            try:
                reply = partial(deliver, answer.set_result, await self._when_not_busy(work))
            except (sqlite3.Error, ValueError) as error:
                reply = partial(deliver, answer.set_exception, error)
            kernel.network.send(server, here, label, reply, wire=self._back, reply=True)
            self._serving -= 1
            self._let_go_when_idle()

        def arrive() -> None:
            self._serving += 1
            kernel.background(
                serve(), None if here == LAB else kernel.node(server), f"{server}: {label}"
            )

        kernel.network.send(here, server, label, arrive, wire=self._there)
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError:
            self._broken = True
            raise ValueError("no active connection") from TimeoutError(
                f"no answer from {server} within {self._timeout:g} s"
            )
        finally:
            self._waiting = None

    async def _when_not_busy(self, work: Callable[[], Any]) -> Any:
        began = self._kernel.now()
        while True:
            if self._connection is None:
                raise ValueError("no active connection")
            try:
                return work()
            except sqlite3.OperationalError as error:
                # A stale snapshot (SQLITE_BUSY_SNAPSHOT) never gets better.
                busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
                if not busy or self._kernel.now() - began >= self._timeout * 0.9:
                    raise
            await asyncio.sleep(_BUSY_PAUSE)

    def broken(self) -> None:
        """The server's end is gone: its open transaction is rolled back, and whoever waits for an
        answer is told.
        """
        self._broken = True
        self._let_go()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ValueError("no active connection"))

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        """Hang up. The server carries out what was sent before, a COMMIT perhaps, and then rolls
        back what is open.
        """
        self._broken = True
        if not self._hung_up and self._connection is not None:
            self._kernel.network.send(
                self._user, self._server.node, "", self._left, wire=self._there, last=True
            )

    def _left(self) -> None:
        self._hung_up = True
        self._let_go_when_idle()

    def _let_go_when_idle(self) -> None:
        if self._hung_up and not self._serving:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        return None  # the run closes what is left open


class _CompiledOnce(SQLiteDDLCompiler):
    """Remembers the text of CREATE TABLE, since every run of a search opens the same tables."""

    _texts: ClassVar[WeakKeyDictionary[Table, tuple[list[int], str]]] = WeakKeyDictionary()

    def visit_create_table(self, create: CreateTable, **options: Any) -> str:
        table = create.element
        parts = [id(part) for part in (*table.columns, *table.constraints)]
        known, text = self._texts.get(table, ([], ""))
        if options or known != parts:
            text = super().visit_create_table(create, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy's
            if not options:
                self._texts[table] = parts, text
        return text


class Dialect(SQLiteDialect_aiosqlite):
    """One dialect for all simulated databases: what was compiled for one engine suits the others.

    A run makes some thirty engines. With a cache for each, compiling the same statements again took
    a sixth of a run's time."""

    supports_statement_cache = True
    ddl_compiler = _CompiledOnce
    compiled: ClassVar[LRUCache[Any, Any]] = LRUCache(1000)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(Dialect)


registry.register("sqlite.simulated", __name__, Dialect.__name__)


def engine(kernel: Kernel, server: SimSqlServer, timeout: float) -> AsyncEngine:
    """An engine whose connections cross the simulated network; a statement is abandoned after
    `timeout` seconds.
    """

    async def connect(*_: Any, **__: Any) -> aiosqlite.Connection:
        return await SimSqlConnection(kernel, server, timeout)

    # A rollback that nobody answered is no news on stderr.
    logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
    made = create_async_engine(
        "sqlite+simulated:///simulated",
        async_creator=connect,
        pool_reset_on_return="rollback",
        execution_options={"compiled_cache": Dialect.compiled},
    )

    @event.listens_for(made.sync_engine, "begin")
    def begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "")
        connection.exec_driver_sql(f"BEGIN {mode}".rstrip())

    return made
