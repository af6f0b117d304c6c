"""A read-through cache of stock numbers that may be late but not too late, and whose failure stops
nobody.

Shows: a number goes into Redis with the time *before* it was read, so its age is never
underestimated; it is believed for `max_age` seconds by the reader's clock, whatever the cache's own
expiry does. When the cache does not answer, the database is read; when that does not answer either,
the answer is None: nobody knows, and the caller sells on (fails open). Both are counted, because a
cache that always fails looks like one that works.

Guarantees: a number that is returned was true at most `max_age` seconds before it was asked for
(plus what the clocks of two readers differ by); `stock` raises nothing but the mistakes of its
caller and returns after about three times `within`.

Leaves out: invalidation (the bound on the age replaces it), protection from a stampede (chapter
4.1), and a breaker: while the cache is down, each look-up pays for finding out.

Sources: Azure Architecture Center, "Cache-Aside pattern"; Amazon Builders' Library, "Caching
challenges and strategies"."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from labkit.base.errors import DatabaseUnavailable
from labkit.base.validation import between
from labkit.inventory.errors import UnknownSku

_PREFIX = "stock:"


class StockCache:
    """Stock by SKU, each a key "stock:" + SKU in Redis with the value "units@seconds since 1970".

    `read(sku)` asks the database; `clock` gives seconds since 1970. A number is believed for
    `max_age` seconds. A look-up waits `within` seconds for the cache, as long again for the
    database, and again to keep what it read.

    It counts: `hits`, `misses`, `cache_failures` and `unknown` (how often the answer was None).
    """

    def __init__(
        self,
        redis: Redis,
        read: Callable[[str], Awaitable[int]],
        *,
        clock: Callable[[], float],
        max_age: float = 5.0,
        within: float = 0.25,
    ) -> None:
        self.max_age = between(max_age, "max_age", 0.001, 86_400.0)
        self.within = between(within, "within", 0.001, 60.0)
        self.hits = self.misses = self.cache_failures = self.unknown = 0
        self._redis = redis
        self._read = read
        self._clock = clock

    def __repr__(self) -> str:
        counted = f"{self.hits} hits, {self.misses} misses, {self.cache_failures} cache failures, {self.unknown} unknown"
        return f"<StockCache, {self.max_age:g} s old at most: {counted}>"

    async def stock(self, sku: str) -> int | None:
        """How many were on hand, at most `max_age` seconds before now; None: nobody knows, or there
        is no such SKU.
        """
        failures = self.cache_failures
        cached = await self._look(sku)
        if cached is not None:
            self.hits += 1
            return cached
        self.misses += 1
        before = self._clock()
        try:
            async with asyncio.timeout(self.within):
                units = await self._read(sku)
        except (DatabaseUnavailable, UnknownSku, TimeoutError, OSError):
            self.unknown += 1
            return None
        if self.cache_failures == failures:
            await self._keep(sku, units, before)
        return units

    async def _look(self, sku: str) -> int | None:
        try:
            async with asyncio.timeout(self.within):
                found = await self._redis.get(_PREFIX + sku)
        except (RedisError, TimeoutError, OSError):
            self.cache_failures += 1
            return None
        units, read_at = _parsed(found)
        age = self._clock() - read_at
        return units if 0 <= age <= self.max_age else None

    async def _keep(self, sku: str, units: int, read_at: float) -> None:
        life = max(1, math.ceil(self.max_age * 1000))
        try:
            async with asyncio.timeout(self.within):
                await self._redis.set(_PREFIX + sku, f"{units}@{read_at!r}", px=life)
        except (RedisError, TimeoutError, OSError):
            self.cache_failures += 1


def _parsed(value: bytes | str | None) -> tuple[int, float]:
    """The units and when they were read; what is not one of ours is infinitely old."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value or ""
    units, _, read_at = text.partition("@")
    try:
        return int(units), float(read_at)
    except ValueError:
        return 0, -math.inf
