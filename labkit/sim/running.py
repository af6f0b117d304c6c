"""Run a scenario once in the simulated world.

Guarantees: a run ends (by steps, by virtual seconds, or because a step never awaits), and nothing
that a task did goes unsaid: an exception nobody looked at and a task left running are errors of the
run. Nothing of it is left afterwards, no thread either.

Left out: runs in several threads at once. The collector is off during a run, but for the whole
process: use processes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Mapping, Sequence
from typing import Any

from labkit.sim.choices import Choices, Latency
from labkit.sim.ending import put_away, wind_up
from labkit.sim.errors import BudgetExceeded, Deadlock, Stuck, TaskFailed, TasksLeftRunning
from labkit.sim.places import DAEMON, HERE
from labkit.sim.worker import current, in_worker
from labkit.sim.world import SimWorld, describe
from labkit.world import Fault, FaultError, Run, Scenario

USUAL = Latency()


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
    made = in_worker(
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
    worker = current()
    if worker is not None and worker.interrupted:
        raise KeyboardInterrupt  # CPython drops one that is raised inside a weakref callback: do not lose the reader's Stop
    choices = Choices(seed, deviations)
    world = SimWorld(seed, faults, choices, latency, max_steps=max_steps, max_seconds=max_seconds)
    result, error = None, None
    collecting = gc.isenabled()
    gc.disable()  # the collector runs finalizers when it likes: not in the middle of a run that must repeat
    world.enter()
    outer = None if worker is None else worker.watch_over(world)
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
                wind_up(world)
    finally:
        put_away(world)
        if worker is not None:
            worker.watch_over(outer)
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
        loop.turn(main.done, idle=world.idle)
    except KeyboardInterrupt:
        worker = current()
        if worker is None or worker.stuck is None:
            raise
        # The next run of this worker has its own patience, and the Stop button stops again.
        stuck, worker.stuck = worker.stuck, None
        raise Stuck(stuck) from None
    except (Deadlock, BudgetExceeded) as stopped:
        worker = current()
        if worker is not None and worker.interrupted:
            raise KeyboardInterrupt from None
        _raise_failures(world, but=main)
        busy = f". Waiting: {world.waiting()}" if isinstance(stopped, BudgetExceeded) else ""
        raise type(stopped)(f"{stopped}{busy}") from None
    result = main.result()
    _raise_failures(world, but=main)
    left = [
        task
        for task in loop.tasks
        if not task.done()
        and not task.context.get(DAEMON)
        and (task.place is None or task.place.alive)
    ]
    if left:
        raise TasksLeftRunning(
            f"the scenario returned while these were still running: {'; '.join(map(describe, left))}"
        )
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
