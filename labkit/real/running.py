"""Run a scenario once on real servers.

Leaves out: repeating a run. The machine decides the interleaving; a scenario that must repeat to
the byte runs in `labkit.sim`."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from labkit.real._nodes import DAEMON, LIFE, Tasks
from labkit.real._world import RealWorld
from labkit.real.errors import ScenarioTimeout, ServerUnavailable, TaskFailed, TasksLeftRunning
from labkit.world import Fault, Run, Scenario
from labkit.world.thread import run_in_thread

_LAST_MOMENT = 0.2
"""What a client library may still be tidying up when the scenario returns gets this many seconds to
end by itself.
"""
_CLEANING_UP = 5.0
"""The seconds that cancelled tasks get for their finally blocks."""


def run(
    scenario: Scenario,
    *,
    seed: int | None = 0,
    faults: Sequence[Fault] = (),
    args: Mapping[str, Any] | None = None,
    timeout: float = 60.0,
) -> Run:
    """Run `scenario(world, **args)` on real servers, started when it first asks for them and
    stopped at the end.

    The seed fixes what the scenario draws from `world.rng` and `world.new_id`; the interleaving is
    what the machine makes it. Raises what the scenario raises; `ServerUnavailable`;
    `ScenarioTimeout` after `timeout` seconds; `TasksLeftRunning` or `TaskFailed` when it leaves
    something undone. The Stop button of a notebook works."""
    if not timeout > 0:
        raise ValueError(f"timeout must be more than 0 seconds, got {timeout!r}")
    loop, tasks = asyncio.new_event_loop(), Tasks()
    loop.set_task_factory(tasks)
    main = loop.create_task(
        _execute(tasks, scenario, seed, tuple(faults), dict(args or {}), timeout),
        context=_outside(daemon=True),
    )

    def work() -> Run:
        try:
            return loop.run_until_complete(main)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def stop() -> None:
        with suppress(RuntimeError):  # the loop is closed: the run was over
            loop.call_soon_threadsafe(main.cancel)

    return run_in_thread(work, on_interrupt=stop)


def run_if_available(scenario: Scenario, **options: Any) -> Run | None:
    """Like `run`; where the servers are not available, it prints the reason in one line and returns
    None, so that a lesson goes on.
    """
    try:
        return run(scenario, **options)
    except ServerUnavailable as reason:
        print(f"Not run on real servers: {reason}")
        return None


async def _execute(
    tasks: Tasks,
    scenario: Scenario,
    seed: int | None,
    faults: tuple[Fault, ...],
    args: dict[str, Any],
    patience: float,
) -> Run:
    world = RealWorld(seed, faults)
    try:
        context = _outside(daemon=False)
        body = context.run(scenario, world, **args)
        task = asyncio.get_running_loop().create_task(body, name="the scenario", context=context)
        await asyncio.wait([task], timeout=patience)
        _raise_failures(tasks, but=task)
        if not task.done():
            waiting = "; ".join(map(tasks.describe, _waiting(tasks, world)))
            raise ScenarioTimeout(
                f"the scenario was not over after {patience:g} s. Waiting: {waiting}"
            )
        result, seconds = task.result(), world.now()
        if left := _waiting(tasks, world):
            await asyncio.wait(left, timeout=_LAST_MOMENT)
        if left := _waiting(tasks, world):
            names = "; ".join(map(tasks.describe, left))
            raise TasksLeftRunning(f"the scenario returned while these were still running: {names}")
        world.faults.check_all_struck()
    finally:
        world.finish()
        await _cancel_the_rest(tasks, world)
        await world.close()
    return Run(
        scenario=getattr(scenario, "__name__", "scenario"),
        result=result,
        history=world.history,
        seed=seed,
        faults=faults,
        args=args,
        seconds=seconds,
        where="real",
    )


def _outside(*, daemon: bool) -> contextvars.Context:
    """The caller's context, on no node."""
    context = contextvars.copy_context()
    context.run(LIFE.set, None)
    context.run(DAEMON.set, daemon)
    return context


def _alive(tasks: Tasks, world: RealWorld) -> list[asyncio.Task[Any]]:
    dead = {task for life in world.lives if life.dead for task in life.tasks}
    return [
        task for task in tasks.running if task not in dead and task is not asyncio.current_task()
    ]


def _waiting(tasks: Tasks, world: RealWorld) -> list[asyncio.Task[Any]]:
    return [task for task in _alive(tasks, world) if task not in tasks.daemons]


def _raise_failures(tasks: Tasks, *, but: asyncio.Task[Any]) -> None:
    """An exception that nobody has looked at is an error of the run. (The scenario's own is raised
    as it is.)
    """
    for task in tasks.failures():
        if task is not but:
            error = task.exception()
            raise TaskFailed(
                f"task {task.get_name()} raised {type(error).__name__}: {error}"
            ) from error


async def _cancel_the_rest(tasks: Tasks, world: RealWorld) -> None:
    """Cancel every task on a living node and let it clean up; the tasks of crashed nodes stay as
    they are.
    """
    for life in world.lives:
        while life.pauses:
            life.resume()
    rest = _alive(tasks, world)
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=_CLEANING_UP)
