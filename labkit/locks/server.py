"""The lock's side of the wire: one method a script, each sent once, each answer bounded in time.

Guarantees: a method returns the server's answer, or raises one of `Unanswered` after at most
`within` seconds. Unanswered means unknown: the server may have done what was asked. Nothing is sent
twice.

That is why commands go over a connection of the client's pool and not through the client:
redis-py's client repeats a command whose answer is lost, and a release that is done twice looks
like a lost lease. (It also costs a fifth of the time of a round trip. What is given up: whatever
wraps the client's `execute_command`, such as a tracer, does not see these.)

Left out: Redis Cluster and Sentinel, whose clients choose a connection by key.

A waiter blocks in BLPOP and so occupies a connection while it waits: a pool must have room for all
its waiters and one more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Literal, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from labkit.locks.scripts import ABANDON, ACQUIRE, EXTEND, FENCE, LOOK, RELEASE, WAKE, Script

Bytes = str | bytes | memoryview
Otherwise = Literal["leave", "queue", "stay"]
Unanswered = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError)


class _Connection(Protocol):
    async def send_packed_command(self, command: bytes) -> None: ...
    async def disconnect(self, *, nowait: bool) -> None: ...
    async def read_response(self, *, disable_decoding: bool, timeout: float) -> Any: ...  # noqa: ASYNC109  # redis-py's


class _Pool(Protocol):
    async def get_connection(self) -> _Connection: ...
    async def release(self, connection: _Connection) -> None: ...


class LockServer:
    """The scripts, on one Redis. Answers are integers and bytes, whatever the client decodes."""

    def __init__(self, redis: Redis, within: float) -> None:
        self._pool = cast(_Pool, redis.connection_pool)
        self.within = min(
            within, redis.connection_pool.connection_kwargs.get("socket_timeout") or within
        )

    async def acquire(
        self,
        keys: Sequence[Bytes],
        owner: Bytes,
        ttl_ms: int,
        otherwise: Otherwise,
        bare: Sequence[Bytes] = (),
    ) -> int:
        """The fencing token; or, when a key is another's, -1 minus the milliseconds until it ends
        (0: it never does).

        `bare`: for a lock whose value is to be the owner alone, the name it waits under.
        """
        answer: int = await self._run(ACQUIRE, (*keys, FENCE), owner, ttl_ms, otherwise, *bare)
        return answer

    async def release(self, keys: Sequence[Bytes], value: Bytes) -> int:
        """How many of the keys still had this value."""
        kept: int = await self._run(RELEASE, keys, value)
        return kept

    async def abandon(
        self, keys: Sequence[Bytes], waiter: Bytes, granted_to: Sequence[Bytes] = ()
    ) -> None:
        """Wait no more; and let go of the keys if they may have been granted to this owner."""
        await self._run(ABANDON, keys, waiter, *granted_to)

    async def extend(self, keys: Sequence[Bytes], value: Bytes, ms: int, *, replace: bool) -> int:
        """The milliseconds left now; 0 when one of the keys has another value."""
        left: int = await self._run(EXTEND, keys, value, ms, "1" if replace else "0")
        return left

    async def look(self, key: Bytes) -> tuple[bytes | None, int]:
        """A lock's value and the milliseconds until it ends (-1: never)."""
        value, left = await self._run(LOOK, (key,))
        return value, left

    async def listen(self, waiter: Bytes, seconds: float) -> None:
        """Return when the waiter's turn has come, or `seconds` later."""
        wake = WAKE.encode() + (waiter.encode() if isinstance(waiter, str) else bytes(waiter))
        await self._ask(seconds + self.within, "BLPOP", wake, f"{max(0.001, seconds):.3f}")

    async def _run(self, script: Script, keys: Sequence[Bytes], *args: Bytes | int) -> Any:
        try:
            return await self._ask(self.within, "EVALSHA", script.digest, len(keys), *keys, *args)
        except NoScriptError:
            return await self._ask(self.within, "EVAL", script.source, len(keys), *keys, *args)

    async def _ask(self, within: float, *command: Bytes | int) -> Any:
        """Send one command and return its answer; `TimeoutError` after `within` seconds.

        `asyncio.timeout` by hand, for two reasons. It is called twice a lock, and this takes half
        the time. And redis-py sends under `asyncio.wait_for`, which on Python 3.11 drops a
        cancellation that comes together with a result (CPython issue 86296): ours, and the caller's
        too. Only the task's count of cancellations tells, so it is asked after each step."""
        task = asyncio.current_task()
        assert task is not None  # a coroutine of asyncio always runs in a task
        cancelling = task.cancelling()
        alarm = _Alarm(task)
        timer = task.get_loop().call_later(within, alarm)
        connection = None
        try:
            connection = await self._pool.get_connection()
            await connection.send_packed_command(_packed(command))
            if task.cancelling() > cancelling:
                await connection.disconnect(nowait=True)
                raise asyncio.CancelledError
            answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
            if task.cancelling() > cancelling:
                raise asyncio.CancelledError
            return answer
        except asyncio.CancelledError:
            if alarm.rung and task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            if connection is not None:
                await self._pool.release(connection)


class _Alarm:
    """Cancels a task, and remembers that it did."""

    __slots__ = ("_task", "rung")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self.rung = False

    def __call__(self) -> None:
        self.rung = True
        self._task.cancel()


def _packed(command: Sequence[Bytes | int]) -> bytes:
    """The command as an array of bulk strings (RESP), several times as fast as redis-py's own
    packer.
    """
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        if isinstance(word, str):
            word = word.encode()
        elif not isinstance(word, bytes):
            word = b"%d" % word if isinstance(word, int) else bytes(word)
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)
