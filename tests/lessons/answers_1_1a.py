"""What readers hand in for the exercises of lesson 1.1a: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import LockNotOwnedError, WatchError

from labkit.lessons.l1_1a.carts import carts
from labkit.lessons.l1_1a.last_stove import last_stove
from labkit.lessons.l1_1a.release_race import release_race
from labkit.lessons.l1_1a.two_keys import two_keys
from labkit.locks import LockTimeout, StaleToken
from tests.lessons.handed_in import Exercise

# -- 1.1a-1: let go of a lock

RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


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


# -- 1.1a-2: a store that is fenced

FENCED = """
local seen = redis.call('hget', KEYS[1], 'token') or '0'
if tonumber(ARGV[1]) >= tonumber(seen) then
  redis.call('hset', KEYS[1], 'token', ARGV[1])
  if ARGV[2] then redis.call('hset', KEYS[1], 'value', ARGV[2]) end
end
return {seen, redis.call('hget', KEYS[1], 'value') or '0'}
"""


class StoreStub:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def read(self, key: str, token: int) -> int:
        raise NotImplementedError

    async def write(self, key: str, value: int, token: int) -> None:
        raise NotImplementedError


class FencedStore(StoreStub):
    script = FENCED

    async def read(self, key: str, token: int) -> int:
        return await self._call(key, token)

    async def write(self, key: str, value: int, token: int) -> None:
        await self._call(key, token, value)

    async def _call(self, key: str, token: int, *value: int) -> int:
        seen, found = await self.redis.eval(self.script, 1, key, token, *value)
        if token < int(seen):
            raise StaleToken(key, seen=int(seen), given=token)
        return int(found)


class UnfencedStore(StoreStub):
    async def read(self, key: str, token: int) -> int:
        return int(await self.redis.get(key) or 0)

    async def write(self, key: str, value: int, token: int) -> None:
        await self.redis.set(key, value)


class ComparedInPython(StoreStub):
    async def read(self, key: str, token: int) -> int:
        value = await self._checked(key, token)
        await self.redis.hset(key, "token", token)
        return value

    async def write(self, key: str, value: int, token: int) -> None:
        await self._checked(key, token)
        await self.redis.hset(key, mapping={"value": value, "token": token})

    async def _checked(self, key: str, token: int) -> int:
        value, seen = await self.redis.hmget(key, ["value", "token"])
        if token < int(seen or 0):
            raise StaleToken(key, seen=int(seen or 0), given=token)
        return int(value or 0)


class OnlyWritesFenced(FencedStore):
    async def read(self, key: str, token: int) -> int:
        return int(await self.redis.hget(key, "value") or 0)


class NotedButAnswered(FencedStore):
    """Notes the token of a read, and answers a stale one all the same."""

    async def read(self, key: str, token: int) -> int:
        _, found = await self.redis.eval(self.script, 1, key, token)
        return int(found)


class EqualTokensRefused(FencedStore):
    script = FENCED.replace(">=", ">")

    async def _call(self, key: str, token: int, *value: int) -> int:
        seen, found = await self.redis.eval(self.script, 1, key, token, *value)
        if token <= int(seen):
            raise StaleToken(key, seen=int(seen), given=token)
        return int(found)


class ComparedAsText(FencedStore):
    script = FENCED.replace("tonumber(ARGV[1]) >= tonumber(seen)", "ARGV[1] >= seen")

    async def _call(self, key: str, token: int, *value: int) -> int:
        seen, found = await self.redis.eval(self.script, 1, key, token, *value)
        if str(token) < seen.decode():
            raise StaleToken(key, seen=int(seen), given=token)
        return int(found)


class RefusesEverybody(StoreStub):
    async def read(self, key: str, token: int) -> int:
        raise StaleToken(key, seen=token + 1, given=token)

    async def write(self, key: str, value: int, token: int) -> None:
        raise StaleToken(key, seen=token + 1, given=token)


class RoundsLargeTokens(FencedStore):
    """Lua's `tostring` keeps fourteen digits."""

    script = FENCED.replace("'token', ARGV[1]", "'token', tostring(tonumber(ARGV[1]))")

    async def _call(self, key: str, token: int, *value: int) -> int:
        seen, found = await self.redis.eval(self.script, 1, key, token, *value)
        if token < float(seen):
            raise StaleToken(key, seen=int(float(seen)), given=token)
        return int(found)


class NeverStored(FencedStore):
    async def read(self, key: str, token: int) -> int:
        await self._call(key, token)
        return 0


class ReturnsBytes(FencedStore):
    async def read(self, key: str, token: int) -> Any:
        return (await self.redis.eval(self.script, 1, key, token))[1]


class RefusesButWrites(FencedStore):
    async def write(self, key: str, value: int, token: int) -> None:
        try:
            await self._call(key, token, value)
        except StaleToken:
            await self.redis.hset(key, "value", value)
            raise


class Lowers(FencedStore):
    """Keeps the token that came, whatever it is."""

    script = FENCED.replace("return {", "redis.call('hset', KEYS[1], 'token', ARGV[1]) return {")


class Global(FencedStore):
    async def _call(self, key: str, token: int, *value: int) -> int:
        return await super()._call("everything", token, *value)


class OneTokenForAll(FencedStore):
    """Names the key in the refusal, as it should."""

    async def _call(self, key: str, token: int, *value: int) -> int:
        try:
            return await super()._call("everything", token, *value)
        except StaleToken as stale:
            raise StaleToken(key, seen=stale.seen, given=stale.given) from None


class OneValueForAll(FencedStore):
    script = FENCED.replace("KEYS[1], 'value'", "'all', 'value'")


class TentsOnly(FencedStore):
    async def write(self, key: str, value: int, token: int) -> None:
        await self._call(key, token, *([value] if key == "tent" else []))


class MissingRaises(FencedStore):
    script = FENCED.replace(" or '0'}", "}")


class MissingIsOne(FencedStore):
    script = FENCED.replace(" or '0'}", " or '1'}")


class SeenGivenSwapped(FencedStore):
    async def _call(self, key: str, token: int, *value: int) -> int:
        try:
            return await super()._call(key, token, *value)
        except StaleToken as stale:
            raise StaleToken(key, seen=stale.given, given=stale.seen) from None


class RefusesWithAnotherKey(FencedStore):
    async def _call(self, key: str, token: int, *value: int) -> int:
        try:
            return await super()._call(key, token, *value)
        except StaleToken:
            raise StaleToken("foo", seen=0, given=0) from None


class ForgetsTheArguments(FencedStore):
    async def write(self, key: str, value: int, token: int) -> None:
        raise StaleToken(key, token)  # type: ignore[call-arg]


# -- 1.1a-3: lock a cart


@asynccontextmanager
async def cart_stub(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    raise NotImplementedError
    yield


@asynccontextmanager
async def cart_on_a_stack(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
        yield


@asynccontextmanager
async def cart_by_recursion(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    first, *rest = sorted(set(skus), reverse=True)
    async with locks.hold(first):
        if rest:
            async with cart_by_recursion(locks, rest):
                yield
        else:
            yield


@asynccontextmanager
async def cart_in_the_order_given(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in dict.fromkeys(skus):
            await stack.enter_async_context(locks.hold(sku))
        yield


@asynccontextmanager
async def cart_all_at_once(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    holds = [locks.hold(sku) for sku in sorted(set(skus))]
    await asyncio.gather(*[hold.__aenter__() for hold in holds])
    try:
        yield
    finally:
        for hold in holds:
            await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_gathered(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await asyncio.gather(
            *[stack.enter_async_context(locks.hold(sku)) for sku in sorted(set(skus))]
        )
        yield


@asynccontextmanager
async def cart_given_up_at_once(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with cart_on_a_stack(locks, skus):
        raise LockTimeout("no patience")
    yield


@asynccontextmanager
async def cart_without_patience(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(locks.hold(min(skus)).__aenter__(), 0.001)
    except TimeoutError:
        raise LockTimeout("no patience") from None
    yield


@asynccontextmanager
async def cart_with_doubles(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(skus):
            await stack.enter_async_context(locks.hold(sku))
        yield


@asynccontextmanager
async def cart_of_the_first(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with locks.hold(min(skus)):
        yield


@asynccontextmanager
async def cart_left_when_the_second_fails(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    holds = [locks.hold(sku) for sku in sorted(set(skus))]
    for hold in holds:
        await hold.__aenter__()
    try:
        yield
    finally:
        for hold in holds:
            await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_left_when_the_body_fails(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    holds = [locks.hold(sku) for sku in sorted(set(skus))]
    for hold in holds:
        await hold.__aenter__()
    yield
    for hold in holds:
        await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_let_go_too_early(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
    yield


@asynccontextmanager
async def cart_let_go_while_packing(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
        letting_go = asyncio.create_task(stack.pop_all().aclose())
        yield
    await letting_go


@asynccontextmanager
async def cart_that_swallows(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
        with suppress(Exception):
            yield


@asynccontextmanager
async def cart_of_several_keys(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with locks.hold(*sorted(set(skus))):
        yield


@asynccontextmanager
async def cart_of_an_unknown_item(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with locks.hold(f"lock:{min(skus)}"):
        yield


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
            release_comparing_text_with_bytes: "anna's release said False and the lock was still anna's",
        },
        raising={
            release_decoding_nothing: "in release_decoding_nothing:  return bool(holder.decode() == owner)",
        },
        odd={
            release_and_return_nothing: "release must return True or False, it returned None",
        },
    ),
    Exercise(
        "1.1a-2",
        scenarios=(
            last_stove,
            two_keys,
        ),
        stub=StoreStub,
        to_write="read, write",
        right=(FencedStore,),
        wrong={
            UnfencedStore: "with an older token",
            ComparedInPython: "with an older token",
            OnlyWritesFenced: "with an older token",
            NotedButAnswered: "the delivery's read with token 8 was accepted after",
            EqualTokensRefused: "write was refused with token 8, and the newest token seen before was its own",
            ComparedAsText: "the newest token seen before was 8",
            RoundsLargeTokens: "the newest token seen before was its own",
            RefusesEverybody: "the newest token seen before was none",
            RefusesButWrites: "a write that was refused changed the value from 7 to 3",
            Lowers: "after a refusal the older token was accepted: a read with token 9, when tent had seen 10",
            Global: "StaleToken('everything', seen=10, given=9) instead of StaleToken('tent', seen=10, given=9)",
            SeenGivenSwapped: "StaleToken('tent', seen=9, given=10) instead of StaleToken('tent', seen=10, given=9)",
            NeverStored: "one stove was there, and nobody sold it",
        },
        raising={
            ForgetsTheArguments: "in ForgetsTheArguments.write:  raise StaleToken(key, token)",
        },
        odd={
            ReturnsBytes: "read must return an int, it returned b'1'",
        },
    ),
    Exercise(
        "1.1a-3",
        scenarios=(carts,),
        stub=cart_stub,
        to_write="cart_stub",
        right=(
            cart_on_a_stack,
            cart_by_recursion,
        ),
        wrong={
            cart_in_the_order_given: "anna waited 2 s for tent, which ben held, while ben waited for stove, which anna held",
            cart_all_at_once: "locked",
            cart_gathered: "anna waited 2 s for",
            cart_given_up_at_once: "anna gave up, and had every lock it had asked for",
            cart_without_patience: "ms for stove, which nobody held",
            cart_with_doubles: "anna waited 2 s for stove, which anna held already",
            cart_of_the_first: "anna began to pack without the lock of tent",
            cart_let_go_too_early: "anna began to pack without the lock of stove, tent",
            cart_let_go_while_packing: "anna was still packing without the lock of stove",
            cart_left_when_the_second_fails: "anna gave up waiting for tent and left stove locked",
            cart_left_when_the_body_fails: "left stove",
            cart_that_swallows: "anna's card was declined, and hold_cart did not let that error out",
        },
        raising={
            cart_of_several_keys: "in cart_of_several_keys:  async with locks.hold(*sorted(set(skus)))",
        },
        odd={
            cart_of_an_unknown_item: "hold takes one item, 'stove' or 'tent', got 'lock:stove'",
        },
    ),
)
