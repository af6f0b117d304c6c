"""The server's end of SQL in the simulated world: an SQLite file on a node.

What was committed survives the node's death; what was not is rolled back with the connection. Left
out: a damaged disk."""

from __future__ import annotations

import sqlite3
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.sim.sql import SimSqlConnection
    from labkit.sim.world import SimWorld


class _Raw(sqlite3.Connection):
    """Gone once closed: SQLite itself keeps one with an unfinished statement open
    (sqlite3_close_v2), and its lock with it.
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
    """One database server, on one node: an SQLite file in WAL mode that lives as long as the run."""

    def __init__(self, world: SimWorld, node: str, path: Path) -> None:
        self.node = node
        self._world = world
        self._path = path
        self.connections: list[SimSqlConnection] = []
        world.node(node).on_death.append(self._died)
        with sqlite3.connect(path) as first:
            first.execute("PRAGMA journal_mode=WAL")
        first.close()

    def open(self) -> sqlite3.Connection:
        """A connection that never waits by itself: waiting is done on virtual time."""
        raw = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False, factory=_Raw
        )
        raw.execute(
            "PRAGMA synchronous=OFF"
        )  # a simulated crash never loses what the operating system has
        raw.execute("PRAGMA foreign_keys=ON")
        return raw

    def _died(self) -> None:
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.broken()
        self._world.loop.call_soon(lambda: self._world.node(self.node).on_death.append(self._died))
