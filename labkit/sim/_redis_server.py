"""The server's side of Redis in the simulated world: fakeredis on a node, without its dependence on
addresses.

A crashed server comes back empty; one that fails over comes back with what its asynchronous replica
had received. fakeredis keeps blocked clients and subscribers in sets whose order is that of memory
addresses; here they keep the order of arrival."""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

from fakeredis import FakeServer
from fakeredis._core import Database
from fakeredis.aioredis import AsyncFakeSocket

from labkit.sim.kernel import Kernel


class ClientEnd(Protocol):
    """What the server knows of a client's end of a connection."""

    def broken(self, why: str) -> None: ...
    def answer(self, socket: ServerSocket, message: Any) -> None: ...


class _InOrder(dict[Any, None]):
    """A set that keeps the order of insertion, where fakeredis iterates in the order of memory
    addresses.
    """

    add = dict.setdefault

    def discard(self, item: Any) -> None:
        self.pop(item, None)

    remove = discard

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.keys()))


class _Database(Database):
    def __init__(self, lock: Any) -> None:
        super().__init__(lock)
        self._change_callbacks = _InOrder()  # type: ignore[assignment]


class SimRedisServer:
    """One Redis server, on one node."""

    def __init__(self, kernel: Kernel, node: str) -> None:
        self.node = node
        self._kernel = kernel
        self.connections: list[ClientEnd] = []
        self.fake = self._empty()
        kernel.node(node).on_death.append(self._died)

    def _empty(self) -> FakeServer:
        fake = FakeServer(version=(7, 4))
        fake.dbs = defaultdict(lambda: _Database(fake.lock))
        for name in ("subscribers", "psubscribers", "ssubscribers"):
            setattr(fake, name, defaultdict(_InOrder))
        return fake

    def _died(self) -> None:
        self._break_connections()
        self.fake = self._empty()
        self._kernel.loop.call_soon(self._listen_again)

    def _listen_again(self) -> None:
        self._kernel.node(self.node).on_death.append(self._died)

    def snapshot(self) -> dict[int, dict[bytes, Any]]:
        """What an asynchronous replica would hold now."""
        return {number: copy.deepcopy(database._dict) for number, database in self.fake.dbs.items()}

    def fail_over(self, replica: dict[int, dict[bytes, Any]], lag: float) -> None:
        """The replica takes over under the same name: every connection breaks, and the writes of
        the last `lag` s are gone.
        """
        self._kernel.node(self.node).context().run(
            self._kernel.record, "replica takes over", lacks=f"the last {1000 * lag:g} ms"
        )
        scripts = self.fake.script_cache
        self._break_connections()
        self.fake = self._empty()
        self.fake.script_cache = scripts
        for number, items in replica.items():
            for key, item in items.items():
                self.fake.dbs[number][key] = item

    def _break_connections(self) -> None:
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.broken(f"Connection closed by server {self.node}.")


class ServerSocket(AsyncFakeSocket):
    """The server's end of a connection: what it answers goes back over the network."""

    def __init__(self, connection: ClientEnd, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connection = connection
        self._blocked_in: asyncio.Task[Any] | None = None
        self._hung_up = False

    def put_response(self, msg: Any) -> None:
        if not self._hung_up:
            self._connection.answer(self, msg)

    def _xreadgroup(
        self, consumer: Any, groups: Any, count: Any, noack: Any, min_idle: Any, first_pass: bool
    ) -> Any:
        """fakeredis 2.40 waits only when there is no COUNT, and then loses what is there already.
        Told that this is not the first pass, it reads; and None makes a blocking command wait.
        """
        return super()._xreadgroup(consumer, groups, count, noack, min_idle, False) or None

    async def _async_blocking(self, *args: Any, **options: Any) -> None:
        if self._hung_up:
            return
        self._blocked_in = asyncio.current_task()
        await super()._async_blocking(*args, **options)

    def hang_up(self) -> None:
        """The client is gone: a command it was blocked in is dropped."""
        if self._hung_up:
            return
        self._hung_up = True
        if self._blocked_in is not None and not self._blocked_in.done():
            self._blocked_in.cancel()
            self._blocked_in.add_done_callback(lambda _: self.close())
        else:
            self.close()
