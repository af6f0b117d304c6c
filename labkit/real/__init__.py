"""The real half of the bench: it runs the same scenarios on real Valkey and PostgreSQL servers,
started from wheels or named by URL.
"""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.real.errors import ScenarioTimeout as ScenarioTimeout
    from labkit.real.errors import ServerUnavailable as ServerUnavailable
    from labkit.real.errors import TaskFailed as TaskFailed
    from labkit.real.errors import TasksLeftRunning as TasksLeftRunning
    from labkit.real.running import run as run
    from labkit.real.running import run_if_available as run_if_available
    from labkit.real.servers import available as available
    from labkit.real.servers import postgres as postgres
    from labkit.real.servers import valkey as valkey
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        errors="ScenarioTimeout ServerUnavailable TaskFailed TasksLeftRunning",
        running="run run_if_available",
        servers="available postgres valkey",
    )
