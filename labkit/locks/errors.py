"""What can go wrong with a lock. Each error says whether what was asked happened.

- `LockTimeout`: the lock is definitely not held.
- `LockUnknown`: the server did not answer. The lock may be held; it ends with its lease.
- `LeaseLost`: the lock was held and is not any more.

All are kinds of redis-py's own `LockError`, so code written for `redis.asyncio.lock.Lock` catches
them."""

from __future__ import annotations

from typing import Literal

from redis.exceptions import LockError as RedisLockError
from redis.exceptions import LockNotOwnedError


class LockError(RedisLockError):
    """Something about a lock; `outcome` says whether what was asked happened: "failed" (definitely
    not) or "unknown".
    """

    outcome: Literal["failed", "unknown"] = "failed"


class LockTimeout(LockError):
    """The lock was not had within the time to wait. It is definitely not held, and nobody waits for
    it any more.
    """


class LeaseLost(LockError, LockNotOwnedError):
    """The lease ended before its holder let go: another may hold the lock by now."""


class LockUnknown(LockError):
    """The server did not answer in time, or not at all: what was asked may have happened.

    After an acquire, the lock may be held by nobody who knows of it; it is free again when its
    lease ends, at the latest."""

    outcome = "unknown"
