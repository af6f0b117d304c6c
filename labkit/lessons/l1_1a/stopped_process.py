"""The incident of lesson 1.1a with real processes: one is stopped by the operating system while it
holds the lock (SIGSTOP), another one takes over, and the first goes on.

Ada and Bob are two Python processes at one Valkey server. Each takes the lock, reads who has bought
the stove, and writes itself down. Ada's process is stopped right after her read, for longer than
the lease, and continued when Bob has finished.

Leaves out: virtual time. This takes a second or two: processes start, and the lease runs out.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from labkit import real
from labkit.locks import LockManager

if TYPE_CHECKING:
    from labkit.lessons.l1_1a.customers import Store

LEASE = 0.8
LOCKS = ("redis-py's lock", "labkit's lock")
STORES = ("plain store", "fenced store")
CASES = ((LOCKS[0], STORES[0]), (LOCKS[1], STORES[0]), (LOCKS[1], STORES[1]))
"""A lock and a store, as the lesson compares them."""


class _PlainStore:
    """A text by key; it ignores the token."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, key: str, *, token: int) -> str | None:
        text = await self._redis.get(key)
        return text.decode() if isinstance(text, bytes) else text

    async def write(self, key: str, text: str, *, token: int) -> None:
        await self._redis.set(key, text)


def one_is_stopped(lock: str, store: str) -> dict[str, str] | None:
    """Who was told what, and what the store says; None when no Valkey can be started here.

    `lock` is one of `LOCKS`, `store` one of `STORES`; `ValueError` otherwise.
    """
    if lock not in LOCKS or store not in STORES:
        raise ValueError(f"lock must be one of {LOCKS} and store one of {STORES}")
    with suppress(real.ServerUnavailable), real.valkey() as url:
        ada, bob = (_start(url, customer, lock, store) for customer in ("ada", "bob"))
        try:
            _go_on(ada)
            assert ada.stdout is not None
            ada.stdout.readline()  # "read"
            process = psutil.Process(ada.pid)
            process.suspend()  # SIGSTOP
            _go_on(ada)  # it will, once it runs again
            _go_on(bob)
            _go_on(bob)
            told_bob = bob.communicate(timeout=30)[0].split("\n")[1]
            process.resume()  # SIGCONT
            told_ada = ada.communicate(timeout=30)[0].split("\n")[0]
        finally:
            ada.kill()
            bob.kill()
        return {"ada": told_ada, "bob": told_bob, "store": _kept(url, store)}
    print("no Valkey can be started on this machine; the lesson goes on without it")
    return None


def _start(url: str, customer: str, lock: str, store: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, url, customer, lock, store]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _go_on(process: subprocess.Popen[str]) -> None:
    """Let a process take the lock; or, when it has read the store, finish its computation."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _kept(url: str, store: str) -> str:
    """What the store holds, read past it: a notebook's thread has an event loop already."""
    with BlockingRedis.from_url(url) as redis:
        kept = (
            redis.hget("fenced:stove", "value") if store == "fenced store" else redis.get("stove")
        )
    return kept.decode() if isinstance(kept, bytes) else ""


def _shelf(redis: Redis, store: str) -> Store:
    if store == "plain store":
        return _PlainStore(redis)
    from labkit.locks import RedisFencedStore  # imports SQLAlchemy: not in every process

    return RedisFencedStore(redis)


@asynccontextmanager
async def _hold(redis: Redis, lock: str) -> AsyncIterator[int]:
    """Hold the lock over the block; the token is 1 where the lock has none."""
    if lock == "labkit's lock":
        locks = LockManager(redis, ids=lambda: uuid4().hex, rng=random.Random())
        async with locks.hold("lock:stove", lease=LEASE, wait=10.0) as lease:
            yield lease.token
    else:
        async with redis.lock("lock:stove", timeout=LEASE, blocking_timeout=10.0):
            yield 1


async def _order(url: str, customer: str, lock: str, store: str) -> str:
    async with Redis.from_url(url) as redis:
        sys.stdin.readline()  # both processes are started at once, and take the lock in turn
        try:
            async with _hold(redis, lock) as token:
                buyers = (await _shelf(redis, store).read("stove", token=token) or "").split()
                print("read", flush=True)
                sys.stdin.readline()  # it computes: no other task of this process runs
                if buyers:
                    return "sold out"
                await _shelf(redis, store).write("stove", customer, token=token)
                return "sold"
        except Exception as error:
            return type(error).__name__


if __name__ == "__main__":
    print(asyncio.run(_order(*sys.argv[1:])))
