"""The bench's other half: the same scenario on a real Valkey and a real PostgreSQL, started from
wheels or named by URL.
"""

from labkit.real.errors import ScenarioTimeout, ServerUnavailable, TaskFailed, TasksLeftRunning
from labkit.real.running import run, run_if_available
from labkit.real.servers import available, postgres, valkey

__all__ = [
    "ScenarioTimeout",
    "ServerUnavailable",
    "TaskFailed",
    "TasksLeftRunning",
    "available",
    "postgres",
    "run",
    "run_if_available",
    "valkey",
]
