"""The reader's own servers, named by `REDIS_URL` and `DATABASE_URL`. A run leaves them as it found
them.

* PostgreSQL: a run works in a schema `labkit_…` of its own, which it drops at the end.
* Redis has no such thing, and clients do not prefix keys. So a run takes the database number that
  the URL names, if that is *empty*, marks it with the key `labkit:run` so that a second run at the
  same time is refused, and empties that number, and no other, at the end.

These servers are neither paused nor killed. Leaves out: databases other than PostgreSQL, and Redis
Cluster."""

from __future__ import annotations

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]  # it has no type hints
import redis
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from labkit.real.errors import ServerUnavailable

_CLAIM = """
if redis.call('DBSIZE') ~= 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""
_PATIENCE = 5.0


class ExternalRedis:
    """The database number that `REDIS_URL` names, for the time of one run."""

    variable = "REDIS_URL"

    def __init__(self, url: str) -> None:
        self.url = url
        self._ours = False

    def start(self) -> None:
        """Take the database number, which must be empty."""
        with self._client() as client:
            try:
                self._ours = client.eval(_CLAIM, 1, "labkit:run", secrets.token_hex(8)) == 1
            except redis.RedisError as error:
                raise ServerUnavailable(
                    f"REDIS_URL: no use of the server at {_place(self.url)}: {error}"
                ) from error
            number = client.get_connection_kwargs().get("db") or 0
        if not self._ours:
            raise ServerUnavailable(
                f"REDIS_URL: database number {number} at {_place(self.url)} is not empty, and a "
                "run empties its database when it ends; name a number that holds nothing "
                "(redis://host:6379/9)"
            )

    def stop(self) -> None:
        """Empty the database number again, if it was taken."""
        if self._ours:
            with self._client() as client:
                client.flushdb()

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
        )


class ExternalPostgres:
    """A schema of its own on the server that `DATABASE_URL` names, for the time of one run."""

    variable = "DATABASE_URL"

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise ServerUnavailable(
                "DATABASE_URL must be like postgresql://user:password@host:5432/database"
            ) from None
        if parsed.get_backend_name() not in ("postgresql", "postgres"):
            raise ServerUnavailable(
                "DATABASE_URL must begin with postgresql://, "
                f"not with {parsed.get_backend_name()}://"
            )
        self._asyncpg_url = parsed.set(drivername="postgresql").render_as_string(
            hide_password=False
        )
        self.url = parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
        self.schema = f"labkit_{secrets.token_hex(6)}"
        self._made = False

    def start(self) -> None:
        """Make the schema."""
        try:
            self._execute(f"CREATE SCHEMA {self.schema}")
            self._made = True
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ServerUnavailable(
                f"DATABASE_URL: no use of the server at {_place(self.url)}: {error}"
            ) from error

    def stop(self) -> None:
        """Drop the schema and what is in it, if it was made."""
        if self._made:
            self._execute(f"DROP SCHEMA {self.schema} CASCADE")

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(
                self._asyncpg_url, timeout=_PATIENCE, command_timeout=_PATIENCE
            )
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as other_thread:  # this one has a running loop
            other_thread.submit(asyncio.run, execute()).result()


ExternalServer = ExternalRedis | ExternalPostgres


def external_server(kind: type[ExternalRedis] | type[ExternalPostgres]) -> ExternalServer | None:
    """The server of this kind that its environment variable names, if that is set."""
    url = os.environ.get(kind.variable)
    return kind(url) if url else None


def _place(url: str) -> str:
    """The part of a URL that holds no password."""
    parts = urlsplit(url)
    return parts.hostname or parts.path or "an unnamed host"
