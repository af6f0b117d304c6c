"""What an attack on the bench found: each of these once gave a wrong answer, hung, leaked or
printed to stderr.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from labkit.sim import run, sweep
from labkit.world import Crash, Fault, Message, Partition, Pause, World


async def _table(world: World) -> Any:
    async with world.database().begin() as connection:
        await connection.execute(text("create table t(n int)"))


async def late_commit(world: World) -> Any:
    await _table(world)

    async def writer() -> Any:
        with suppress(OperationalError):
            async with world.database(timeout=1).begin() as connection:
                await connection.execute(text("insert into t values (1)"))
                world.record("wrote")

    await world.join(world.node("a").start(writer))
    await asyncio.sleep(20)
    async with world.database().connect() as connection:
        return (await connection.execute(text("select count(*) from t"))).scalar()


def test_a_paused_database_carries_out_a_commit_whose_client_gave_up_as_postgresql_does() -> None:
    assert run(late_commit, faults=[Pause("database", after="wrote", for_=5)]).result == 1


async def lock_left(world: World, shared: bool = False) -> Any:
    engine = world.database()
    await _table(world)

    async def writer() -> Any:
        async with (engine if shared else world.database()).begin() as connection:
            await connection.execute(text("insert into t values (1)"))
            world.record("wrote")
            await asyncio.sleep(100)

    world.node("a").start(writer)
    await asyncio.sleep(2)

    async def other() -> Any:
        async with world.database(timeout=3).begin() as connection:
            await connection.execute(text("insert into t values (2)"))
        return "ok"

    return await world.join(world.node("b").start(other), return_exceptions=True)


def _leaves_no_lock(faults: list[Fault], shared: bool = False) -> None:
    assert run(lock_left, faults=faults, args={"shared": shared}).result == ["ok"]


def test_a_client_and_then_its_server_die_and_leave_no_lock() -> None:
    _leaves_no_lock(
        [Crash("a", after="wrote"), Crash("database", after="wrote", restart_after=0.5)]
    )


def test_a_client_that_dies_cut_off_leaves_no_lock_once_the_network_is_back() -> None:
    _leaves_no_lock([Partition(("a",), at=0.5, for_=0.5), Crash("a", at=0.6)])


def test_a_client_of_a_shared_engine_dies_and_leaves_no_lock() -> None:
    _leaves_no_lock([Crash("a", after="wrote")], shared=True)


async def crashed_in_transaction(world: World) -> Any:
    await _table(world)

    async def writer() -> Any:
        async with world.database().begin() as connection:
            await connection.execute(text("insert into t values (1)"))
            await connection.execute(text("select n from t"))
            await asyncio.sleep(100)

    return await world.join(world.node("a").start(writer))


@pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them"
)
def test_crashed_runs_leave_no_open_files() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run(crashed_in_transaction, faults=[Crash("a", at=0.5)])
    assert len(os.listdir("/proc/self/fd")) == before


STUCK = """
import labkit.sim.loop_thread as R; R.PATIENCE = 0.5
from labkit.sim import sweep
async def spin(world):
    while True: pass
print([type(r.error).__name__ for r in sweep(spin, seeds=range(3), progress=False).runs])
"""


def test_every_stuck_run_of_a_sweep_is_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "['Stuck', 'Stuck', 'Stuck']"


async def lock_contention(world: World) -> Any:
    async def a() -> Any:
        lock = world.blocking_redis().lock("L", timeout=10)
        lock.acquire()
        for _ in range(3):
            world.block(0.3)
        lock.release()
        return round(world.now(), 1)

    async def b() -> Any:
        await asyncio.sleep(0.2)
        return world.blocking_redis().lock("L", timeout=10, blocking_timeout=5).acquire(), round(
            world.now(), 1
        )

    return await world.join(world.node("a").start(a), world.node("b").start(b))


def test_a_blocked_node_goes_on_while_another_is_blocked() -> None:
    assert run(lock_contention, seed=None).result == [0.9, (True, 0.9)]


def test_a_node_that_dies_in_a_blocking_call_does_nothing_more() -> None:
    async def scenario(world: World) -> Any:
        async def n() -> Any:
            for _ in range(5):
                world.block(1)
                world.blocking_redis().incr("n")

        world.node("a").start(n)
        await asyncio.sleep(8)
        return await world.redis().get("n")

    assert run(scenario, faults=[Crash("a", at=1.5)]).result == b"1"


ORDER = """
import asyncio
from labkit.sim import run
async def s(world):
    r = world.redis(); await r.sadd("s", *[f"m{i}" for i in range(12)])
    async def w(i): await asyncio.sleep(1); return i
    first = [await c for c in asyncio.as_completed([w(i) for i in range(8)])]
    script = await r.eval("return redis.call('SMEMBERS', KEYS[1])", 1, "s")
    return first, list(await r.smembers("s")), script, await r.spop("s"), await r.randomkey()
print(run(s).result)
"""


def test_as_completed_sets_and_random_members_repeat() -> None:
    histories = set()
    for number in (1, 2, 3):
        program = f"filler = [object()] * {999 * number}\n{ORDER}"
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        histories.add(
            subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True
            ).stdout
        )
    assert len(histories) == 1 and "" not in histories


def test_crash_runs_do_not_keep_their_worlds() -> None:
    async def scenario(world: World) -> Any:
        async def w() -> Any:
            while True:
                await world.redis().incr("only here")
                await asyncio.sleep(0.1)

        return await world.join(world.node("a").start(w))

    for _ in range(20):
        run(scenario, faults=[Crash("a", at=0.35)])
    gc.collect()
    mine = [
        kept for kept in gc.get_objects() if isinstance(kept, Message) and "only here" in kept.label
    ]
    assert not mine


def test_a_run_inside_a_run_gives_the_loop_back() -> None:
    async def inner(world: World) -> Any:
        await asyncio.sleep(1)
        return 1

    async def outer(world: World) -> Any:
        r = run(inner).result
        await asyncio.sleep(1)
        return r

    assert run(outer).result == 1


def test_a_cancelled_error_is_kept_in_its_run() -> None:
    async def scenario(world: World) -> Any:
        t = asyncio.create_task(asyncio.sleep(1))
        t.cancel()
        await t

    assert len(sweep(scenario, seeds=range(2)).broken) == 2


def test_cancelling_work_sent_to_a_thread_is_no_error() -> None:
    async def scenario(world: World) -> Any:
        t = asyncio.create_task(asyncio.to_thread(int))
        await asyncio.sleep(0)
        t.cancel()
        await asyncio.wait([t])

    run(scenario, seed=None)


def test_a_generator_abandoned_by_the_last_line_is_no_task_left_running() -> None:
    async def abandoned() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)

    async def scenario(world: World) -> Any:
        async for _ in abandoned():
            break

    run(scenario)


class Two(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} {b}")


async def two(world: World) -> Any:
    raise Two(1, 2)


def test_an_error_that_cannot_be_unpickled_does_not_break_the_pool() -> None:
    with ProcessPoolExecutor(1) as pool:
        assert len(sweep(two, seeds=range(2), executor=pool, progress=False).broken) == 2


def test_twenty_thousand_tasks_are_no_stuck_run() -> None:
    async def scenario(world: World) -> Any:
        await asyncio.gather(*(asyncio.sleep(1) for _ in range(20_000)))

    run(scenario)


NOISE = """
import asyncio
from labkit.sim import run
from labkit.world import LoseReply
from sqlalchemy import text
async def s(world):
    try:
        async with world.database(timeout=1).connect() as connection:
            await connection.execute(text("select 1"))
    except Exception: pass
async def m(world): await world.join(world.node("a").start(s, world))
run(m, faults=[LoseReply(label="ROLLBACK", at=0)])
"""


def test_a_lost_rollback_prints_nothing() -> None:
    assert (
        subprocess.run([sys.executable, "-c", NOISE], capture_output=True, text=True).stderr == ""
    )


def test_the_history_keeps_the_facts_as_they_were() -> None:
    async def scenario(world: World) -> Any:
        queue = [1]
        world.record("queued", queue=queue)
        queue.append(2)
        return world.history.of("queued")[0].data["queue"]

    assert run(scenario).result == [1]
