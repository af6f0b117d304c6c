"""What readers hand in for the exercises of lesson 1.1a: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import LockNotOwnedError, WatchError

from labkit.base import StaleToken
from labkit.lessons.l1_1a.release_race import release_race
from labkit.lessons.l1_1a.safe_retry import safe_retry
from labkit.locks import LeaseLost, LockError
from tests.lessons.handed_in import Exercise

# -- 1.1a-1: let go of a lock

RELEASE = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return"
    " 0 end"
)


async def release_stub(redis: Redis, key: str, owner: str) -> bool:
    raise NotImplementedError


async def release_by_script(redis: Redis, key: str, owner: str) -> bool:
    return bool(await redis.eval(RELEASE, 1, key, owner))


async def release_by_watching(redis: Redis, key: str, owner: str) -> bool:
    async with redis.pipeline() as pipe:
        await pipe.watch(key)
        if await pipe.get(key) != owner.encode():
            return False
        pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
        pipe.delete(key)
        try:
            return bool((await pipe.execute())[0])
        except WatchError:
            return False


async def release_whoevers_it_is(redis: Redis, key: str, owner: str) -> bool:
    return bool(await redis.delete(key))


async def release_in_two_trips(redis: Redis, key: str, owner: str) -> bool:
    if await redis.get(key) != owner.encode():
        return False
    return bool(await redis.delete(key))


async def release_or_raise(redis: Redis, key: str, owner: str) -> bool:
    if not await redis.eval(RELEASE, 1, key, owner):
        raise LockNotOwnedError("Cannot release a lock that's no longer owned")
    return True


async def release_and_say_true(redis: Redis, key: str, owner: str) -> bool:
    await redis.eval(RELEASE, 1, key, owner)
    return True


async def release_comparing_text_with_bytes(redis: Redis, key: str, owner: str) -> bool:
    if await redis.get(key) == owner:
        return bool(await redis.delete(key))
    return False


async def release_and_return_nothing(redis: Redis, key: str, owner: str) -> Any:
    await redis.eval(RELEASE, 1, key, owner)


async def release_decoding_nothing(redis: Redis, key: str, owner: str) -> bool:
    holder: Any = await redis.get("lock")
    return bool(holder.decode() == owner)


# -- 1.1a-2: retry without buying twice


async def order_stub(locks: Any, store: Any, order: str, stoves: int) -> str:
    raise NotImplementedError


async def order_by_id(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) >= stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_three_times(locks: Any, store: Any, order: str, stoves: int) -> str:
    """It may try again by itself, because the id makes every attempt safe."""
    for _ in range(3):
        with suppress(LeaseLost, StaleToken):
            return await order_by_id(locks, store, order, stoves)
    raise LeaseLost("stove")


async def order_written_after_the_lock(locks: Any, store: Any, order: str, stoves: int) -> str:
    """Right, because the store is fenced: a read with a newer token refuses this write."""
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
    if order in words:
        return "sold"
    if len(words) >= stoves:
        return "sold out"
    await store.write("stove", " ".join([*words, order]), token=lease.token)
    return "sold"


async def order_under_a_lock_of_its_own(locks: Any, store: Any, order: str, stoves: int) -> str:
    """Right, because the store is fenced and tokens come from one counter: of two orders that
    overlap, the one with the older token is refused, and asks again.
    """
    async with locks.hold(order) as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) >= stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_without_looking(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if len(words) >= stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_counting_first(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if len(words) >= stoves:
            return "sold out"
        if order not in words:
            await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_sold_when_in_doubt(locks: Any, store: Any, order: str, stoves: int) -> str:
    try:
        return await order_by_id(locks, store, order, stoves)
    except LockError:
        return "sold"


async def order_sold_out_when_in_doubt(locks: Any, store: Any, order: str, stoves: int) -> str:
    try:
        return await order_by_id(locks, store, order, stoves)
    except (StaleToken, LockError):
        return "sold out"


async def order_looked_for_outside(locks: Any, store: Any, order: str, stoves: int) -> str:
    words = ((await store.read("stove", token=1)) or "").split()
    if order in words:
        return "sold"
    return await order_without_looking(locks, store, order, stoves)


async def order_looked_for_in_an_earlier_lock(
    locks: Any, store: Any, order: str, stoves: int
) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
    if order in words:
        return "sold"
    return await order_without_looking(locks, store, order, stoves)


async def order_read_in_an_earlier_lock(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
    if order in words:
        return "sold"
    if len(words) >= stoves:
        return "sold out"
    async with locks.hold("stove") as lease:
        await store.write("stove", " ".join([*words, order]), token=lease.token)
    return "sold"


async def order_with_a_token_of_its_own(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) >= stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=2**53 - 1)
        return "sold"


async def order_with_the_newest_token(locks: Any, store: Any, order: str, stoves: int) -> str:
    """Refused with its own token, it takes the one that the store has seen. A mistake that does no
    harm here: labkit's lock cancels the block when the lease ends, before that line is reached.
    """
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) >= stoves:
            return "sold out"
        text = " ".join([*words, order])
        try:
            await store.write("stove", text, token=lease.token)
        except StaleToken as stale:
            await store.write("stove", text, token=stale.seen)
        return "sold"


async def order_as_a_part_of_the_text(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        text = (await store.read("stove", token=lease.token)) or ""
        if order in text:
            return "sold"
        if len(text.split()) >= stoves:
            return "sold out"
        await store.write("stove", f"{text}{order}", token=lease.token)
        return "sold"


async def order_as_a_prefix(locks: Any, store: Any, order: str, stoves: int) -> str:
    """Looks for the id in the text: order-1 is found in order-12, too."""
    async with locks.hold("stove") as lease:
        text = (await store.read("stove", token=lease.token)) or ""
        if order in text:
            return "sold"
        if len(text.split()) >= stoves:
            return "sold out"
        await store.write("stove", f"{text} {order}", token=lease.token)
        return "sold"


async def order_alone_in_the_store(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) >= stoves:
            return "sold out"
        await store.write("stove", order, token=lease.token)
        return "sold"


async def order_beyond_the_last(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) > stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_short_of_the_last(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) + 1 >= stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_if_the_last(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if words and words[-1] == order:
            return "sold"
        if len(words) >= stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_written_in_a_task(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if order in words:
            return "sold"
        if len(words) >= stoves:
            return "sold out"
        text = " ".join([*words, order])
        _ = asyncio.create_task(store.write("stove", text, token=lease.token))  # noqa: RUF006
        return "sold"


async def order_answered_by_nobody(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove"):
        raise LeaseLost("stove")


async def order_read_again_elsewhere(locks: Any, store: Any, order: str, stoves: int) -> str:
    """Keeps the idempotency record under a key of its own, written before the stove is sold."""
    async with locks.hold("stove") as lease:
        if await store.read(order, token=lease.token):
            return "sold"
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if len(words) >= stoves:
            return "sold out"
        await store.write(order, "sold", token=lease.token)
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        return "sold"


async def order_recorded_afterwards(locks: Any, store: Any, order: str, stoves: int) -> str:
    """Keeps the idempotency record under a key of its own, written after the stove is sold."""
    async with locks.hold("stove") as lease:
        if await store.read(order, token=lease.token):
            return "sold"
        words = ((await store.read("stove", token=lease.token)) or "").split()
        if len(words) >= stoves:
            return "sold out"
        await store.write("stove", " ".join([*words, order]), token=lease.token)
        await store.write(order, "sold", token=lease.token)
        return "sold"


async def order_looked_for_with_the_largest_token(
    locks: Any, store: Any, order: str, stoves: int
) -> str:
    """Looks after an error, with a token that shuts out everybody who comes later."""
    try:
        return await order_by_id(locks, store, order, stoves)
    except LockError:
        words = ((await store.read("stove", token=2**53 - 1)) or "").split()
        return "sold" if order in words else "sold out"


async def order_told_in_capitals(locks: Any, store: Any, order: str, stoves: int) -> str:
    return (await order_by_id(locks, store, order, stoves)).upper()


async def order_stored_as_a_list(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        await store.write("stove", [order], token=lease.token)
    return "sold"


async def order_split_before_it_is_there(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = (await store.read("stove", token=lease.token)).split()
        return "sold" if order in words else "sold out"


EXERCISES = (
    Exercise(
        "1.1a-1",
        scenarios=(release_race,),
        stub=release_stub,
        to_write="release_stub",
        right=(
            release_by_script,
            release_by_watching,
        ),
        wrong={
            release_whoevers_it_is: "freed the lock that was",
            release_in_two_trips: "freed the lock that was",
            release_or_raise: "release raised LockNotOwnedError after the work was done",
            release_and_say_true: "release said True, and",
            release_comparing_text_with_bytes: (
                "anna's release said False and the lock was still anna's"
            ),
        },
        raising={
            release_decoding_nothing: (
                "in release_decoding_nothing:  return bool(holder.decode() == owner)"
            ),
        },
        odd={
            release_and_return_nothing: "release must return True or False, it returned None",
        },
    ),
    Exercise(
        "1.1a-2",
        scenarios=(safe_retry,),
        stub=order_stub,
        to_write="order_stub",
        right=(order_by_id,),
        right_too=(
            order_three_times,
            order_written_after_the_lock,
            order_under_a_lock_of_its_own,
            order_with_the_newest_token,
        ),
        wrong={
            order_without_looking: "has 2 stoves",
            order_counting_first: 'was told "sold out", and it has a stove',
            order_sold_when_in_doubt: 'was told "sold", and the store does not have it',
            order_sold_out_when_in_doubt: 'was told "sold out", and it has a stove',
            order_looked_for_outside: "has 2 stoves",
            order_looked_for_in_an_earlier_lock: "has 2 stoves",
            order_read_in_an_earlier_lock: 'was told "sold", and the store does not have it',
            order_with_a_token_of_its_own: "asked 5 times and got no answer",
            order_as_a_part_of_the_text: 'was told "sold", and the store does not have it',
            order_as_a_prefix: 'order-1 was told "sold", and the store does not have it',
            order_alone_in_the_store: 'was told "sold", and the store does not have it',
            order_beyond_the_last: "2 stoves are sold, and there were 1",
            order_short_of_the_last: 'was told "sold out", and a stove is left',
            order_if_the_last: "has 2 stoves",
            order_answered_by_nobody: "asked 5 times and got no answer",
            order_read_again_elsewhere: 'was told "sold", and the store does not have it',
            order_recorded_afterwards: 'was told "sold out", and it has a stove',
            order_looked_for_with_the_largest_token: 'was told "sold out", and a stove is left',
        },
        raising={
            order_split_before_it_is_there: "in order_split_before_it_is_there:  words = (await",
            order_stored_as_a_list: "write takes a text, got ['order-12']",
        },
        odd={
            order_told_in_capitals: 'place_order must return "sold" or "sold out", got \'SOLD\'',
            order_written_in_a_task: "No answer from stock",
        },
    ),
)
