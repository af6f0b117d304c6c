"""Redlock: a lock on the majority of n independent Redis servers. An experiment, not the default.

It needs no single server to be up: the lock is held if more than half of the servers granted it and
time is left.

Its published limits, which the lessons reproduce:
- It has no fencing token. The servers share nothing, so they have no common counter, and nothing
  protects the resource from a holder that was paused past its lease (Kleppmann 2016, "How to do
  distributed locking").
- It is safe only under timing assumptions: bounded pauses, message delays and clock errors. If the
  clock of one server jumps, or a server restarts without its data within a lease, two clients can
  have a majority (ibid.).
- Sanfilippo's reply (2016, "Is Redlock safe?"): the time check after the majority bounds network
  delays, monotonic clocks and a delayed restart answer the rest, and the unique value can serve as
  a token by compare-and-set. Both agree that clocks must not jump and that a restart must be
  delayed. If a resource can check a token, one server and fencing achieve more with less; if it
  cannot, use a consensus store (etcd, ZooKeeper).

Leaves out: renewal, a queue of waiters, and the guarantees of `LockManager`.

Source: redis.io, "Distributed Locks with Redis", "The Redlock Algorithm".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.asyncio import Redis

from labkit.base.validation import between
from labkit.locks._validation import lease_seconds, lock_keys, milliseconds, wait_seconds
from labkit.locks.server import Script, Unanswered, settle

DRIFT = 0.01
DRIFT_SECONDS = 0.002
_RELEASE = Script.of(
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
)


class Majority:
    """A lock that a majority granted: `key`, `owner`, and the loop time `deadline` until which the
    majority holds if no clock jumps.
    """

    def __init__(self, redlock: RedlockExperiment, key: str, owner: str, deadline: float) -> None:
        self._redlock = redlock
        self.key, self.owner, self.deadline = key, owner, deadline

    def remaining(self) -> float:
        """Seconds for which the lock is held if no clock jumps, at least 0."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    async def release(self) -> bool:
        """Release on every server. True if a majority still had the lock."""
        return await self._redlock._release(self.key, self.owner) >= self._redlock.quorum

    def __repr__(self) -> str:
        return f"<Majority for {self.key!r}, held by {self.owner!r}>"


class RedlockExperiment:
    """The algorithm of the source, over clients of independent servers. `within`: seconds in which
    a server must answer.
    """

    def __init__(
        self,
        servers: Sequence[Redis],
        *,
        ids: Callable[[], str],
        rng: random.Random,
        lease: float = 10.0,
        within: float = 0.05,
    ) -> None:
        if not servers:
            raise ValueError("servers: at least one client is needed, got none")
        self._servers = list(servers)
        self._ids, self._rng = ids, rng
        self._lease = lease_seconds(lease)
        self._within = between(within, "within", 0.001, lease)
        self.quorum = len(self._servers) // 2 + 1

    def __repr__(self) -> str:
        return f"<RedlockExperiment on {len(self._servers)} servers, lease {self._lease:g} s>"

    async def acquire(self, key: str, *, wait: float = 0.0) -> Majority | None:
        """Try for `wait` seconds, with random delays; None if no majority granted the lock."""
        lock_keys((key,))
        now = asyncio.get_running_loop().time
        give_up = now() + wait_seconds(wait)
        while True:
            had = await self._try(key)
            delay = self._rng.uniform(0.05, 0.2)
            if had is not None or now() + delay > give_up:
                return had
            await asyncio.sleep(delay)

    async def _try(self, key: str) -> Majority | None:
        now = asyncio.get_running_loop().time
        owner = self._ids()
        asked_at = now()
        try:
            granted = sum(
                await asyncio.gather(*(self._ask(server, key, owner) for server in self._servers))
            )
            deadline = asked_at + self._lease - (self._lease * DRIFT + DRIFT_SECONDS)
            if granted >= self.quorum and now() < deadline:
                return Majority(self, key, owner, deadline)
        except BaseException:
            await settle(self._release(key, owner), 2 * self._within)
            raise
        await self._release(key, owner)  # also where no answer came: the lock may have been granted
        return None

    async def _ask(self, server: Redis, key: str, owner: str) -> bool:
        with suppress(*Unanswered):
            async with asyncio.timeout(self._within):
                return bool(await server.set(key, owner, nx=True, px=milliseconds(self._lease)))
        return False

    async def _release(self, key: str, owner: str) -> int:
        return sum(
            await asyncio.gather(*(self._let_go(server, key, owner) for server in self._servers))
        )

    async def _let_go(self, server: Redis, key: str, owner: str) -> bool:
        with suppress(*Unanswered):
            async with asyncio.timeout(self._within):
                return bool(await server.eval(_RELEASE.source, 1, key, owner))
        return False
