"""Redis over the simulated network: what real clients see, and what they cannot know."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions

from labkit.sim import run
from labkit.world import Crash, Failover, LoseReply, Loss, Partition, Pause, World


async def increment(world: World) -> tuple[str, int, str]:
    async def client() -> str:
        redis = world.redis()
        try:
            with world.operation("increment"):
                await redis.incr("n")
        except exceptions.RedisError as error:
            return type(error).__name__
        return "answered"

    (seen,) = await world.join(world.node("a").start(client))
    await asyncio.sleep(5)
    (operation,) = world.history.operations
    return seen, int(await world.redis().get("n") or 0), operation.outcome


def test_a_request_whose_answer_is_lost_was_executed_exactly_once_and_its_caller_cannot_know() -> (
    None
):
    assert run(increment, faults=[LoseReply(src="a", at=0.0)]).result == (
        "TimeoutError",
        1,
        "unknown",
    )


def test_a_request_that_is_lost_looks_the_same_to_its_caller_and_was_not_executed() -> None:
    assert run(increment, faults=[Loss(1.0, src="a", at=0.0)], seed=3).result == (
        "TimeoutError",
        0,
        "unknown",
    )


def test_a_refused_connection_definitely_did_not_happen() -> None:
    assert run(increment, faults=[Crash("redis", at=0.0, restart_after=2.0)]).result == (
        "ConnectionError",
        0,
        "failed",
    )


def test_a_request_to_a_frozen_server_is_executed_when_it_thaws_although_its_caller_gave_up() -> (
    None
):
    assert run(increment, faults=[Pause("redis", at=0.0, for_=3.0)]).result == (
        "TimeoutError",
        1,
        "unknown",
    )


def test_a_partition_cuts_and_heals() -> None:
    async def scenario(world: World) -> list[str]:
        seen = []

        async def client() -> None:
            redis = world.redis()
            for _ in range(4):
                try:
                    await redis.incr("n")
                    seen.append("ok")
                except exceptions.TimeoutError:
                    seen.append("unknown")
                await asyncio.sleep(0.5)

        await world.join(world.node("a").start(client))
        return seen

    assert run(scenario, faults=[Partition(("a",), at=0.4, for_=1.0)]).result == [
        "ok",
        "unknown",
        "ok",
        "ok",
    ]


def test_a_client_that_dies_after_sending_has_sent() -> None:
    async def scenario(world: World) -> object:
        async def client() -> None:
            redis = world.redis()
            await redis.ping()
            world.record("sending")
            await redis.set("key", "sent")

        await world.join(world.node("a").start(client))
        await asyncio.sleep(1)
        return await world.redis().get("key")

    usual = run(scenario, seed=None)
    sent = next(
        message.sent for message in usual.history.messages if message.label.startswith("SET")
    )
    assert run(scenario, seed=None, faults=[Crash("a", at=sent + 0.0005)]).result == b"sent"
    assert run(scenario, seed=None, faults=[Crash("a", after="sending")]).result is None


def test_pipelines_scripts_and_publish_subscribe_cross_the_network() -> None:
    async def scenario(world: World) -> list[object]:
        async def client() -> list[object]:
            redis = world.redis()
            async with redis.pipeline() as pipe:
                values = await pipe.set("k", 1).incr("k").get("k").execute()
            script = redis.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
            return [*values, await script(keys=["k"], args=[40])]

        async def listener() -> object:
            pubsub = world.redis().pubsub()
            await pubsub.subscribe("news")
            world.record("listening")
            while True:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
                if message:
                    await pubsub.aclose()
                    return message["data"]

        async def publisher() -> int:
            await asyncio.sleep(1)
            return await world.redis().publish("news", "hello")

        tasks = [
            world.node("a").start(client),
            world.node("b").start(listener),
            world.node("c").start(publisher),
        ]
        return await world.join(*tasks)

    made = run(scenario)
    assert made.result == [[True, 2, b"2", 42], b"hello", 1]
    assert all(message.arrived is not None for message in made.history.messages)


def test_a_client_blocked_in_a_pop_is_served_and_one_that_died_takes_nothing() -> None:
    async def scenario(world: World) -> list[object]:
        async def wait() -> object:
            return await world.redis(timeout=30.0).blpop(["queue"], timeout=20)

        first = world.node("a").start(wait)
        await asyncio.sleep(1)
        second = world.node("b").start(wait)
        await asyncio.sleep(1)
        await world.redis().rpush("queue", "x")
        return [str(result) for result in await world.join(first, second)]

    assert run(scenario, faults=[Crash("a", at=0.5)]).result == ["CRASHED", "(b'queue', b'x')"]


def test_a_cancelled_command_leaves_the_client_usable() -> None:
    async def scenario(world: World) -> object:
        async def client() -> object:
            redis = world.redis(timeout=30.0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await redis.blpop(["queue"], timeout=20)
            await redis.set("key", "fine")
            return await redis.get("key")

        return (await world.join(world.node("a").start(client)))[0]

    assert run(scenario).result == b"fine"


def test_a_failover_loses_what_the_replica_had_not_received() -> None:
    async def scenario(world: World) -> list[object]:
        async def client() -> list[object]:
            redis = world.redis()
            await redis.set("old", 1, px=10_000)
            await asyncio.sleep(0.95)
            await redis.set("new", 1)
            await asyncio.sleep(0.2)
            try:
                return [
                    await redis.get("old"),
                    await redis.get("new"),
                    await redis.pttl("old") < 9_000,
                ]
            except exceptions.ConnectionError:
                return [
                    await redis.get("old"),
                    await redis.get("new"),
                    await redis.pttl("old") < 9_000,
                ]

        return (await world.join(world.node("a").start(client)))[0]

    assert run(scenario).result == [b"1", b"1", True]
    assert run(scenario, faults=[Failover(at=1.0, lag=0.1)]).result == [b"1", None, True]


def test_a_crashed_server_comes_back_empty_and_its_clients_reconnect() -> None:
    async def scenario(world: World) -> list[str]:
        seen = []

        async def client() -> None:
            redis = world.redis()
            await redis.set("key", "value")
            for _ in range(3):
                await asyncio.sleep(0.4)
                try:
                    seen.append(str(await redis.get("key")))
                except exceptions.ConnectionError:
                    seen.append("error")

        await world.join(world.node("a").start(client))
        return seen

    assert run(scenario, faults=[Crash("redis", at=0.6, restart_after=0.3)]).result == [
        "b'value'",
        "error",
        "None",
    ]


def test_a_synchronous_client_freezes_everything_on_its_node() -> None:
    async def scenario(world: World) -> list[float]:
        async def blocking() -> None:
            lock = world.blocking_redis().lock("held", blocking_timeout=1.0)  # type: ignore[attr-defined]
            assert lock.acquire() is False

        async def bystander() -> float:
            await asyncio.sleep(0.1)
            return world.now()

        await world.redis().set("held", "somebody")
        tasks = [
            world.node("a").start(blocking),
            world.node("a").start(bystander),
            world.node("b").start(bystander),
        ]
        _, on_the_same_node, elsewhere = await world.join(*tasks)
        return [round(on_the_same_node, 1), round(elsewhere, 1)]

    made = run(scenario, seed=None)
    assert made.result == [0.9, 0.1] or made.result == [1.0, 0.1]
    assert {span.kind for span in made.history.spans} == {"blocked"}


def test_the_experimenter_reaches_a_frozen_server() -> None:
    async def scenario(world: World) -> tuple[object, float]:
        await world.redis().set("key", "value")
        return await world.redis().get("key"), world.now()

    assert run(scenario, faults=[Pause("redis", at=0.0, for_=9.0)]).result == (b"value", 0.0)


def test_a_command_that_blocks_for_a_client_that_died_keeps_no_run_open() -> None:
    async def scenario(world: World) -> str:
        async def wait() -> object:
            return await world.redis(timeout=30.0).blpop(["queue"], timeout=20)

        await world.join(world.node("a").start(wait))
        return "returned"

    assert run(scenario, seed=None, faults=[Crash("a", at=0.0015)]).result == "returned"
