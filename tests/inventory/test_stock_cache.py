"""The stock cache: late but not too late, and whatever fails, nobody is kept from selling; the
failures are counted.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from labkit.check import Invariant
from labkit.inventory import Accepts, StockCache, create_reservations
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.inventory.stock import Inventory, create_inventory
from labkit.sim import falsify, partitions, pauses, run
from labkit.world import Crash, Partition, Skew, World
from tests.support.depth import runs
from tests.support.servers import Server


class Shop:
    """A stock that is read, a clock that is moved, and how often anybody asked."""

    def __init__(self) -> None:
        self.now, self.units, self.asked = 1000.0, 5, 0

    def clock(self) -> float:
        return self.now

    async def read(self, sku: str) -> int:
        self.asked += 1
        return self.units


def cache_of(redis: Redis, shop: Shop, **options: Any) -> StockCache:
    return StockCache(redis, shop.read, clock=shop.clock, **{"max_age": 2.0} | options)


def test_it_reads_through_and_believes_a_number_for_so_long(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        shop = Shop()
        cache = cache_of(redis, shop)
        assert [await cache.stock("tent"), await cache.stock("tent"), shop.asked] == [5, 5, 1]
        shop.units, shop.now = 3, 1002.0
        assert [await cache.stock("tent"), shop.asked] == [5, 1], "two seconds old: still believed"
        shop.now = 1002.0 + 2**-20
        assert [await cache.stock("tent"), shop.asked] == [3, 2]
        assert (
            repr(cache)
            == "<StockCache, 2 s old at most: 2 hits, 2 misses, 0 cache failures, 0 unknown>"
        )

    server.play(scenario)


def test_the_age_of_a_number_counts_from_before_it_was_read(fake_server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        shop = Shop()

        async def slow(sku: str) -> int:
            units = await shop.read(sku)
            shop.now += 3.0  # the answer is on its way for longer than a number is believed
            return units

        cache = StockCache(redis, slow, clock=shop.clock, max_age=2.0)
        assert [await cache.stock("tent"), await cache.stock("tent"), shop.asked] == [5, 5, 2]

    fake_server.play(scenario)


def test_two_readers_share_what_one_of_them_read(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        shop, other = Shop(), Shop()
        await cache_of(redis, shop).stock("tent")
        assert await cache_of(redis, other).stock("tent") == 5
        assert (shop.asked, other.asked) == (1, 0)

    server.play(scenario, decode_responses=True)


@pytest.mark.parametrize(
    "junk", [b"7", b"", b"7@", b"@1000", b"x@y", b"7@nan", b"7@inf", b"\xff\xfe", b"7@1001.5"]
)
def test_what_somebody_else_left_there_is_not_believed(fake_server: Server, junk: bytes) -> None:
    """Nor is a number from the future: a clock is wrong, and nobody knows how old it is."""

    async def scenario(redis: Redis) -> None:
        await redis.set("stock:tent", junk)
        assert await cache_of(redis, Shop()).stock("tent") == 5

    fake_server.play(scenario)


def test_its_keys_end_by_themselves(server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        await cache_of(redis, Shop()).stock("tent")
        assert 0 < await redis.pttl("stock:tent") <= 2000

    server.play(scenario)


def test_a_sku_nobody_has_is_unknown_not_an_error(fake_server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        async def read(sku: str) -> int:
            raise UnknownSku(sku)

        cache = StockCache(redis, read, clock=lambda: 0.0)
        assert (await cache.stock("nothing"), cache.unknown) == (None, 1)

    fake_server.play(scenario)


async def accepting(
    world: World, customers: int = 12, wanted: int = 1, stock: int = 3, within: float = 0.25
) -> dict[str, Any]:
    """West accepts into its own database and asks its cache and then home, a customer each half
    second.
    """
    home, west = world.database("home"), world.database("west-database")
    await create_inventory(home, {"tent": stock})
    await create_reservations(west, clock=world.clock)
    ends: list[str] = []

    async def shop() -> StockCache:
        inventory = Inventory(world.database("home", timeout=2.0))
        cache = StockCache(
            world.redis(timeout=2.0), inventory.stock, clock=world.clock, max_age=2.0, within=within
        )
        accepts = Accepts(
            world.database("west-database"), clock=world.clock, ids=world.new_id, cache=cache
        )
        for number in range(customers):
            asked = world.now()
            try:
                ends.append(
                    (
                        await accepts.accept([("tent", wanted)], key=f"k{number}", customer="ada")
                    ).status
                )
            except OutOfStock:
                ends.append("refused")
            world.record(
                "answered", took=world.now() - asked, counts=(cache.cache_failures, cache.unknown)
            )
            await asyncio.sleep(0.5)
        return cache

    (cache,) = await world.join(world.node("west").start(shop))
    slowest = max(event.data["took"] for event in world.history.of("answered"))
    assert isinstance(cache, StockCache)
    counts = {
        "hits": cache.hits,
        "misses": cache.misses,
        "failures": cache.cache_failures,
        "unknown": cache.unknown,
    }
    return {"ends": ends, "slowest": slowest} | counts


def test_with_everything_up_the_cache_answers_and_refuses_what_cannot_be() -> None:
    calm = run(accepting, args={"wanted": 4}).result
    assert (
        set(calm["ends"]) == {"refused"}
        and calm["hits"] == 9
        and calm["failures"] == calm["unknown"] == 0
    )


def test_with_the_cache_down_home_is_asked_and_the_failures_are_counted() -> None:
    done = run(accepting, args={"wanted": 4}, faults=[Crash("redis", at=1.75)]).result
    assert set(done["ends"]) == {"refused"}
    assert (done["failures"], done["unknown"]) == (8, 0)


def test_with_home_cut_off_too_everybody_is_accepted_and_that_is_counted() -> None:
    cut = [Partition(("west", "west-database"), ("redis", "home"), at=1.75)]
    done = run(accepting, args={"wanted": 4}, faults=cut).result
    assert done["ends"] == ["refused"] * 4 + ["accepted"] * 8
    assert done["failures"] == done["unknown"] == 8
    assert done["slowest"] < 0.25 + 0.25 + 0.1, "each look-up is given up in time"


async def staleness(world: World) -> list[tuple[float, int]]:
    """The stock falls by one each half second; a reader on another node looks every fifth of one.
    Ages are true seconds.
    """
    truth: list[tuple[float, int]] = [(0.0, 100)]
    seen: list[tuple[float, int]] = []

    async def read(sku: str) -> int:
        await asyncio.sleep(0.05)  # what was read is on its way for a while
        units = truth[-1][1]
        await asyncio.sleep(0.05)
        return units

    async def falling() -> None:
        for _ in range(20):
            await asyncio.sleep(0.5)
            truth.append((world.now(), truth[-1][1] - 1))

    async def reader() -> None:
        cache = StockCache(world.redis(), read, clock=world.clock, max_age=1.0, within=0.5)
        while world.now() < 9.0:
            began = world.now()
            if (units := await cache.stock("tent")) is not None:
                gone = next((at for at, left in truth if left < units), world.now())
                seen.append((round(began - gone, 6), units))
            await asyncio.sleep(0.2)

    readers = [world.node(name).start(reader) for name in ("a", "b")]
    world.node("shop").start(falling, daemon=True)
    await world.join(*readers)
    return seen


FRESH = Invariant(
    "a number was true at most max_age seconds before it was asked for",
    lambda run: next((f"{age} s late" for age, _ in run.result if age > 1.0), None),
)


@pytest.mark.search
def test_no_pause_and_no_partition_makes_a_number_older_than_it_may_be() -> None:
    faults = [pauses("a", "redis", up_to=3.0), partitions("a", "redis", up_to=2.0)]
    assert falsify(staleness, FRESH, faults=faults, at_most=2, runs=runs("fair"))
    assert max(age for age, _ in run(staleness, seed=3).result) > 0.3, "it is late, now and then"


def test_a_reader_whose_clock_is_behind_may_believe_too_long_by_as_much() -> None:
    late = run(staleness, faults=[Skew("a", at=0.0, by=-0.9)]).result
    assert max(age for age, _ in late) <= 1.0 + 0.9


def test_what_makes_no_sense_is_refused(fake_server: Server) -> None:
    async def scenario(redis: Redis) -> None:
        with pytest.raises(
            ValueError, match=r"^max_age must be between 0.001 and 86400 seconds, got 0"
        ):
            cache_of(redis, Shop(), max_age=0)
        with pytest.raises(
            ValueError, match=r"^within must be between 0.001 and 60 seconds, got 61"
        ):
            cache_of(redis, Shop(), within=61)

    fake_server.play(scenario)
