"""The Lua scripts of the lock: each is one atomic step on the server, and one round trip.

Keys, for a lock named K:
  K                    who holds it, with the lease as its time to live: "OWNER fence=TOKEN", or a
  bare token as redis-py's
                       Lock writes it (so both kinds exclude each other); or "labkit:next:W" while
                       it is reserved for the waiter W, who has been told
  labkit:queue:K       list of waiters, first come first served labkit:waiter:W      the lock W
  queues for; it expires, so that a waiter who died is skipped labkit:wake:W        list on which W
  blocks; a push tells it that its turn has come labkit:fence         the counter all fencing tokens
  come from: monotone over all keys, so monotone for each

Guarantees: a fencing token is minted in the step that grants the lock, greater than all before it:
one more than the last, or the server's clock in microseconds if that is more. So a server that lost
its data does not start over, and a resource that has seen its tokens does not refuse everybody from
then on. A release with waiters does not free the lock but reserves it for the first of them who
lives; a reservation that is not taken lapses. Several keys are granted all at once or not at all;
who waits for several reserves them in the order given, as ordered locking does.

Leaves out: order after a lease has *expired* (who looks first has it; the queue stays). Redis
Cluster: a script there may touch one hash slot only, and `labkit:fence` is in another than K. A
server that loses data (a fail-over to an asynchronous replica) can lose a lock, so that two hold
it: "Why failover-based implementations are not enough" in the source below. Its tokens stay in
order unless its clock is behind that of the server it replaces by more than the fail-over took.

Sources: redis.io, "Distributed Locks with Redis"; Kleppmann 2016, "How to do distributed locking";
redis-py's lock.py; the wake-up by a blocking pop is python-redis-lock's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

RESERVED = "labkit:"
NEXT = "labkit:next:"
FENCE = "labkit:fence"
WAKE = "labkit:wake:"
FENCED = " fence="
CLAIM_MS = 500
"""How long a lock stays reserved for a waiter who was told that it is its turn."""
ALIVE_MS = 2_000
"""How long a waiter keeps its place without asking again."""


@dataclass(frozen=True)
class Script:
    """A Lua script and the digest a server knows it by."""

    source: str = field(repr=False)
    digest: str

    @classmethod
    def of(cls, source: str) -> Script:
        """The script with this source."""
        return cls(source, hashlib.sha1(source.encode()).hexdigest())


# KEYS: the locks, then the fence counter. ARGV: owner, lease in ms ('0': for ever), what to do when
# a lock is another's ('leave', 'queue', or 'stay' when the attempt queues already) and, for a lock
# whose value is to be the bare owner, the name it waits under. Returns the fencing token; or, when
# a lock is another's, -1 minus the ms until it ends (0: it never does).
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
      if redis.call('get', 'labkit:waiter:' .. attempt) ~= key then redis.call('rpush', 'labkit:queue:' .. key, attempt) end
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
  if ARGV[2] == '0' then redis.call('set', KEYS[i], value) else redis.call('set', KEYS[i], value, 'PX', ARGV[2]) end
end
if otherwise == 'stay' then redis.call('del', 'labkit:waiter:' .. attempt) end
return tonumber(fence)
"""
)

_HAND_OVER = f"""
local function hand_over(key)  -- reserve it for the first waiter who lives, or free it when nobody waits
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

# KEYS: the locks. ARGV: the value of their holder. Returns how many of them still had it; those are
# handed over or freed.
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

# KEYS: the locks. ARGV: the waiter's name and, when the attempt may have been granted, its owner.
# Undoes the attempt: leaves the queues, gives up what is reserved, releases what was granted.
ABANDON = Script.of(
    _HAND_OVER
    + f"""
local waiter, owner = ARGV[1], ARGV[2]
local function undone(value)
  local fenced = owner and owner .. '{FENCED}'
  return value == '{NEXT}' .. waiter or owner and (value == owner or string.sub(value, 1, #fenced) == fenced)
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

# KEYS: the locks. ARGV: the value of their holder, ms, '1' to replace the time left or '0' to add
# to it. Returns the ms left now; or 0, changing nothing, when one of the locks has another value or
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

# KEYS: one lock. Returns its value and the ms until it ends (-1: never, -2: no such lock).
LOOK = Script.of("return {redis.call('get', KEYS[1]), redis.call('pttl', KEYS[1])}")
