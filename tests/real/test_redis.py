"""A real Valkey under the same scenarios: time-outs, pauses, kills."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.exceptions

from labkit import real
from labkit.world import CRASHED, Crash, Pause, World
from tests.real.waiting import until


async def answer_of(answers: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again until there is an answer."""
    while True:
        try:
            return await answers()
        except redis.exceptions.RedisError:
            await asyncio.sleep(0.02)


def test_a_call_that_timed_out_is_unknown_and_was_sent_once() -> None:
    async def scenario(world: World) -> int:
        patient, hasty = world.redis(timeout=30.0), world.redis(timeout=1.0)
        await hasty.ping()

        async def increment() -> None:
            world.record("going")
            with world.operation("incr"):
                await hasty.incr("n")

        (error,) = await world.join(world.node("a").start(increment), return_exceptions=True)
        assert isinstance(error, redis.exceptions.TimeoutError)

        async def alone() -> bool:
            return bool((await patient.info("clients"))["connected_clients"] == 1)

        await until(alone)  # whatever the other client has sent is executed by now
        return int(await patient.get("n"))

    run = real.run(scenario, faults=[Pause(node="redis", after="going", for_=3.0)])
    assert run.result == 1
    assert [operation.outcome for operation in run.history.operations] == ["unknown"]


def test_a_pause_of_the_server_delays_a_command_and_loses_nothing() -> None:
    async def scenario(world: World) -> int:
        client = world.redis(timeout=60.0)
        await client.ping()

        async def increment() -> int:
            world.record("going")
            value: int = await client.incr("n")
            world.record("answered")
            return value

        return (await world.join(world.node("a").start(increment)))[0]

    run = real.run(scenario, faults=[Pause(node="redis", after="going", for_=0.3)])
    (pause,) = run.history.spans
    assert run.result == 1
    assert pause.node == "redis" and pause.end is not None
    assert run.history.of("answered")[0].at >= pause.end


def test_a_killed_server_refuses_and_comes_back_empty() -> None:
    async def scenario(world: World) -> list[Any]:
        client = world.redis()
        await client.set("n", 7)

        async def use() -> None:
            with world.operation("get"):
                await client.get("n")
            world.record("served")
            with world.operation("get"):
                await client.get("n")

        (error,) = await world.join(world.node("a").start(use), return_exceptions=True)
        return [
            isinstance(error, redis.exceptions.ConnectionError),
            await answer_of(lambda: client.exists("n")),
        ]

    run = real.run(scenario, faults=[Crash(node="redis", after="served", restart_after=0.2)])
    assert run.result == [True, 0]
    assert [operation.outcome for operation in run.history.operations] == ["ok", "unknown"]
    (crash,) = run.history.spans
    assert (crash.node, crash.kind) == ("redis", "crash") and crash.end is not None


def test_a_connection_that_is_refused_is_a_definite_failure() -> None:
    async def scenario(world: World) -> None:
        await world.redis().ping()
        world.record("up")
        fresh = world.redis()
        with pytest.raises(redis.exceptions.ConnectionError), world.operation("get"):
            await fresh.get("n")

    run = real.run(scenario, faults=[Crash(node="redis", after="up")])
    assert [operation.outcome for operation in run.history.operations] == ["failed"]


def test_what_a_node_was_about_to_send_when_it_died_is_never_sent() -> None:
    async def scenario(world: World) -> list[Any]:
        client = world.redis(timeout=30.0)

        async def work() -> None:
            await client.incr("n")
            world.record("once")
            await client.incr("n")

        crashed = await world.join(world.node("a").start(work))
        await asyncio.sleep(0.05)
        return [*crashed, int(await client.get("n"))]

    assert real.run(scenario, faults=[Crash(node="a", after="once")]).result == [CRASHED, 1]


def test_a_dead_nodes_blocked_call_takes_nothing() -> None:
    """Its connection is closed, so the server does not give the next item to somebody who is no
    more.
    """

    async def scenario(world: World) -> list[Any]:
        client, inspector = world.redis(timeout=30.0), world.redis(timeout=30.0)

        async def wait() -> None:
            await asyncio.gather(client.blpop(["queue"], timeout=0), ready())

        async def blocked() -> bool:
            return bool((await inspector.info("clients"))["blocked_clients"])

        async def free() -> bool:
            return not await blocked()

        async def ready() -> None:
            await until(blocked)
            world.record("blocked")

        task = world.node("a").start(wait)
        await world.join(task)
        await until(free)
        await inspector.rpush("queue", "item")
        return [int(await inspector.llen("queue"))]

    assert real.run(scenario, faults=[Crash(node="a", after="blocked")]).result == [1]


def test_each_server_name_is_a_server_of_its_own() -> None:
    async def scenario(world: World) -> list[Any]:
        clients = [world.redis(f"redis-{n}") for n in range(3)]
        for n, client in enumerate(clients):
            await client.set("n", n)
        return [int(await client.get("n")) for client in clients]

    assert real.run(scenario).result == [0, 1, 2]


def test_a_synchronous_client_talks_to_the_same_server() -> None:
    async def scenario(world: Any) -> int:
        with world.blocking_redis() as client:
            client.set("n", 3)
        return int(await world.redis().get("n"))

    assert real.run(scenario).result == 3


def test_a_time_out_must_be_a_positive_number() -> None:
    async def scenario(world: World) -> None:
        world.redis(timeout=0)

    with pytest.raises(ValueError, match="timeout must be a positive number of seconds, got 0"):
        real.run(scenario)
