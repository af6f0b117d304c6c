"""A run that cannot go on says so, names the task, and leaves no thread behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from labkit.sim import (
    BudgetExceeded,
    Deadlock,
    NotSimulated,
    Stuck,
    TaskFailed,
    TasksLeftRunning,
    run,
)
from labkit.sim.loop_thread import in_loop_thread
from labkit.sim.running import execute
from labkit.world import Crash, Fault, FaultError, Partition, Pause, Slow, World


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_scenario_that_never_ends_runs_out_of_steps() -> None:
    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    async def scenario(world: World) -> None:
        await world.join(world.node("a").start(spin))

    with pytest.raises(BudgetExceeded, match=r"more than 5,000 steps .*a\.spin"):
        run(scenario, max_steps=5_000)


def test_a_scenario_that_sleeps_for_ever_runs_out_of_time() -> None:
    async def nap() -> None:
        while True:
            await asyncio.sleep(3600)

    async def scenario(world: World) -> None:
        await world.join(world.node("a").start(nap))

    with pytest.raises(BudgetExceeded, match=r"more than 86,400 s of virtual time.*a\.nap"):
        run(scenario)


def test_a_deadlock_names_the_tasks_and_where_they_wait() -> None:
    async def scenario(world: World) -> None:
        one, two = asyncio.Lock(), asyncio.Lock()

        async def cross(first: asyncio.Lock, second: asyncio.Lock) -> None:
            async with first:
                await asyncio.sleep(1)
                async with second:
                    pass

        await world.join(
            world.node("a").start(cross, one, two), world.node("b").start(cross, two, one)
        )

    with pytest.raises(Deadlock, match=r"a\.cross \(line \d+ of .*cross\); b\.cross"):
        run(scenario)


def test_waiting_for_a_crashed_node_without_join_is_a_deadlock() -> None:
    async def scenario(world: World) -> None:
        await world.node("a").start(asyncio.sleep, 9)

    with pytest.raises(Deadlock, match="the scenario"):
        run(scenario, faults=[Crash("a", at=1)])


def test_an_exception_in_a_task_that_nobody_waits_for_is_an_error_that_names_it() -> None:
    async def fail() -> None:
        raise ValueError("lost")

    async def scenario(world: World) -> None:
        world.node("a").start(fail, name="the refund")
        await asyncio.sleep(1)

    with pytest.raises(TaskFailed, match="task the refund raised ValueError: lost") as caught:
        run(scenario)
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_exception_of_the_scenario_arrives_with_its_own_frame() -> None:
    async def scenario(world: World) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        run(scenario)
    assert caught.traceback[-1].name == "scenario"


def test_returning_too_early_names_what_is_still_running() -> None:
    async def scenario(world: World) -> None:
        world.node("a").start(asyncio.sleep, 5, name="the sweeper")
        keep = asyncio.create_task(asyncio.sleep(5), name="a lost background task")
        await asyncio.sleep(1)
        assert not keep.done()

    with pytest.raises(TasksLeftRunning, match=r"the sweeper .*; a lost background task"):
        run(scenario)


def test_a_daemon_may_be_running_and_may_clean_up() -> None:
    cleaned: list[float] = []

    async def serve(world: World) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            cleaned.append(world.now())

    async def scenario(world: World) -> str:
        world.node("a").start(serve, world, daemon=True)
        await asyncio.sleep(1)
        return "done"

    assert run(scenario).result == "done"
    assert cleaned == [2.0]


def test_a_step_that_never_awaits_is_interrupted_and_named() -> None:
    async def compute() -> None:
        while True:
            pass

    async def scenario(world: World) -> None:
        await world.join(world.node("a").start(compute))

    made = in_loop_thread(lambda: execute(scenario), patience=0.5)
    assert isinstance(made.error, Stuck)
    assert "task a.compute has been computing for 0.5 s without an await" in str(made.error)


STOPPED = """
import _thread, asyncio, sys, threading, time
from labkit.check import Invariant
from labkit.sim import falsify, run, sweep

async def spin(world):
    while True:
        await asyncio.sleep(0)

async def compute(world):
    while True:
        pass

async def sweeping(world):
    await asyncio.sleep(1)

threading.Timer(0.7, _thread.interrupt_main).start()
try:
    {call}
except KeyboardInterrupt:
    time.sleep(0.2)
    print("stopped", threading.active_count())
"""


@pytest.mark.parametrize(
    "call",
    [
        "run(spin, max_steps=10**9)",
        "run(compute)",
        "sweep(sweeping, seeds=range(10**6))",
        "falsify(sweeping, Invariant('anything', lambda run: True), runs=10**6)",
    ],
)
def test_the_stop_button_ends_a_run_and_leaves_no_thread(call: str) -> None:
    program = STOPPED.format(call=call)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "stopped 1\n"
    assert done.stderr == ""


@pytest.mark.parametrize("ask", ["open_connection", "start_server", "create_subprocess_exec"])
def test_real_sockets_and_processes_are_refused(ask: str) -> None:
    async def scenario(world: World) -> None:
        if ask == "open_connection":
            await asyncio.open_connection("127.0.0.1", 9)
        elif ask == "start_server":
            await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        else:
            await asyncio.create_subprocess_exec("true")

    with pytest.raises(NotSimulated, match="no real sockets"):
        run(scenario)


def test_work_sent_to_a_thread_runs_in_line() -> None:
    async def scenario(world: World) -> tuple[bool, int]:
        return await asyncio.to_thread(threading.get_ident) == threading.get_ident(), len(
            threading.enumerate()
        )

    same, _ = run(scenario).result
    assert same


def test_a_call_from_a_foreign_thread_is_refused() -> None:
    async def scenario(world: World) -> str:
        loop, seen = asyncio.get_running_loop(), []

        def foreign() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except NotSimulated as error:
                seen.append(str(error))

        thread = threading.Thread(target=foreign)
        thread.start()
        thread.join()
        return seen[0]

    assert "another thread" in run(scenario).result


def test_a_run_may_be_called_where_a_loop_is_running() -> None:
    async def scenario(world: World) -> int:
        await asyncio.sleep(1)
        return 1

    async def cell() -> int:
        return int(run(scenario).result)

    assert asyncio.run(cell()) == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Pause("a", after="raed", for_=1), r"waits for 1 of event 'raed'; there were read"),
        (
            Pause("a", after="read", nth=3, for_=1),
            "waits for 3 of event 'read'; there were 1 of them",
        ),
        (Pause("c", at=0.0, for_=1), "there is no node 'c'; there were a, redis"),
        (Crash("databse", at=0.0), "there is no node 'databse'"),
        (Partition(("a",), ("cache",), at=0.0), "there is no node 'cache'"),
        (Slow(factor=2, src="b", at=0.0), "there is no node 'b'"),
    ],
)
def test_a_fault_that_can_strike_nobody_is_an_error_and_not_a_silent_pass(
    fault: Fault, says: str
) -> None:
    async def scenario(world: World) -> None:
        async def work() -> None:
            await world.redis().get("key")
            world.record("read")

        await world.join(world.node("a").start(work))

    with pytest.raises(FaultError, match=says):
        run(scenario, faults=[fault])
