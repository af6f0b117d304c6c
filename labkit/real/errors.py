"""Errors of servers and of runs. `TasksLeftRunning` and `TaskFailed` mean the same as in
`labkit.sim`.
"""

from __future__ import annotations


class ServerUnavailable(RuntimeError):
    """The server is not available here: there is no wheel for this platform, it did not start, or
    the one named by URL may not be used.

    Its text is one line, fit to be shown to a reader as it is.
    """


class ScenarioTimeout(RuntimeError):
    """The scenario did not end in the time it was given. The text names the tasks that were still
    waiting.
    """


class TasksLeftRunning(RuntimeError):
    """The scenario returned while tasks it had started were still running."""


class TaskFailed(RuntimeError):
    """A task that nobody waited for raised; the cause is attached."""
