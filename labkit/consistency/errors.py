"""What can go wrong with a lock, said as an answer to "did it happen?".

`LockTimeout`: definitely not held. `LockUnknown`: the server did not answer, so the lock may be held; it ends by itself.
`LeaseLost`: it was held and is not any more. `StaleToken`: a resource refused a write, nothing was written.

The first three are kinds of redis-py's own `LockError`, so that code written for `redis.asyncio.lock.Lock` catches them.
"""

from __future__ import annotations

from typing import Literal

from redis.exceptions import LockError as RedisLockError
from redis.exceptions import LockNotOwnedError


class LockError(RedisLockError):
    """Something about a lock; `outcome` says whether what was asked happened: "failed" (definitely not) or "unknown"."""

    outcome: Literal["failed", "unknown"] = "failed"


class LockTimeout(LockError):
    """The lock was not had within the time to wait. It is definitely not held, and nobody waits for it any more."""


class LeaseLost(LockError, LockNotOwnedError):
    """The lease ended before its holder let go: another may hold the lock by now."""


class LockUnknown(LockError):
    """The server did not answer in time, or not at all: what was asked may have happened.

    After an acquire, the lock may be held by nobody who knows of it; it is free again when its lease ends, at the latest.
    """

    outcome = "unknown"


class StaleToken(Exception):
    """A fenced resource refused a write: it has `seen` a newer token than the one `given`. Nothing was written."""

    def __init__(self, key: str, *, seen: int, given: int) -> None:
        self.key, self.seen, self.given = key, seen, given
        super().__init__(f"{key!r} has seen token {seen}, so the older token {given} is refused")
