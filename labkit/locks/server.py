"""The lock server: the Lua scripts that run on Redis, and the calls that send them.

Each script is one atomic step and one round trip. For a lock named K it uses these keys:

    K                 the holder, with the lease as the key's time to live: "OWNER fence=TOKEN", or
    a bare token as redis-py's Lock writes it (so that both kinds exclude each other), or
    "labkit:next:W" while it is reserved for the waiter W labkit:queue:K    list of the waiters for
    K, first come first served labkit:waiter:W   the lock that W waits for; it expires, so that a
    dead waiter is skipped labkit:wake:W     list on which W blocks; a push wakes it when its turn
    has come labkit:fence      the counter of all fencing tokens: monotone over all keys, so
    monotone for each

Guarantees of the scripts:
- A fencing token is minted in the step that grants the lock. It is the previous one plus 1, or the
  server's clock in microseconds if that is greater. A server that lost its data therefore does not
  start over, and a resource that has seen its tokens does not refuse every later holder.
- A release with waiters does not free the lock but reserves it for the first of them that is alive.
  A reservation that is not used lapses.
- Several keys are granted together or not at all. A client that waits for several reserves them in
  the order given, which is ordered locking.

Guarantees of the calls (`LockServer`): each returns the server's answer, or raises one of
`Unanswered` after at most `within` seconds, which means that the outcome is unknown. Nothing is
sent twice. For this reason commands go over a connection from the client's pool and not through the
client: redis-py's client repeats a command whose answer was lost, and a release that is executed
twice looks like a lost lease. (It also saves a fifth of a round trip's time. The price: whatever
wraps the client's `execute_command`, such as a tracer, does not see these commands.)

Leaves out:
- the order of waiters after a lease has *expired*: the first to check gets the lock, and the queue
  stays;
- Redis Cluster, whose scripts may touch one hash slot only (`labkit:fence` is in another than K),
  and Sentinel, whose clients choose a connection by themselves;
- a server that loses data. After a fail-over to an asynchronous replica, two clients can hold one
  lock: see "Why failover-based implementations are not enough" in the source below. Tokens stay in
  order unless the replica's clock is behind its predecessor's by more than the fail-over took.

A waiter blocks in BLPOP and occupies a connection while it waits, so a pool must have room for all
its waiters and one more.

Sources: redis.io, "Distributed Locks with Redis"; Kleppmann 2016, "How to do distributed locking";
redis-py's lock.py; python-redis-lock for the wake-up by a blocking pop.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

RESERVED = "labkit:"
NEXT = "labkit:next:"
FENCE = "labkit:fence"
WAKE = "labkit:wake:"
FENCED = " fence="
CLAIM_MS = 500
"""Milliseconds for which a lock stays reserved for a waiter that was woken."""
ALIVE_MS = 2_000
"""Milliseconds for which a waiter keeps its place in the queue without asking again."""


@dataclass(frozen=True)
class Script:
    """A Lua script, and the digest under which a server keeps it."""

    source: str = field(repr=False)
    digest: str

    @classmethod
    def of(cls, source: str) -> Script:
        """The script with this source."""
        return cls(source, hashlib.sha1(source.encode()).hexdigest())


# KEYS: the locks, then the fence counter. ARGV: the owner, the lease in ms ('0': for ever), what to
# do if another client holds a lock ('leave', 'queue', or 'stay' if the attempt is queued already)
# and, for a lock whose value is to be the bare owner, the name under which the attempt queues.
# Returns the fencing token or, if another client holds a lock, -1 minus the ms until that lock ends
# (0: it never does).
ACQUIRE = Script.of(
    f"""
local otherwise, attempt, locks = ARGV[3], ARGV[4] or ARGV[1], #KEYS - 1
local mine = '{NEXT}' .. attempt
for i = 1, locks do
  local key = KEYS[i]
  local value = redis.call('get', key)
  if value and value ~= mine then
    if otherwise ~= 'leave' then
      for j = 1, i - 1 do redis.call('set', KEYS[j], mine, 'PX', '{ALIVE_MS}') end
      if redis.call('get', 'labkit:waiter:' .. attempt) ~= key then
        redis.call('rpush', 'labkit:queue:' .. key, attempt)
      end
      redis.call('set', 'labkit:waiter:' .. attempt, key, 'PX', '{ALIVE_MS}')
      redis.call('pexpire', 'labkit:queue:' .. key, '{ALIVE_MS}')
    end
    return -1 - redis.call('pttl', key)
  end
end
local now = redis.call('time')
local fence = now[1] .. string.format('%06d', now[2])
local last = redis.call('set', KEYS[#KEYS], fence, 'GET')
if last and tonumber(last) >= tonumber(fence) then
  fence = string.format('%.0f', last + 1)
  redis.call('set', KEYS[#KEYS], fence)
end
local value = ARGV[4] and ARGV[1] or ARGV[1] .. '{FENCED}' .. fence
for i = 1, locks do
  if ARGV[2] == '0' then
    redis.call('set', KEYS[i], value)
  else
    redis.call('set', KEYS[i], value, 'PX', ARGV[2])
  end
end
if otherwise == 'stay' then redis.call('del', 'labkit:waiter:' .. attempt) end
return tonumber(fence)
"""
)

_HAND_OVER = f"""
local function hand_over(key)  -- reserve it for the first waiter alive, or free it
  local waiter = redis.call('lpop', 'labkit:queue:' .. key)
  while waiter do
    if redis.call('set', 'labkit:waiter:' .. waiter, '', 'XX', 'PX', '{ALIVE_MS}') then
      redis.call('set', key, '{NEXT}' .. waiter, 'PX', '{CLAIM_MS}')
      redis.call('rpush', '{WAKE}' .. waiter, '1')
      redis.call('pexpire', '{WAKE}' .. waiter, '{ALIVE_MS}')
      return
    end
    waiter = redis.call('lpop', 'labkit:queue:' .. key)
  end
  redis.call('del', key)
end
"""

# KEYS: the locks. ARGV: their holder's value. Hands over or frees those that still have that value,
# and returns their number.
RELEASE = Script.of(
    _HAND_OVER
    + """
local kept = 0
for _, key in ipairs(KEYS) do
  if redis.call('get', key) == ARGV[1] then
    hand_over(key)
    kept = kept + 1
  end
end
return kept
"""
)

# KEYS: the locks. ARGV: the waiter's name and, if the attempt may have been granted, its owner.
# Undoes the attempt: leaves the queues, drops reservations, releases what was granted.
ABANDON = Script.of(
    _HAND_OVER
    + f"""
local waiter, owner = ARGV[1], ARGV[2]
local function undone(value)
  local fenced = owner and owner .. '{FENCED}'
  if value == '{NEXT}' .. waiter then return true end
  return owner and (value == owner or string.sub(value, 1, #fenced) == fenced)
end
redis.call('del', 'labkit:waiter:' .. waiter, '{WAKE}' .. waiter)
for _, key in ipairs(KEYS) do
  redis.call('lrem', 'labkit:queue:' .. key, 0, waiter)
  local value = redis.call('get', key)
  if value and undone(value) then hand_over(key) end
end
return 1
"""
)

# KEYS: the locks. ARGV: their holder's value, ms, '1' to replace the time left or '0' to add to it.
# Returns the ms left afterwards; or 0, changing nothing, if one of the locks has another value or
# never ends.
EXTEND = Script.of(
    """
local ttl = tonumber(ARGV[2])
for _, key in ipairs(KEYS) do
  local left = redis.call('pttl', key)
  if redis.call('get', key) ~= ARGV[1] or left < 0 then return 0 end
  if ARGV[3] == '0' then ttl = math.max(ttl, ARGV[2] + left) end
end
for _, key in ipairs(KEYS) do redis.call('pexpire', key, ttl) end
return ttl
"""
)

# KEYS: one lock. Returns its value and the ms until it ends (-1: never; -2: there is no such lock).
LOOK = Script.of("return {redis.call('get', KEYS[1]), redis.call('pttl', KEYS[1])}")


Bytes = str | bytes | memoryview
Otherwise = Literal["leave", "queue", "stay"]
Unanswered = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError)


class _Connection(Protocol):
    async def send_packed_command(self, command: bytes) -> None: ...
    async def disconnect(self, *, nowait: bool) -> None: ...
    async def read_response(self, *, disable_decoding: bool, timeout: float) -> Any: ...  # noqa: ASYNC109  # redis-py's


class _Pool(Protocol):
    async def get_connection(self) -> _Connection: ...
    async def release(self, connection: _Connection) -> None: ...


class LockServer:
    """The scripts on one Redis. Answers are integers and bytes, even if the client decodes."""

    def __init__(self, redis: Redis, within: float) -> None:
        self._pool = cast(_Pool, redis.connection_pool)
        self.within = min(
            within, redis.connection_pool.connection_kwargs.get("socket_timeout") or within
        )

    async def acquire(
        self,
        keys: Sequence[Bytes],
        owner: Bytes,
        ttl_ms: int,
        otherwise: Otherwise,
        bare: Sequence[Bytes] = (),
    ) -> int:
        """The fencing token; or, if another client holds a key, -1 minus the milliseconds until
        that lock ends (0: it never does).

        `bare`: for a lock whose value is to be the owner alone, the name under which it queues.
        """
        answer: int = await self._run(ACQUIRE, (*keys, FENCE), owner, ttl_ms, otherwise, *bare)
        return answer

    async def release(self, keys: Sequence[Bytes], value: Bytes) -> int:
        """Release the keys that still have this value, and return their number."""
        kept: int = await self._run(RELEASE, keys, value)
        return kept

    async def abandon(
        self, keys: Sequence[Bytes], waiter: Bytes, granted_to: Sequence[Bytes] = ()
    ) -> None:
        """Leave the queues, and release the keys if they were granted to one of `granted_to`."""
        await self._run(ABANDON, keys, waiter, *granted_to)

    async def extend(self, keys: Sequence[Bytes], value: Bytes, ms: int, *, replace: bool) -> int:
        """The milliseconds left afterwards; 0 if one of the keys has another value."""
        left: int = await self._run(EXTEND, keys, value, ms, "1" if replace else "0")
        return left

    async def look(self, key: Bytes) -> tuple[bytes | None, int]:
        """A lock's value and the milliseconds until it ends (-1: never)."""
        value, left = await self._run(LOOK, (key,))
        return value, left

    async def listen(self, waiter: Bytes, seconds: float) -> None:
        """Return when the waiter is woken, or after `seconds`."""
        wake = WAKE.encode() + (waiter.encode() if isinstance(waiter, str) else bytes(waiter))
        await self._ask(seconds + self.within, "BLPOP", wake, f"{max(0.001, seconds):.3f}")

    async def _run(self, script: Script, keys: Sequence[Bytes], *args: Bytes | int) -> Any:
        try:
            return await self._ask(self.within, "EVALSHA", script.digest, len(keys), *keys, *args)
        except NoScriptError:
            return await self._ask(self.within, "EVAL", script.source, len(keys), *keys, *args)

    async def _ask(self, within: float, *command: Bytes | int) -> Any:
        """Send one command and return its answer; `TimeoutError` after `within` seconds.

        This is `asyncio.timeout` written by hand, for two reasons. It runs twice per lock and takes
        half the time. And redis-py sends under `asyncio.wait_for`, which on Python 3.11 drops a
        cancellation that arrives together with a result (CPython issue 86296), ours as well as the
        caller's. Only the task's count of cancellations shows that, so we check it after each
        step."""
        task = asyncio.current_task()
        assert task is not None  # a coroutine of asyncio always runs in a task
        cancelling = task.cancelling()
        alarm = _Alarm(task)
        timer = task.get_loop().call_later(within, alarm)
        connection = None
        try:
            connection = await self._pool.get_connection()
            await connection.send_packed_command(_packed(command))
            if task.cancelling() > cancelling:
                await connection.disconnect(nowait=True)
                raise asyncio.CancelledError
            answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
            if task.cancelling() > cancelling:
                raise asyncio.CancelledError
            return answer
        except asyncio.CancelledError:
            if alarm.rung and task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            if connection is not None:
                await self._pool.release(connection)


class _Alarm:
    """Cancels a task, and remembers that it did."""

    __slots__ = ("_task", "rung")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self.rung = False

    def __call__(self) -> None:
        self.rung = True
        self._task.cancel()


def _packed(command: Sequence[Bytes | int]) -> bytes:
    """The command as a RESP array of bulk strings; several times as fast as redis-py's packer."""
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        if isinstance(word, str):
            word = word.encode()
        elif not isinstance(word, bytes):
            word = b"%d" % word if isinstance(word, int) else bytes(word)
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


T = TypeVar("T")


async def settle(work: Coroutine[Any, Any, T], within: float) -> T:
    """Finish a short piece of work even if the task that needs it is being cancelled: the result of
    `work`, or what it raises, or `TimeoutError` after `within` seconds.

    `asyncio.shield` is not enough: a shielded release goes on after its caller was cancelled, but
    nobody waits for it, and the loop may close first. Here the caller waits until the work is over,
    and raises its `CancelledError` then. Work that ignores its own cancellation is not stopped."""
    task = asyncio.ensure_future(asyncio.wait_for(work, within))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # retrieved, so that the loop does not report it as never retrieved
        raise cancelled
    return task.result()
