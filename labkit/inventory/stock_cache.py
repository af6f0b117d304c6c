"""A read-through cache of stock levels with a bounded age, whose failure stops no sale.

An entry carries the time *before* its read, so its age is never underestimated. Readers trust it
for `max_age` seconds by their own clock, whatever the cache's expiry does. If the cache does not
answer, the database is read. If that does not answer either, the result is None, and the caller
goes on selling (it fails open). Both failures are counted, because a cache that always fails looks
like one that works.

Guarantees: a returned number was true at most `max_age` seconds ago (plus the difference between
two readers' clocks). `stock` raises only for mistakes of its caller, and returns after about three
times `within`.

Leaves out: invalidation (the bound on the age replaces it), protection from a stampede (chapter
4.1), and a circuit breaker: while the cache is down, each look-up waits for it.

Sources: Azure Architecture Center, "Cache-Aside pattern"; Amazon Builders' Library, "Caching
challenges and strategies".
"""

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
    """Stock by SKU, each in the Redis key "stock:" + SKU as "units@seconds since 1970".

    `read(sku)` asks the database, and `clock` returns seconds since 1970. An entry is trusted for
    `max_age` seconds. A look-up waits at most `within` seconds for the cache, as long for the
    database, and as long to store the result.

    Counters: `hits`, `misses`, `cache_failures`, and `unknown` (results that were None)."""

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
        counted = f"{self.hits} hits, {self.misses} misses"
        counted += f", {self.cache_failures} cache failures, {self.unknown} unknown"
        return f"<StockCache, {self.max_age:g} s old at most: {counted}>"

    async def stock(self, sku: str) -> int | None:
        """Units on hand at most `max_age` seconds ago; None if unknown, or for an unknown SKU."""
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
    """The units and when they were read. A value that cannot be parsed is infinitely old."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value or ""
    units, _, read_at = text.partition("@")
    try:
        return int(units), float(read_at)
    except ValueError:
        return 0, -math.inf
