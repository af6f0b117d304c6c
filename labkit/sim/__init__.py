"""The bench: one scenario, a simulated world, faults by name, and every run repeatable."""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.sim.errors import BudgetExceeded as BudgetExceeded
    from labkit.sim.errors import Deadlock as Deadlock
    from labkit.sim.errors import NotSimulated as NotSimulated
    from labkit.sim.errors import SimulationError as SimulationError
    from labkit.sim.errors import Stuck as Stuck
    from labkit.sim.errors import TaskFailed as TaskFailed
    from labkit.sim.errors import TasksLeftRunning as TasksLeftRunning
    from labkit.sim.kernel import Latency as Latency
    from labkit.sim.running import run as run
    from labkit.sim.search import Finding as Finding
    from labkit.sim.search import crashes as crashes
    from labkit.sim.search import falsify as falsify
    from labkit.sim.search import lost_replies as lost_replies
    from labkit.sim.search import partitions as partitions
    from labkit.sim.search import pauses as pauses
    from labkit.sim.sweeps import Sweep as Sweep
    from labkit.sim.sweeps import sweep as sweep
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        errors="BudgetExceeded Deadlock NotSimulated SimulationError Stuck TaskFailed "
        "TasksLeftRunning",
        kernel="Latency",
        running="run",
        search="Finding crashes falsify lost_replies partitions pauses",
        sweeps="Sweep sweep",
    )
