"""Run a scenario once in the simulated world, and put everything away afterwards.

Guarantees: a run ends (by steps, by virtual seconds, or because a step never awaits), and no
failure of a task is silent: an exception that nobody looked at and a task left running are errors
of the run. Nothing of a run is left afterwards, no thread either.

Leaves out: what the scenario leaves outside of its world, such as a file; and runs in several
threads at once, since the garbage collector is off during a run, for the whole process. Use
processes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from labkit.sim import _library_patches
from labkit.sim._world import SimWorld
from labkit.sim.errors import (
    BudgetExceeded,
    Deadlock,
    SimulationError,
    Stuck,
    TaskFailed,
    TasksLeftRunning,
)
from labkit.sim.kernel import DAEMON, HERE, Choices, Latency, keep_for_ever
from labkit.sim.loop_thread import current, in_loop_thread
from labkit.world import Fault, FaultError, Run, Scenario

USUAL = Latency()
_TO_CLEAN_UP = 50_000, 120.0
"""The steps and the virtual seconds that cancelled tasks get for their finally blocks."""


def run(
    scenario: Scenario,
    *,
    seed: int | None = 0,
    faults: Sequence[Fault] = (),
    deviations: Sequence[tuple[int, int]] = (),
    args: Mapping[str, Any] | None = None,
    latency: Latency = USUAL,
    max_steps: int = 200_000,
    max_seconds: float = 86_400.0,
) -> Run:
    """Run `scenario(world, **args)` on virtual time and return what happened. The same arguments
    give the same history.

    `seed` None is the calm world (first come, first served; every message takes its usual time);
    `deviations` are (choice point, alternative) pairs at which it departs from that. A run ends
    when the scenario returns; it may take `max_steps` steps of tasks and `max_seconds` seconds of
    virtual time.

    Raises what the scenario raises; `FaultError` for a fault that names a node or an event which
    the run never had; `Deadlock`, `BudgetExceeded`, `Stuck`, `TasksLeftRunning` or `TaskFailed`
    when the run cannot go on or leaves something undone."""
    made = in_loop_thread(
        lambda: execute(
            scenario, seed, faults, deviations, args, latency, max_steps, max_seconds, strict=True
        )
    )
    if made.error is not None:
        raise made.error
    return made


def execute(
    scenario: Scenario,
    seed: int | None = 0,
    faults: Sequence[Fault] = (),
    deviations: Sequence[tuple[int, int]] = (),
    args: Mapping[str, Any] | None = None,
    latency: Latency = USUAL,
    max_steps: int = 200_000,
    max_seconds: float = 86_400.0,
    *,
    strict: bool = False,
) -> Run:
    """Like `run`, but in the current thread, and what the scenario raises is kept in the run's
    `error`.

    Only when it is `strict` does it complain of a fault that names a node or an event which the run
    never had: in a search, a plan may well wait for what does not happen on every schedule."""
    _library_patches.install()
    thread = current()
    if thread is not None and thread.interrupted:
        # CPython drops one that is raised inside a weakref callback: do not lose the reader's Stop.
        raise KeyboardInterrupt
    choices = Choices(seed, deviations)
    world = SimWorld(seed, faults, choices, latency, max_steps=max_steps, max_seconds=max_seconds)
    result, error = None, None
    collecting = gc.isenabled()
    # The collector runs finalizers when it likes: not in the middle of a run that must repeat.
    gc.disable()
    outer = None if thread is None else thread.watch_over(world.loop)
    history = world.history
    try:
        with world.loop:
            try:
                result = _drive(world, scenario, dict(args or {}))
                if strict and (wrong := world.faults.misnamed()):
                    raise FaultError(wrong)
            except (Exception, asyncio.CancelledError) as raised:
                error = raised
            finally:
                seconds, steps = world.now(), world.loop.steps
                world.finish()
                _wind_up(world)
    finally:
        if thread is not None:  # first: nobody may look at a loop that is being taken apart
            thread.watch_over(outer)
        _put_away(world)
        if collecting:
            gc.enable()
    return Run(
        scenario=getattr(scenario, "__name__", "scenario"),
        result=result,
        history=history,
        seed=seed,
        faults=tuple(faults),
        args=dict(args or {}),
        deviations=tuple(deviations),
        error=error,
        seconds=seconds,
        steps=steps,
        points=choices.points,
    )


def _drive(world: SimWorld, scenario: Scenario, args: dict[str, Any]) -> Any:
    loop = world.loop
    context = contextvars.copy_context()
    context.run(HERE.set, None)
    context.run(DAEMON.set, False)
    contextvars.Context().run(world.faults.arm)
    main = loop.create_task(
        context.run(scenario, world, **args), name="the scenario", context=context
    )
    try:
        loop.turn(main.done)
    except KeyboardInterrupt:
        thread = current()
        if thread is None or thread.stuck is None:
            raise
        # The next run in this thread has its own patience, and the Stop button stops again.
        stuck, thread.stuck = thread.stuck, None
        raise Stuck(stuck) from None
    except (Deadlock, BudgetExceeded) as stopped:
        thread = current()
        if thread is not None and thread.interrupted:
            raise KeyboardInterrupt from None
        _raise_failures(world, but=main)
        busy = f". Waiting: {loop.waiting()}" if isinstance(stopped, BudgetExceeded) else ""
        raise type(stopped)(f"{stopped}{busy}") from None
    result = main.result()
    _raise_failures(world, but=main)
    left = [
        task
        for task in loop.tasks
        if not (task.done() or task.context.get(DAEMON) or task.of_the_dead)
    ]
    if left:
        names = "; ".join(task.describe() for task in left)
        raise TasksLeftRunning(f"the scenario returned while these were still running: {names}")
    return result


def _raise_failures(world: SimWorld, *, but: asyncio.Task[Any]) -> None:
    """An exception that nobody has looked at is an error of the run."""
    for task in world.loop.tasks:
        if task is not but and task.done() and not task.cancelled() and task._log_traceback:
            error = task.exception()
            raise TaskFailed(
                f"task {task.get_name()} raised {type(error).__name__}: {error}"
            ) from error
    if world.failures:
        raise TaskFailed(
            f"a callback raised {type(world.failures[0]).__name__}: {world.failures[0]}"
        ) from world.failures[0]


def _wind_up(world: SimWorld) -> None:
    """Cancel what still runs, and let it clean up. The tasks of a crashed node must never be
    unwound, which would run their finally blocks: those are kept for ever.
    """
    rest: list[asyncio.Task[Any]] = []
    for task in world.loop.tasks:
        if task.done():
            continue
        if task.of_the_dead:
            keep_for_ever(task.get_coro())
        else:
            task.cancel()
            rest.append(task)
    steps, seconds = _TO_CLEAN_UP
    world.loop.max_steps += steps
    world.loop.max_seconds = world.now() + seconds
    try:
        world.loop.turn(lambda: not rest or _all_done(rest))
    except SimulationError:
        for left in rest:
            if not left.done():
                keep_for_ever(left.get_coro())


def _put_away(world: SimWorld) -> None:
    """Close everything, and empty what a coroutine that is kept for ever refers to."""
    world.finish()
    for node in world.nodes.values():
        node.close_freeze(None)
        node.close_crash(None)
    for engine in world.engines:
        engine.sync_engine.pool = engine.sync_engine.pool.recreate()
    for server in world.sql.values():
        for connection in server.connections:
            connection.broken()
    world.loop.close()
    if world.folder is not None:
        shutil.rmtree(world.folder, ignore_errors=True)
    _forget(world)


def _all_done(rest: list[asyncio.Task[Any]]) -> bool:
    while rest and rest[-1].done():
        rest.pop()
    return not rest


def _forget(world: SimWorld) -> None:
    for place in world.loop.places:
        if place.blocked:  # in the middle of a synchronous call
            keep_for_ever(place.stack)
        else:
            place.stack.throw()
        place.stack = None
    for task in world.loop.tasks:
        asyncio._unregister_task(task)
    world.loop.tasks.clear()
    for client in world.clients.values():
        vars(client.connection_pool).clear()
        vars(client).clear()
    for server in world.servers.values():
        for connection in server.connections:
            vars(connection).clear()
        vars(server).clear()
    if world.loop.buried:
        vars(world.loop).clear()
        world.loop.close()
        vars(world).clear()
