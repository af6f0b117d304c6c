"""Redis servers for tests: a real Valkey and fakeredis, each empty at the start of
a test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis


async def eventually(holds: Callable[[], Awaitable[Any]]) -> None:
    """Wait until it comes true."""
    while not await holds():  # it is made true by another task, or on the server
        await asyncio.sleep(0.001)


class Server:
    """Makes clients of one server, and closes them."""

    def __init__(self, connect: Callable[..., Redis]) -> None:
        self._connect = connect
        self._clients: list[Redis] = []

    def client(self, **options: Any) -> Redis:
        client = self._connect(**options)
        self._clients.append(client)
        return client

    def play(self, scenario: Callable[[Redis], Awaitable[Any]], **options: Any) -> None:
        """Run `scenario(client)` on an event loop of its own."""

        async def act() -> None:
            client = self.client(**options)
            await client.flushall()
            try:
                await scenario(client)
            finally:
                while self._clients:
                    await self._clients.pop().aclose()

        asyncio.run(act())


@pytest.fixture
def real_server(valkey_url: str) -> Server:
    return Server(lambda **options: Redis.from_url(valkey_url, **options))


@pytest.fixture
def fake_server() -> Server:
    fake = FakeServer()
    return Server(lambda **options: FakeAsyncRedis(server=fake, **options))


@pytest.fixture(params=["valkey", "fakeredis"])
def server(request: pytest.FixtureRequest) -> Server:
    made: Server = request.getfixturevalue(
        "real_server" if request.param == "valkey" else "fake_server"
    )
    return made
