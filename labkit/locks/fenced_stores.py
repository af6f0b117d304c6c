"""Fenced stores: a resource that remembers the newest fencing token it has seen and refuses every
older one.

A holder can lose a lock without knowing it (a pause, a slow network). Only the resource can detect
that in time. `SqlFencedStore` puts the token into the WHERE of its UPDATE, and `RedisFencedStore`
compares it in a script. `labkit.base.fenced_update` adds the same guard to an UPDATE of your own.

Reads carry a token, too. If only writes did, an old holder that has read could still write between
the new holder's read and its write, because its token is not too old yet. The new holder would then
overwrite that with what it derived from its earlier read, and one of the two updates would be lost.

Guarantees: the tokens of the accepted reads and writes of a key never decrease. The comparison and
the effect are one step of the database. A holder may read and write several times with its token.
`StaleToken` means that nothing was read or written.

Leaves out: the order of operations with the same token, and a lock server that mints a token twice:
two holders with one token cannot be told apart.

Sources: Kleppmann 2016, "How to do distributed locking"; Burrows 2006, "The Chubby lock service"
(sequencers).
"""

from __future__ import annotations

from redis.asyncio import Redis
from sqlalchemy import BigInteger, Column, MetaData, String, Table, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import StaleToken as StaleToken  # part of what a store answers
from labkit.base.fencing import fenced_update, valid_token
from labkit.base.transactions import insert_if_new
from labkit.locks.server import Script

metadata = MetaData()
fenced_values = Table(
    "fenced_values",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("value", String),  # NULL: read under a token, never written
    Column("token", BigInteger, nullable=False),
)


class SqlFencedStore:
    """Values by key in the table `fenced_values` (create it from this module's `metadata`), on
    SQLite or PostgreSQL. Like `RedisFencedStore`, it keeps and returns a number as its text.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, key: str, *, token: int) -> str | None:
        """The value (None: never written). Raises `StaleToken` if it has seen a newer token."""
        return await self._do(key, token)

    async def write(self, key: str, value: str | int, *, token: int) -> None:
        """Write under a fencing token. Raises `StaleToken` if the key has seen a newer one."""
        await self._do(key, token, value=str(value))

    async def latest(self, key: str) -> tuple[str | None, int] | None:
        """The value and the newest token seen, for an observer without a lock; None if the key was
        never read or written.
        """
        columns = select(fenced_values.c.value, fenced_values.c.token).where(
            fenced_values.c.key == key
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(columns)).one_or_none()
        return None if row is None else (row.value, row.token)

    def __repr__(self) -> str:
        return f"<SqlFencedStore on {self._engine.dialect.name}>"

    async def _do(self, key: str, token: int, **values: str) -> str | None:
        """Write the token and the values if no newer token was seen; returns the key's value
        afterwards.
        """
        row = update(fenced_values).where(fenced_values.c.key == key)
        guarded = fenced_update(row.values(values) if values else row, fenced_values.c.token, token)
        guarded = guarded.returning(fenced_values.c.value)
        async with self._engine.begin() as connection:
            if found := (await connection.execute(guarded)).one_or_none():
                return found.value  # type: ignore[no-any-return]  # a nullable String column
            fresh = insert_if_new(fenced_values).values(key=key, token=token, **values)
            if (await connection.execute(fresh)).rowcount:
                return values.get("value")
            # The key exists, perhaps only since a moment ago.
            if found := (await connection.execute(guarded)).one_or_none():
                return found.value  # type: ignore[no-any-return]  # as above
            seen = await connection.scalar(
                select(fenced_values.c.token).where(fenced_values.c.key == key)
            )
            raise StaleToken(key, seen=seen or 0, given=token)


# KEYS: a hash. ARGV: the token and, for a write, the value. Sets both unless the hash has seen a
# newer token. Returns the newest token seen before, and the value afterwards.
GUARD = Script.of(
    """
local seen = tonumber(redis.call('hget', KEYS[1], 'token') or 0)
if tonumber(ARGV[1]) >= seen then
  redis.call('hset', KEYS[1], 'token', ARGV[1])
  if ARGV[2] then redis.call('hset', KEYS[1], 'value', ARGV[2]) end
end
return {seen, redis.call('hget', KEYS[1], 'value')}
"""
)


class RedisFencedStore:
    """Values by key in Redis, each in a hash of `value` and `token` named `prefix` + key."""

    def __init__(self, redis: Redis, *, prefix: str = "fenced:") -> None:
        self._redis = redis
        self._prefix = prefix

    async def read(self, key: str, *, token: int) -> str | None:
        """The value (None: never written). Raises `StaleToken` if it has seen a newer token."""
        return await self._do(key, token)

    async def write(self, key: str, value: str | int, *, token: int) -> None:
        """Write under a fencing token. Raises `StaleToken` if the key has seen a newer one."""
        await self._do(key, token, value)

    async def latest(self, key: str) -> tuple[str | None, int] | None:
        """The value and the newest token seen, for an observer without a lock; None if the key was
        never read or written.
        """
        value, token = await self._redis.hmget(self._prefix + key, ["value", "token"])
        return None if token is None else (_text(value), int(token))

    async def _do(self, key: str, token: int, *value: str | int) -> str | None:
        valid_token(token)
        seen, found = await self._redis.eval(
            GUARD.source, 1, self._prefix + key, str(token), *value
        )
        if token < int(seen):
            raise StaleToken(key, seen=int(seen), given=token)
        return _text(found)


def _text(value: bytes | str | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
