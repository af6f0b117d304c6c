"""What can go wrong with a lock, a fenced resource, the inventory and an idempotency key: each answers "did it happen?".

- a lock: `LockTimeout`, definitely not held; `LockUnknown`, the server did not answer, so the lock may be held, and ends by
  itself; `LeaseLost`, it was held and is not any more. All are kinds of redis-py's own `LockError`, so that code written for
  `redis.asyncio.lock.Lock` catches them;
- a refusal, nothing was read or written: `StaleToken` of a fenced resource, `UnknownSku` and `OutOfStock` of the inventory,
  `UnknownHold` and `NotHeld` of a reservation, `QuotaSpent` of a site's part;
- a request with a key: `KeyReused` and `KeyInProgress`, nothing was begun; `ClaimLost`, nothing of it may be committed;
- the database: `DatabaseUnavailable`, whose `outcome` says which.

Left out: mistakes of the caller. Those are `ValueError` and `TypeError`, raised before anything is sent.
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
    """A fenced resource refused: it has `seen` a newer token than the one `given`. Nothing was read or written."""

    def __init__(self, key: str, *, seen: int, given: int) -> None:
        self.key, self.seen, self.given = key, seen, given
        super().__init__(f"{key!r} has seen token {seen}, so the older token {given} is refused")


class Refused(Exception):
    """A definite no: it did not happen, and asking again will not help. The inventory's and the shop's are kinds of it."""

    outcome: Literal["failed"] = "failed"


class UnknownSku(Refused):
    """There is no such SKU."""

    def __init__(self, sku: str) -> None:
        self.sku = sku
        super().__init__(f"no SKU {sku!r}")


class OutOfStock(Refused):
    """Less is there than was wanted. `available` is what a read straight after the refusal saw."""

    def __init__(self, sku: str, wanted: int, available: int) -> None:
        self.sku, self.wanted, self.available = sku, wanted, available
        super().__init__(f"{wanted} of {sku!r} wanted, {available} available")


class QuotaSpent(OutOfStock):
    """A site has not so many rights left; other sites may. `available` is what it has."""

    def __init__(self, sku: str, wanted: int, available: int, site: str) -> None:
        super().__init__(sku, wanted, available)
        self.site = site
        self.args = (f"{wanted} of {sku!r} wanted, {available} left of the quota of {site!r}",)


class UnknownHold(Refused):
    """There is no such hold."""

    def __init__(self, hold_id: str) -> None:
        self.hold_id = hold_id
        super().__init__(f"no hold {hold_id!r}")


class NotHeld(Refused):
    """The hold has ended, or was only accepted so far, as `status` says; nothing was changed."""

    def __init__(self, hold_id: str, status: str) -> None:
        self.hold_id, self.status = hold_id, status
        super().__init__(f"hold {hold_id!r} is not held, it is {status}")


class KeyReused(Exception):
    """The key was used before, for another payload."""


class KeyInProgress(Exception):
    """The first request with this key has not ended; it has `retry_after` seconds left to."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"a request with this key is in progress; try again within {retry_after:g} seconds")


class ClaimLost(Exception):
    """The claim ran out and another request took the key over; nothing of this one may be committed."""


class DatabaseUnavailable(Exception):
    """The database did not do it, or did not say. `outcome`: "failed" (definitely not committed) or "unknown"."""

    def __init__(self, outcome: Literal["failed", "unknown"], why: str) -> None:
        self.outcome: Literal["failed", "unknown"] = outcome
        self.why = why
        super().__init__(f"{why}; {'nothing was committed' if outcome == 'failed' else 'the commit may have happened or not'}")
