"""A drop-in replacement for `redis.asyncio.lock.Lock`, with the same signatures and meanings.

    lock = Lock(redis, "product:1", timeout=10, blocking_timeout=5)
    async with lock:
        await store.write("product:1", 4, token=lock.fence)

Same: the arguments of the constructor and the methods, what they return, which errors they raise
(`redis.exceptions.LockError`, `LockNotOwnedError`, and connection errors unchanged), and the value
of the key, so that both kinds can share one lock.

Different: waiters queue and are woken by the release (`sleep` is how often they check if the
releasing client does not know the queue, as redis-py's does not); `fence` is a fencing token; a
release that is cancelled is completed; and a timeout of zero, a negative one or NaN is refused,
where redis-py takes it for "never" or fails later.

Leaves out: renewal, several keys, a default timeout. `LockManager` has them and is what new code
should use. As with redis-py's, one object is one acquisition at a time: a second `acquire` waits
for the first, whichever task calls it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace, TracebackType
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from labkit.locks._validation import lease_seconds, lock_name, milliseconds, wait_seconds
from labkit.locks._waiting import LOOK_EVERY, take
from labkit.locks.errors import LeaseLost, LockError, LockTimeout, LockUnknown
from labkit.locks.server import LockServer, Unanswered, settle

logger = logging.getLogger(__name__)
WITHIN = 2.0
"""Seconds within which the server must answer each call."""


def _new_id() -> str:
    return uuid.uuid4().hex


class Lock:
    """See redis-py's documentation for the arguments. `ids` and `rng` make it deterministic in a
    simulation.
    """

    def __init__(
        self,
        redis: Redis,
        name: str | bytes | memoryview,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
        *,
        ids: Callable[[], str] = _new_id,
        rng: random.Random | None = None,
    ) -> None:
        lock_name(name)
        self.redis = redis
        self.name = name
        self.timeout = None if timeout is None else lease_seconds(timeout, "timeout")
        self.sleep = wait_seconds(sleep, "sleep")
        self.blocking = blocking
        self.blocking_timeout = (
            None if blocking_timeout is None else wait_seconds(blocking_timeout, "blocking_timeout")
        )
        self.thread_local = thread_local
        self.raise_on_release_error = raise_on_release_error
        self.local: Any = threading.local() if thread_local else SimpleNamespace()
        self.local.token = None
        self.fence: int | None = None
        self._ids = ids
        self._jitter = random.random if rng is None else rng.random
        self._server = LockServer(redis, WITHIN)

    async def __aenter__(self) -> Lock:
        if await self.acquire():
            return self
        raise LockTimeout("Unable to acquire lock within the time specified")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            await self.release()
        except LockError:
            if self.raise_on_release_error:
                raise
            logger.warning("Lock was unlocked or no longer owned when exiting context manager.")

    async def acquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> bool:
        """Acquire the lock; True if it was acquired. Waits for ever, for `blocking_timeout`
        seconds, or not at all.
        """
        attempt = self._ids().encode()
        owner = attempt if token is None else token.encode() if isinstance(token, str) else token
        limit = (
            self.blocking_timeout
            if blocking_timeout is None
            else wait_seconds(blocking_timeout, "blocking_timeout")
        )
        waits = self.blocking if blocking is None else blocking
        wait = 0.0
        if waits:
            wait = math.inf if limit is None else limit
        ttl_ms = 0 if self.timeout is None else milliseconds(self.timeout)
        look_every = min(max(self.sleep, 0.001), LOOK_EVERY)
        try:
            grant = await take(
                self._server,
                (self.name,),
                owner,
                ttl_ms,
                wait=wait,
                jitter=self._jitter,
                bare=attempt,
                look_every=look_every,
            )
        except LockUnknown as error:
            raise _of_redis_py(error) from error
        if grant is None:
            return False
        self.local.token, self.fence = owner, grant.token
        return True

    async def locked(self) -> bool:
        """Whether anybody holds the lock, or it is being handed over."""
        return await self._value() is not None

    async def owned(self) -> bool:
        """Whether this lock object holds the lock."""
        value = await self._value()
        return value is not None and value == getattr(self.local, "token", None)

    async def release(self) -> None:
        """Release. Raises `LockError` if it was not acquired, `LeaseLost` if it ended before."""
        token = self._token("release a lock that's not owned or is already unlocked")
        try:
            kept = await self._server.release((self.name,), token)
        except Unanswered as error:
            raise _of_redis_py(error) from error
        except asyncio.CancelledError:
            # It may or may not have been executed. Repeat it: only the owner's lock is released.
            with suppress(*Unanswered):
                await settle(self._server.release((self.name,), token), WITHIN)
                self._forget(token)
            raise
        self._forget(token)
        if not kept:
            raise LeaseLost("Cannot release a lock that's no longer owned")

    def extend(self, additional_time: float, replace_ttl: bool = False) -> Awaitable[Literal[True]]:
        """Add seconds to the time left, or replace it."""
        token = self._token("extend an unlocked lock")
        if self.timeout is None:
            raise LockError("Cannot extend a lock with no timeout")
        return self._extend(
            token, lease_seconds(additional_time, "additional_time"), replace_ttl, "extend"
        )

    def reacquire(self) -> Awaitable[Literal[True]]:
        """Reset the time left to `timeout`."""
        token = self._token("reacquire an unlocked lock")
        if self.timeout is None:
            raise LockError("Cannot reacquire a lock with no timeout")
        return self._extend(token, self.timeout, True, "reacquire")

    async def _extend(
        self, token: bytes, seconds: float, replace: bool, action: str
    ) -> Literal[True]:
        try:
            left = await self._server.extend(
                (self.name,), token, milliseconds(seconds), replace=replace
            )
        except Unanswered as error:
            raise _of_redis_py(error) from error
        if not left:
            raise LeaseLost(f"Cannot {action} a lock that's no longer owned")
        return True

    async def _value(self) -> bytes | None:
        try:
            return (await self._server.look(self.name))[0]
        except Unanswered as error:
            raise _of_redis_py(error) from error

    def __repr__(self) -> str:
        held = getattr(self.local, "token", None) is not None
        state = f"acquired with fence {self.fence}" if held else "not acquired"
        return f"<Lock {self.name!r}, {state}>"

    def _token(self, action: str) -> bytes:
        token: bytes | None = getattr(self.local, "token", None)
        if token is None:
            raise LockError(f"Cannot {action}")
        return token

    def _forget(self, token: bytes) -> None:
        # Another task may have acquired through this object meanwhile.
        if getattr(self.local, "token", None) == token:
            self.local.token = None


def _of_redis_py(error: BaseException) -> BaseException:
    """What the connection raised, as redis-py's lock lets it through. Our own timeout becomes
    redis-py's.
    """
    cause = error.__cause__ if isinstance(error, LockUnknown) else error
    return (
        cause
        if isinstance(cause, RedisError)
        else RedisTimeoutError(f"no answer within {WITHIN:g} s")
    )
