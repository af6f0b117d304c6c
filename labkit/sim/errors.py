"""Errors of a run that cannot go on. Each is caused by a mistake in the scenario, and names the
task.
"""

from __future__ import annotations


class SimulationError(RuntimeError):
    """The run cannot go on."""


class Deadlock(SimulationError):
    """Nothing is left that could happen, and the scenario is still waiting."""


class BudgetExceeded(SimulationError):
    """The run took more steps, or more virtual time, than it was given."""


class Stuck(SimulationError):
    """One step of a task has been computing for too long in real time: it never awaits."""


class TasksLeftRunning(SimulationError):
    """The scenario returned while tasks it had started were still running."""


class TaskFailed(SimulationError):
    """A task that nobody waited for raised; the cause is attached."""


class NotSimulated(SimulationError):
    """The scenario asked for something real: a socket, a subprocess, a signal."""
