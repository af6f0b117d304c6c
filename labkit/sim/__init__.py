"""The bench: one scenario, a simulated world, faults by name, and every run repeatable."""

from labkit.sim.choices import Latency
from labkit.sim.errors import (
    BudgetExceeded,
    Deadlock,
    NotSimulated,
    SimulationError,
    Stuck,
    TaskFailed,
    TasksLeftRunning,
)
from labkit.sim.falsify import Finding, falsify
from labkit.sim.running import run
from labkit.sim.spaces import crashes, lost_replies, partitions, pauses
from labkit.sim.sweep import Sweep, sweep

__all__ = [
    "BudgetExceeded",
    "Deadlock",
    "Finding",
    "Latency",
    "NotSimulated",
    "SimulationError",
    "Stuck",
    "Sweep",
    "TaskFailed",
    "TasksLeftRunning",
    "crashes",
    "falsify",
    "lost_replies",
    "partitions",
    "pauses",
    "run",
    "sweep",
]
