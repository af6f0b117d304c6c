"""Pauses and crashes strike code that knows nothing of them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from labkit import real
from labkit.world import CRASHED, Crash, FaultError, LoseReply, Pause, Skew, World
from labkit.world.history import Span


def only_span(run: Any, kind: str) -> Span:
    (span,) = [span for span in run.history.spans if span.kind == kind]
    return span


async def ticking(world: World, ticks: int = 60) -> None:
    for _ in range(ticks):
        world.record("tick")
        await asyncio.sleep(0.005)


def test_nothing_happens_on_a_paused_node_and_nothing_is_lost() -> None:
    async def scenario(world: World) -> None:
        await world.join(*(world.node(name).start(ticking, world) for name in "ab"))

    run = real.run(scenario, faults=[Pause(node="a", after="tick", nth=20, for_=0.3)])
    pause = only_span(run, "pause")
    assert pause.node == "a" and pause.end is not None and pause.end - pause.start >= 0.3
    ticks = {
        name: [event.at for event in run.history.of("tick") if event.node == name] for name in "ab"
    }
    assert [len(ticks[name]) for name in "ab"] == [60, 60]
    assert not [at for at in ticks["a"] if pause.start < at < pause.end]
    assert [at for at in ticks["b"] if pause.start < at < pause.end]


def test_a_pause_holds_the_tasks_a_node_has_started_itself() -> None:
    async def scenario(world: World) -> None:
        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(ticking(world, 20))

        await world.join(world.node("a").start(group))

    run = real.run(scenario, faults=[Pause(node="a", after="tick", nth=10, for_=0.2)])
    pause = only_span(run, "pause")
    assert pause.end is not None
    assert len(run.history.of("tick")) == 60
    assert not [event for event in run.history.of("tick") if pause.start < event.at < pause.end]


def test_a_time_out_that_falls_into_a_pause_is_seen_after_it() -> None:
    async def scenario(world: World) -> None:
        async def wait() -> None:
            try:
                async with asyncio.timeout(0.05):
                    world.record("waiting")
                    await asyncio.sleep(10)
            except TimeoutError:
                world.record("gave up")

        await world.join(world.node("a").start(wait))

    run = real.run(scenario, faults=[Pause(node="a", after="waiting", for_=0.3)])
    pause, (gave_up,) = only_span(run, "pause"), run.history.of("gave up")
    assert pause.end is not None and gave_up.at >= pause.end


def test_pauses_that_overlap_end_with_the_last_one() -> None:
    async def scenario(world: World) -> None:
        await world.join(world.node("a").start(ticking, world))

    run = real.run(
        scenario,
        faults=[
            Pause(node="a", after="tick", nth=5, for_=0.1),
            Pause(node="a", after="tick", nth=5, for_=0.3),
        ],
    )
    pause = only_span(run, "pause")
    assert pause.end is not None and pause.end - pause.start >= 0.3
    assert not [event for event in run.history.of("tick") if pause.start < event.at < pause.end]


def test_what_a_task_returns_raises_and_is_thrown_passes_through_unchanged() -> None:
    async def scenario(world: World) -> list[Any]:
        async def program() -> list[Any]:
            seen: list[Any] = [
                await asyncio.gather(*(asyncio.sleep(0.001 * n, n) for n in range(3)))
            ]
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(10)
            except TimeoutError as error:
                seen.append(type(error))
            child = asyncio.create_task(asyncio.sleep(10))
            await asyncio.sleep(0)
            child.cancel("why")
            try:
                await child
            except asyncio.CancelledError as error:
                seen.append(error.args)
            seen.append([n async for n in numbers()])
            seen.append(await asyncio.gather(fails(), return_exceptions=True))
            return [str(item) for item in seen]

        async def numbers() -> AsyncIterator[int]:
            for n in range(3):
                await asyncio.sleep(0)
                yield n

        async def fails() -> None:
            raise KeyError("k")

        return [await program(), *await world.join(world.node("a").start(program))]

    on_no_node, on_a_node = real.run(scenario).result
    assert on_a_node == on_no_node and len(on_a_node) == 5


def test_a_crash_runs_no_finally_block_and_no_exit_of_a_with_block() -> None:
    ran: list[str] = []

    async def scenario(world: World) -> list[Any]:
        @asynccontextmanager
        async def guarded() -> AsyncIterator[None]:
            try:
                yield
            finally:
                ran.append("async with")

        async def work() -> None:
            try:
                async with guarded():
                    with world.holding("lock"), world.operation("write", 7):
                        world.record("inside")
                        await asyncio.sleep(0.01)
                        ran.append("went on")
            finally:
                ran.append("finally")

        return await world.join(world.node("a").start(work))

    run = real.run(scenario, faults=[Crash(node="a", after="inside")])
    gc.collect()
    assert ran == []
    assert run.result == [CRASHED]
    (operation,) = run.history.operations
    assert (operation.outcome, operation.returned, operation.argument) == ("unknown", None, 7)
    hold, crash = only_span(run, "hold"), only_span(run, "crash")
    assert hold.end == crash.start or (hold.end is not None and hold.end >= crash.start)
    assert crash.end is None


def test_a_cancellation_is_no_crash() -> None:
    ran: list[str] = []

    async def scenario(world: World) -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(10)
            finally:
                ran.append("finally")

        task = world.node("a").start(work)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    real.run(scenario)
    assert ran == ["finally"]


def test_a_node_comes_back_with_what_it_boots_and_nothing_of_its_former_life() -> None:
    async def scenario(world: World) -> list[str]:
        back = asyncio.Event()

        async def service() -> None:
            memory = len(world.history.of("up"))
            world.record("up", life=memory)
            if memory:
                back.set()
            for _ in range(1_000):
                world.record("beat", life=memory)
                await asyncio.sleep(0.001)

        world.node("a").boot(service)
        await back.wait()
        await asyncio.sleep(0.02)
        return [event.data["life"] for event in world.history.of("beat")]

    run = real.run(scenario, faults=[Crash(node="a", after="beat", nth=3, restart_after=0.05)])
    assert run.result[:3] == [0, 0, 0]
    assert set(run.result[3:]) == {1}
    crash = only_span(run, "crash")
    assert crash.end is not None and run.history.of("up")[1].at >= crash.end


def test_what_is_started_on_a_node_that_is_down_never_runs() -> None:
    async def scenario(world: World) -> list[Any]:
        await world.join(world.node("a").start(ticking, world, 3))
        return await world.join(world.node("a").start(ticking, world, 3))

    run = real.run(scenario, faults=[Crash(node="a", after="tick", nth=2)])
    assert run.result == [CRASHED]
    assert len(run.history.of("tick")) == 2


def test_a_skewed_node_has_a_wall_clock_of_its_own() -> None:
    async def scenario(world: World) -> tuple[float, float, float]:
        async def read() -> float:
            world.record("reading")
            return world.clock()

        slow, fast = await world.join(
            world.node("slow").start(read), world.node("fast").start(read)
        )
        return slow - time.time(), fast - time.time(), world.clock() - time.time()

    slow, fast, lab = real.run(
        scenario, faults=[Skew(node="fast", after="reading", by=3600.0)]
    ).result
    assert fast - slow > 3000 and abs(lab) < 300 and abs(slow) < 300


def test_a_clock_that_runs_a_hundred_times_as_fast_gains_that_much() -> None:
    async def scenario(world: World) -> tuple[float, float]:
        node = world.node("a")
        await world.join(node.start(ticking, world, 1))
        shown, began = node.clock(), time.time()
        await asyncio.sleep(0.1)
        passed = time.time() - began
        return node.clock() - shown, passed

    gained, passed = real.run(scenario, faults=[Skew(node="a", after="tick", rate=100.0)]).result
    assert gained >= 99 * passed > 1


def test_the_experimenter_is_on_no_node() -> None:
    async def scenario(world: World) -> list[str]:
        async def here() -> str:
            return await asyncio.create_task(asyncio.sleep(0, world.here()))

        return [world.here(), *await world.join(world.node("a").start(here))]

    assert real.run(scenario).result == ["lab", "a"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (LoseReply(at=0.0), "LoseReply needs the simulated world"),
        (Pause(node="nobody", at=0.0, for_=1.0), "names no node of this run; there are: a"),
    ],
)
def test_a_fault_that_cannot_strike_here_is_refused(fault: Any, says: str) -> None:
    async def scenario(world: World) -> None:
        await world.join(world.node("a").start(ticking, world, 3))

    with pytest.raises(FaultError, match=says):
        real.run(scenario, faults=[fault])
