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
from labkit.locks import LeaseLost, LockError, LockTimeout, LockUnknown
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


async def release_by_taking_and_putting_back(redis: Redis, key: str, owner: str) -> bool:
    """Between its two commands the lock is nobody's, and afterwards it lasts anew."""
    holder = await redis.getdel(key)
    if holder == owner.encode():
        return True
    if holder is not None:
        await redis.set(key, holder, px=1000)
    return False


async def release_and_say_true_when_free(redis: Redis, key: str, owner: str) -> bool:
    script = (
        "local holder = redis.call('get', KEYS[1]) if holder == ARGV[1] then return"
        " redis.call('del', KEYS[1]) elseif not holder then return 1 else return 0 end"
    )
    return bool(await redis.eval(script, 1, key, owner))


async def release_by_emptying(redis: Redis, key: str, owner: str) -> bool:
    """The key is still there, so nobody can set it."""
    script = (
        "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('set', KEYS[1], '') return 1 else"
        " return 0 end"
    )
    return bool(await redis.eval(script, 1, key, owner))


async def release_by_watching_and_nothing_else(redis: Redis, key: str, owner: str) -> bool:
    """Lets a `WatchError` out, and the task says that a release does not raise."""
    async with redis.pipeline() as pipe:
        await pipe.watch(key)
        if await pipe.get(key) != owner.encode():
            return False
        pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
        pipe.delete(key)
        return bool((await pipe.execute())[0])


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


async def order_sold_out_when_busy(locks: Any, store: Any, order: str, stoves: int) -> str:
    try:
        return await order_by_id(locks, store, order, stoves)
    except LockTimeout:
        return "sold out"


async def order_sold_when_busy(locks: Any, store: Any, order: str, stoves: int) -> str:
    try:
        return await order_by_id(locks, store, order, stoves)
    except LockTimeout:
        return "sold"


async def order_sold_out_when_unheard(locks: Any, store: Any, order: str, stoves: int) -> str:
    try:
        return await order_by_id(locks, store, order, stoves)
    except LockUnknown:
        return "sold out"


async def order_sold_out_when_stale(locks: Any, store: Any, order: str, stoves: int) -> str:
    try:
        return await order_by_id(locks, store, order, stoves)
    except StaleToken:
        return "sold out"


async def order_sold_when_stale(locks: Any, store: Any, order: str, stoves: int) -> str:
    try:
        return await order_by_id(locks, store, order, stoves)
    except StaleToken:
        return "sold"


async def order_looked_up_with_a_lost_lease(locks: Any, store: Any, order: str, stoves: int) -> str:
    """Looks once more after the loss, and takes what is not there for sold out."""
    token = 0
    try:
        async with locks.hold("stove") as lease:
            token = lease.token
            return await _order_under(store, order, stoves, token)
    except LeaseLost:
        words = ((await store.read("stove", token=token)) or "").split()
        return "sold" if order in words else "sold out"


async def _order_under(store: Any, order: str, stoves: int, token: int) -> str:
    words = ((await store.read("stove", token=token)) or "").split()
    if order in words:
        return "sold"
    if len(words) >= stoves:
        return "sold out"
    await store.write("stove", " ".join([*words, order]), token=token)
    return "sold"


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
    """Refused with its own token, it takes the one that the store has seen: no fence at all."""
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


async def release_without_await(redis: Redis, key: str, owner: str) -> bool:
    return bool(redis.delete(key))  # without await


async def order_without_await(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        store.write("stove", order, token=lease.token)  # without await
    return "sold"


async def order_read_without_await(locks: Any, store: Any, order: str, stoves: int) -> str:
    async with locks.hold("stove") as lease:
        words = store.read("stove", token=lease.token).split()
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
            release_by_taking_and_putting_back: "freed the lock that was ben's: carl got it",
            release_and_say_true_when_free: "carl's release said True, and carl's lease had ended",
            release_by_emptying: "lock:stove never became free: it is ''",
        },
        long=(release_by_emptying,),
        forgetful={release_without_await: "Redis.execute_command"},
        raising={
            release_decoding_nothing: (
                "in release_decoding_nothing:  return bool(holder.decode() == owner)"
            ),
            release_by_watching_and_nothing_else: "your code raised WatchError",
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
        ),
        wrong={
            order_without_looking: "has 2 stoves",
            order_counting_first: 'was told "sold out", and it has a stove',
            order_sold_when_in_doubt: 'was told "sold", and the store does not have it',
            order_sold_out_when_in_doubt: 'order-1 was told "sold out", and a stove is left',
            order_sold_out_when_busy: 'order-1 was told "sold out", and a stove is left',
            order_sold_when_busy: 'order-1 was told "sold", and the store does not have it',
            order_sold_out_when_unheard: 'order-12 was told "sold out", and a stove is left',
            order_sold_out_when_stale: 'order-12 was told "sold out", and a stove is left',
            order_sold_when_stale: 'order-12 was told "sold", and the store does not have it',
            order_looked_up_with_a_lost_lease: 'order-12 was told "sold out", and a stove is left',
            order_looked_for_outside: "has 2 stoves",
            order_looked_for_in_an_earlier_lock: "has 2 stoves",
            order_read_in_an_earlier_lock: 'was told "sold", and the store does not have it',
            order_with_the_newest_token: 'order-1 was told "sold", and the store does not have it',
            order_with_a_token_of_its_own: 'was told "sold", and the store does not have it',
            order_as_a_part_of_the_text: 'was told "sold", and the store does not have it',
            order_as_a_prefix: 'order-1 was told "sold", and the store does not have it',
            order_alone_in_the_store: 'was told "sold", and the store does not have it',
            order_beyond_the_last: "2 stoves are sold, and there were 1",
            order_short_of_the_last: 'was told "sold out", and a stove is left',
            order_if_the_last: 'order-12 was told "sold out", and it has a stove',
            order_answered_by_nobody: "asked 5 times and got no answer",
            order_read_again_elsewhere: 'was told "sold", and the store does not have it',
            order_recorded_afterwards: 'was told "sold out", and it has a stove',
            order_written_in_a_task: 'was told "sold", and the store does not have it',
            order_looked_for_with_the_largest_token: 'was told "sold out", and a stove is left',
        },
        forgetful={order_without_await: "_Store.write"},
        raising={
            order_split_before_it_is_there: "in order_split_before_it_is_there:  words = (await",
            order_read_without_await: (
                "An async function returns a coroutine: is an `await` missing?"
            ),
            order_stored_as_a_list: "write takes a text, got ['order-12']",
        },
        odd={
            order_told_in_capitals: 'place_order must return "sold" or "sold out", got \'SOLD\'',
        },
    ),
)
