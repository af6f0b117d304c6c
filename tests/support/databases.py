"""Fixtures, for a conftest to import: a fresh, empty database for each test, of each kind the shop
runs on; and a Valkey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from labkit.real.errors import ServerUnavailable
from labkit.real.servers import postgres, valkey

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    yield from url_of(postgres)


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    yield from url_of(valkey)


def url_of(server: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The server's URL while it runs; the test is skipped where there is no such server."""
    try:
        with server() as url:
            yield url
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The server's one database, with an empty schema in front: whoever connects from now on works
    there.
    """
    name = f"test_{next(_numbers)}"

    async def start_afresh() -> None:
        engine = create_async_engine(postgres_server)
        async with engine.begin() as connection:
            await connection.execute(text(f"CREATE SCHEMA {name}"))
            await connection.execute(text(f"ALTER DATABASE postgres SET search_path TO {name}"))
        await engine.dispose()

    asyncio.run(start_afresh())
    return postgres_server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(
        "sqlite_url" if request.param == "sqlite" else "postgres_url"
    )
    return url
