"""A run: what it returns, what it refuses, and that it ends for sure, also by the Stop button."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import traceback
from contextvars import ContextVar
from typing import Any

import pytest

from labkit import real
from labkit.real import ScenarioTimeout, TaskFailed, TasksLeftRunning
from labkit.real.servers import Valkey
from labkit.world import World
from tests.real.waiting import Program, eventually, runs

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_run_says_what_was_run_and_where() -> None:
    async def greet(world: World, name: str) -> str:
        return f"hello {name}"

    run = real.run(greet, seed=7, args={"name": "you"})
    assert (run.result, run.where, run.scenario, run.seed) == ("hello you", "real", "greet", 7)
    assert run.call() == "run(greet, seed=7, args={'name': 'you'})"


def test_the_seed_fixes_what_is_drawn_and_each_node_has_its_own_ids() -> None:
    async def draw(world: World, order: str) -> tuple[float, dict[str, list[str]]]:
        async def two() -> list[str]:
            return [world.new_id("order-"), world.new_id("order-")]

        ids = await world.join(*(world.node(name).start(two) for name in order))
        return world.rng.random(), dict(zip(order, ids, strict=True))

    first, again = (real.run(draw, seed=1, args={"order": order}).result for order in ("ab", "ba"))
    assert first == again != real.run(draw, seed=2, args={"order": "ab"}).result
    assert len({number for ids in first[1].values() for number in ids}) == 4


def test_what_the_scenario_raises_arrives_with_its_own_frames() -> None:
    async def scenario(world: World) -> None:
        async def on_the_node() -> None:
            raise KeyError("k")

        await world.join(world.node("a").start(on_the_node))

    with pytest.raises(KeyError) as caught:
        real.run(scenario)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "scenario" in names and names[-1] == "on_the_node"


def test_a_run_inside_a_running_loop_sees_the_callers_context_and_leaves_no_thread() -> None:
    async def scenario(world: World) -> tuple[str, list[str]]:
        async def read() -> str:
            return WHO.get()

        return WHO.get(), await world.join(world.node("a").start(read))

    async def cell() -> Any:
        WHO.set("the reader")
        return real.run(scenario).result

    before = threading.active_count()
    assert asyncio.run(cell()) == ("the reader", ["the reader"])
    assert threading.active_count() == before


def test_a_run_started_on_a_node_of_another_run_is_a_world_of_its_own() -> None:
    async def inner(world: World) -> str:
        return world.here()

    async def scenario(world: World) -> list[str]:
        async def on_the_node() -> str:
            return str((await asyncio.to_thread(real.run, inner)).result)

        return await world.join(world.node("a").start(on_the_node))

    assert real.run(scenario).result == ["lab"]


def test_the_time_in_which_a_server_starts_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Valkey.start
    monkeypatch.setattr(Valkey, "start", lambda server: (start(server), time.sleep(0.5)))

    async def scenario(world: World) -> float:
        began, shown = time.monotonic(), world.now()
        world.redis()
        counted = world.now() - shown  # read inside: what comes between the readings is no loss
        return time.monotonic() - began - counted

    assert real.run(scenario).result >= 0.5


def test_a_scenario_that_returns_too_early_is_told_what_still_runs() -> None:
    async def scenario(world: World) -> None:
        world.node("a").start(forever, name="worker")

    with pytest.raises(TasksLeftRunning, match=r"worker \(line \d+ of forever\)"):
        real.run(scenario)


def test_a_daemon_may_be_left_running_and_cleans_up() -> None:
    ended: list[str] = []

    async def scenario(world: World) -> str:
        async def serve() -> None:
            try:
                await asyncio.gather(forever(), forever())
            finally:
                ended.append("cleaned up")

        world.node("a").start(serve, daemon=True)
        world.node("b").boot(forever)
        await asyncio.sleep(0.01)
        return "done"

    assert real.run(scenario).result == "done"
    assert ended == ["cleaned up"]


def test_an_exception_nobody_looked_at_is_an_error_of_the_run() -> None:
    async def scenario(world: World) -> None:
        async def fails() -> None:
            raise KeyError("k")

        world.node("a").start(fails, name="worker")
        await asyncio.sleep(0.01)

    with pytest.raises(TaskFailed, match="task worker raised KeyError: 'k'") as caught:
        real.run(scenario)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_scenario_that_does_not_end_is_stopped_and_told_who_waits() -> None:
    async def scenario(world: World) -> None:
        await world.join(world.node("a").start(forever, name="worker"))

    with pytest.raises(
        ScenarioTimeout,
        match=r"not over after 0.1 s. Waiting: the scenario .*; worker \(line \d+ of forever\)",
    ):
        real.run(scenario, timeout=0.1)


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_a_time_out_must_be_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be more than 0 seconds"):
        real.run(forever, timeout=timeout)


STOPPED_CELL = """
import _thread, asyncio, json, sys, threading
from labkit import real

ended = []

async def scenario(world):
    client = world.redis()
    pid = (await client.info("server"))["process_id"]
    print(json.dumps(pid), flush=True)
    async def work():
        try:
            stop = lambda: (sys.stdin.readline(), _thread.interrupt_main())
            threading.Thread(target=stop).start()
            await asyncio.Event().wait()
        finally:
            await client.set("said", "goodbye")  # the server is still there for the last words
            ended.append(await client.get("said"))
    await world.join(world.node("a").start(work))

async def cell():
    try:
        real.run(scenario)
    except KeyboardInterrupt:
        return "interrupted"

outcome = {call}
left = [thread.name for thread in threading.enumerate() if thread.name == "labkit run"]
print(json.dumps([outcome, str(ended), left]), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "call",
    ["asyncio.new_event_loop().run_until_complete(cell())", "cell().send"],
    ids=["in a cell", "in a script"],
)
def test_the_stop_button_ends_a_run_its_server_and_its_thread(program: Program, call: str) -> None:
    if call == "cell().send":
        text = STOPPED_CELL.replace("async def cell", "def cell").format(call="cell()")
    else:
        text = STOPPED_CELL.format(call=call)
    process = program(text)
    assert process.stdout is not None and process.stdin is not None
    first = process.stdout.readline()
    assert first, process.communicate()[1]
    process.stdin.write("stop\n")
    process.stdin.flush()
    second = process.stdout.readline()
    assert second, process.communicate()[1]
    assert json.loads(second) == ["interrupted", "[b'goodbye']", []]
    assert eventually(lambda: not runs(json.loads(first)))
