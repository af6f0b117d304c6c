"""Locks by name on one Redis server: leases with fencing tokens, and a queue of waiters.

    locks = LockManager(redis, ids=new_id, rng=random.Random())
    async with locks.hold("product:1", "product:2") as lease:
        await store.write("product:1", 4, token=lease.token)

Guarantees, as long as the server keeps its data: a key has at most one holder at a time while
leases last; a holder's fencing token is greater than those of all holders before it; several keys
are locked together or not at all, in one order, so that their holders never deadlock; waiters are
served in the order in which they came.

Leaves out: re-entrance (a holder that acquires again waits for itself until the timeout), read
locks, a server that loses data.

Sources: redis.io, "Distributed Locks with Redis"; Kleppmann 2016 for the fencing token.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from labkit.base.validation import between
from labkit.locks._validation import lease_seconds, lock_keys, milliseconds, wait_seconds
from labkit.locks._waiting import take
from labkit.locks.errors import LockTimeout, LockUnknown
from labkit.locks.lease import Lease, RenewedLease
from labkit.locks.server import FENCED, NEXT, LockServer, Unanswered


@dataclass(frozen=True, slots=True)
class Holder:
    """The owner of a key, the seconds left of its lease (infinity: until it is released), and its
    fencing token if it has one.
    """

    owner: str
    remaining: float
    token: int | None


class LockManager:
    """Grants leases.

    `ids` returns a new owner's name with each call, and `rng` draws the jitter. Seconds: `lease`
    for which a lock is granted, `wait` for which an acquire waits, `max_hold` after which `hold`
    stops renewing, `within` for an answer of the server."""

    def __init__(
        self,
        redis: Redis,
        *,
        ids: Callable[[], str],
        rng: random.Random,
        lease: float = 10.0,
        wait: float = 10.0,
        max_hold: float = 300.0,
        within: float = 2.0,
    ) -> None:
        self._server = LockServer(redis, between(within, "within", 0.001, 60.0))
        self._ids = ids
        self._jitter = rng.random
        self._lease = lease_seconds(lease)
        self._wait = wait_seconds(wait)
        self._max_hold = between(max_hold, "max_hold", lease, math.inf)

    def hold(
        self,
        *keys: str,
        lease: float | None = None,
        wait: float | None = None,
        max_hold: float | None = None,
    ) -> RenewedLease:
        """Hold the keys over an `async with` block: see `lease.py`. Entering raises what
        `acquire` raises.
        """
        seconds = self._lease if lease is None else lease_seconds(lease)
        most = (
            max(self._max_hold, seconds)
            if max_hold is None
            else between(max_hold, "max_hold", seconds, math.inf)
        )
        return RenewedLease(self.acquire, keys, seconds, wait, most)

    async def acquire(
        self, *keys: str, lease: float | None = None, wait: float | None = None
    ) -> Lease:
        """Acquire all keys, waiting in the queue. The lease is not renewed automatically.

        Raises `LockTimeout` (not held) after `wait` seconds, and `LockUnknown` if the server does
        not answer."""
        seconds = self._wait if wait is None else wait_seconds(wait)
        had = await self._take(keys, lease, seconds)
        if had is None:
            names = ", ".join(map(repr, lock_keys(keys)))
            raise LockTimeout(f"{names} could not be acquired within {seconds:g} s")
        return had

    async def try_acquire(self, *keys: str, lease: float | None = None) -> Lease | None:
        """Acquire all keys if they are free and nobody waits for them; else return None at once."""
        return await self._take(keys, lease, 0.0)

    async def holder(self, key: str) -> Holder | None:
        """The holder of the key; None if it is free or being handed over. Raises `LockUnknown`."""
        lock_keys((key,))
        try:
            value, left = await self._server.look(key)
        except Unanswered as error:
            raise LockUnknown(f"no answer about {key!r}") from error
        if value is None or value.startswith(NEXT.encode()):
            return None
        owner, _, fence = value.decode(errors="replace").rpartition(FENCED)
        remaining = math.inf if left < 0 else left / 1000
        return (
            Holder(owner, remaining, int(fence))
            if owner and fence.isdecimal()
            else Holder(value.decode(errors="replace"), remaining, None)
        )

    async def _take(self, keys: tuple[str, ...], lease: float | None, wait: float) -> Lease | None:
        names = lock_keys(keys)
        seconds = self._lease if lease is None else lease_seconds(lease)
        owner = self._ids()
        grant = await take(
            self._server, names, owner, milliseconds(seconds), wait=wait, jitter=self._jitter
        )
        if grant is None:
            return None
        return Lease(
            self._server, names, owner, grant.token, asked_at=grant.asked_at, seconds=seconds
        )

    def __repr__(self) -> str:
        return f"<LockManager, lease {self._lease:g} s, wait {self._wait:g} s>"
