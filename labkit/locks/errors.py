"""Errors of locks. Each says whether the request took effect.

- `LockTimeout`: the lock is definitely not held.
- `LockUnknown`: the server did not answer. The lock may be held until its lease ends.
- `LeaseLost`: the lock was held and has ended.

All are subclasses of redis-py's `LockError`, so code written for `redis.asyncio.lock.Lock` catches
them."""

from __future__ import annotations

from typing import Literal

from redis.exceptions import LockError as RedisLockError
from redis.exceptions import LockNotOwnedError


class LockError(RedisLockError):
    """A request to a lock failed. `outcome`: "failed" (definitely without effect) or "unknown"."""

    outcome: Literal["failed", "unknown"] = "failed"


class LockTimeout(LockError):
    """The lock could not be acquired in time. It is definitely not held, and the caller has left
    the queue.
    """


class LeaseLost(LockError, LockNotOwnedError):
    """The lease ended before its holder released it. Another client may hold the lock by now."""


class LockUnknown(LockError):
    """The server did not answer in time, so the request may or may not have taken effect.

    After an acquire, the lock may be held although no client knows it. It is free again when its
    lease ends, at the latest."""

    outcome = "unknown"
