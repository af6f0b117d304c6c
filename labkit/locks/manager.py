"""Locks by name on one Redis: leases with fencing tokens, waited for in line.

    locks = LockManager(redis, ids=new_id, rng=random.Random())
    async with locks.hold("product:1", "product:2") as lease:
        await store.write("product:1", 4, token=lease.token)

Guarantees, as long as the server keeps its data: at most one holder of a key at a time while leases
last; a fencing token greater than that of every holder before; several keys all or none, in one
order, so that holders of several never deadlock; waiters served in the order in which they came.

Leaves out: re-entrance (a holder who asks again waits for itself, and times out), read locks, a
server that loses data. Follows: redis.io "Distributed Locks with Redis", with the fencing token of
Kleppmann 2016 added."""

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
    """Who holds a key, for how many seconds yet (infinity: until it lets go), and its fencing token
    if it has one.
    """

    owner: str
    remaining: float
    token: int | None


class LockManager:
    """Hands out leases.

    `ids`: makes the owners' names, each a new one. `rng`: jitter of the waiting. `lease`: seconds a
    lock is granted for. `wait`: seconds to wait for one. `max_hold`: seconds after which `hold`
    renews no more. `within`: seconds for an answer."""

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
        """Hold the keys over an `async with` block: see `hold.py`. Entering raises as `acquire`
        does.
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
        """Take all keys, waiting in line. Nobody renews this lease but its holder.

        Raises `LockTimeout` (not held) after `wait` seconds, `LockUnknown` when the server does not
        answer."""
        seconds = self._wait if wait is None else wait_seconds(wait)
        had = await self._take(keys, lease, seconds)
        if had is None:
            raise LockTimeout(
                f"{', '.join(map(repr, lock_keys(keys)))} not had within {seconds:g} s"
            )
        return had

    async def try_acquire(self, *keys: str, lease: float | None = None) -> Lease | None:
        """Take all keys if they are free and nobody waits for them; None otherwise, at once."""
        return await self._take(keys, lease, 0.0)

    async def holder(self, key: str) -> Holder | None:
        """Who holds the key; None when it is free or on its way to the next in line. `LockUnknown`
        without an answer.
        """
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
