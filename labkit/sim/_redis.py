"""Redis in the simulated world: fakeredis behind a connection that crosses the simulated network.

A command is a message to the server's node, executed there when it arrives, whatever has become of
the client; the answer is a message back. So pauses, crashes, partitions and lost answers apply to
pipelines, scripts and blocking commands alike. A client gives up after its `socket_timeout` with
`redis.TimeoutError`: what became of its command is unknown.

Leaves out: authentication, cluster, and the order in which Redis serves several clients blocked on
one key (here it is drawn from the seed; Redis serves the one that has waited longest)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import redis.asyncio
from fakeredis import FakeStrictRedis
from fakeredis._clients._sync import FakeRedisConnection
from fakeredis.aioredis import FakeAsyncRedisConnection
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from labkit.sim._redis_server import ServerSocket, SimRedisServer
from labkit.sim.kernel import Kernel, Wire
from labkit.world import LAB

_FOR_EVER = float("inf")


def _label(data: bytes) -> str:
    """What a picture calls these packed commands: the name of the first, and the first key it
    touches.
    """
    fields = data.split(b"\r\n", 12)
    count = int(fields[0][1:])
    args = [field.decode(errors="replace") for field in fields[2 : 2 + 2 * min(count, 5) : 2]]
    name = args[0].upper()
    return " ".join([name, *_first_key(name, args)])[:40]


def _first_key(name: str, args: list[str]) -> list[str]:
    if name == "SCRIPT":
        return []
    if name in ("EVAL", "EVALSHA") and args[2:3] != ["0"]:
        return args[3:4]  # after the script and the number of its keys
    return args[1:2]


def _packed(command: bytes | str | Iterable[bytes]) -> bytes:
    if isinstance(command, str):
        return command.encode()
    return command if isinstance(command, bytes) else b"".join(command)


class SimRedisConnection(FakeAsyncRedisConnection):
    """The client's end of a connection."""

    def __init__(self, *, sim_server: SimRedisServer, sim_kernel: Kernel, **options: Any) -> None:
        super().__init__(server=sim_server.fake, **options)
        self._sim_server = sim_server
        self._kernel = sim_kernel
        self._there: Wire = Wire()
        self._back: Wire = Wire()
        self._inbox: deque[Any] = deque()
        self._arrived: asyncio.Event = asyncio.Event()
        self._batch: list[Any] | None = None
        self._socket: ServerSocket | None = None

    async def _connect(self) -> None:
        server, kernel = self._sim_server, self._kernel
        if not kernel.node(server.node).place.alive:
            # redis-py makes a ConnectionError of it.
            raise ConnectionRefusedError(f"connection refused by {server.node}")
        self._server = server.fake
        self._there, self._back = Wire(), Wire()
        self._inbox, self._arrived = deque(), asyncio.Event()
        self._socket = ServerSocket(
            self,
            server.fake,
            self.db,
            client_class=self._client_class,
            lua_modules=self._lua_modules,
            client_info=self._client_info,
        )
        self._sock, self._reader, self._writer = self._socket, object(), object()  # type: ignore[assignment]
        server.connections.append(self)
        self._user = kernel.here()
        if self._user != LAB:
            kernel.node(self._user).on_death.append(self._hang_up)

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]  # redis-py's
        data, socket, kernel = _packed(command), self._socket, self._kernel
        name = _label(data)
        assert socket is not None
        self._user = kernel.here()
        kernel.network.send(
            self._user,
            self._sim_server.node,
            name,
            lambda: self._execute(socket, data, name),
            wire=self._there,
        )

    def _execute(self, socket: ServerSocket, data: bytes, name: str) -> None:
        """On the server's node: execute the commands, and send every answer that is ready as one
        message.
        """
        if socket._hung_up or socket._server is not self._sim_server.fake:
            return
        self._batch, self._executing = [], name
        try:
            socket.sendall(data)
        finally:
            batch, self._batch = self._batch, None
            if batch:
                self._send_back(socket, batch, name)

    def answer(self, socket: ServerSocket, message: Any) -> None:
        """On the server's node: one answer."""
        if self._batch is not None:
            self._batch.append(message)
        else:
            self._send_back(socket, [message], self._executing)

    def _send_back(self, socket: ServerSocket, batch: list[Any], name: str) -> None:
        def deliver() -> None:
            if socket is self._socket:
                self._inbox.extend(batch)
                self._arrived.set()

        self._kernel.network.send(
            self._sim_server.node, self._user, name, deliver, wire=self._back, reply=True
        )

    def broken(self, why: str) -> None:
        """The server's end is gone: whoever waits for an answer is told, and what it asked for is
        unknown.
        """
        self._inbox.append(exceptions.ConnectionError(why))
        self._arrived.set()

    async def can_read(self, timeout: float | None = 0) -> bool:  # noqa: ASYNC109  # redis-py's signature
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]  # redis-py's
        if not self._inbox and timeout != 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
        return bool(self._inbox)

    async def _read_response(self, *, timeout: float | None = None, **options: Any) -> Any:  # noqa: ASYNC109
        patience = None if timeout == _FOR_EVER else timeout
        if timeout is None:
            patience = self.socket_timeout
        while not self._inbox:
            if self._socket is None:
                raise exceptions.ConnectionError("The connection was closed.")
            if not await self.can_read(patience):
                if timeout is not None:  # a poll, as redis-py's PubSub does
                    return None
                raise exceptions.TimeoutError(
                    f"No answer from {self._sim_server.node} within {patience:g} s"
                )
        answer = self._inbox.popleft()
        if isinstance(answer, exceptions.ConnectionError):
            raise answer
        return answer

    async def disconnect(self, nowait: bool = False, **options: Any) -> None:  # type: ignore[override]  # as fakeredis
        socket, self._socket = self._socket, None
        if socket is not None:
            self._inbox.clear()
            self._hang_up(socket)
        await super().disconnect(nowait, **options)

    def _hang_up(self, socket: ServerSocket | None = None) -> None:
        """Tell the server that this end is gone; it notices after what was sent before, if the news
        gets through.
        """
        socket = socket or self._socket
        if self in self._sim_server.connections:
            self._sim_server.connections.remove(self)
        if socket is not None:
            self._kernel.network.send(
                self._user, self._sim_server.node, "", socket.hang_up, wire=self._there, last=True
            )

    def __del__(self, _: Any = None) -> None:
        return None  # nothing real is open


class Members(set[Any]):
    """What SMEMBERS and its like answer: a set that is iterated in sorted order."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(set.__iter__(self)))


def client(kernel: Kernel, server: SimRedisServer, timeout: float) -> redis.asyncio.Redis:
    """A client that abandons a command after `timeout` seconds and never retries by itself."""
    pool: redis.asyncio.ConnectionPool = redis.asyncio.ConnectionPool(
        connection_class=SimRedisConnection,
        sim_server=server,
        sim_kernel=kernel,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,  # no CLIENT SETINFO at the start of every connection
    )
    made = redis.asyncio.Redis(connection_pool=pool)
    for command in ("SMEMBERS", "SDIFF", "SINTER", "SUNION"):
        made.set_response_callback(command, Members)  # type: ignore[arg-type]  # redis-py passes the answer alone
    return made


def blocking_client(kernel: Kernel, server: SimRedisServer) -> redis.Redis:
    """A synchronous client: every call blocks the event loop of the node that makes it, for a round
    trip of virtual time.

    Leaves out pauses, partitions and lost answers between it and the server: it shows the freeze,
    not the network."""

    class Connection(FakeRedisConnection):
        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            kernel.block(kernel.network.usual_round_trip)
            # After a crash or a fail-over there is another one.
            if self._server is not server.fake:
                self.disconnect()  # type: ignore[no-untyped-call]  # redis-py's
                self._server = server.fake
            super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]  # redis-py's

    return FakeStrictRedis(
        server=server.fake, connection_class=Connection, protocol=2, driver_info=None
    )
