"""A resource that refuses the late: it remembers the newest fencing token it has seen and accepts
no older one.

A lock can be lost without its holder knowing (a pause, a slow network). The resource is the only
place where that can be noticed in time. `SqlFencedStore` puts the token in the WHERE of its UPDATE;
`RedisFencedStore` compares it in a script; `fenced_update` adds the same guard to an UPDATE of
one's own.

Reads show their token, too. If only writes did, an old holder that has read could still write
between the read and the write of the new one, with a token that is not yet too old, and the new one
would then write what it derived from its read: one of the two updates is lost.

Guarantees: the tokens of the accepted reads and writes of a key never decrease; comparison and
effect are one step of the database. A holder may read and write several times with its token.
`StaleToken` means that nothing was read or written.

Leaves out: order among operations with the same token, and a lock server that mints a token twice:
two holders with one token are not told apart.

Source: Kleppmann 2016, "How to do distributed locking"; the sequencers of Burrows 2006, "The Chubby
lock service"."""

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
    Column("value", String),  # NULL: asked for under a token, never written
    Column("token", BigInteger, nullable=False),
)


class SqlFencedStore:
    """Values by key in the table `fenced_values` (make it with this module's
    `metadata.create_all`).

    Works on SQLite and PostgreSQL. A number is kept, and read, as its text: the same as
    `RedisFencedStore` does."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, key: str, *, token: int) -> str | None:
        """The value (None: never written), for the holder of this token; `StaleToken` when the key
        has seen a newer one.
        """
        return await self._do(key, token)

    async def write(self, key: str, value: str | int, *, token: int) -> None:
        """Write under a fencing token; `StaleToken` when the key has seen a newer one."""
        await self._do(key, token, value=str(value))

    async def latest(self, key: str) -> tuple[str | None, int] | None:
        """For an observer without a lock: the value and the newest token seen; None when nobody has
        asked for the key.
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
        """Note the token and set the values, if no newer token was seen; the value of the key
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
            if found := (
                await connection.execute(guarded)
            ).one_or_none():  # it exists, perhaps only since a moment ago
                return found.value  # type: ignore[no-any-return]  # as above
            seen = await connection.scalar(
                select(fenced_values.c.token).where(fenced_values.c.key == key)
            )
            raise StaleToken(key, seen=seen or 0, given=token)


# KEYS: a hash. ARGV: token and, for a write, the value. Notes the token, and sets the value, unless
# it has seen a newer one. Returns the newest token seen before, and the value afterwards.
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
    """Values by key in Redis, each a hash of `value` and `token` named `prefix` + key."""

    def __init__(self, redis: Redis, *, prefix: str = "fenced:") -> None:
        self._redis = redis
        self._prefix = prefix

    async def read(self, key: str, *, token: int) -> str | None:
        """The value (None: never written), for the holder of this token; `StaleToken` when the key
        has seen a newer one.
        """
        return await self._do(key, token)

    async def write(self, key: str, value: str | int, *, token: int) -> None:
        """Write under a fencing token; `StaleToken` when the key has seen a newer one."""
        await self._do(key, token, value)

    async def latest(self, key: str) -> tuple[str | None, int] | None:
        """For an observer without a lock: the value and the newest token seen; None when nobody has
        asked for the key.
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
