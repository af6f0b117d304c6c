"""Where code runs. The node of a coroutine travels in a context variable, so that whatever it
starts runs there too.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.sim.tasks import Handle


class Place:
    """What the loop must know of a node: whether it is frozen or dead, and what it put aside
    meanwhile.
    """

    __slots__ = ("alive", "blocked", "frozen", "name", "stack", "withheld")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = 0
        self.blocked = False
        self.stack: Any = None  # the greenlet its code runs in
        self.withheld: list[Handle] = []


HERE: ContextVar[Place | None] = ContextVar("labkit.sim.here", default=None)
"""The place the current code runs on; None outside every node: the experimenter, the wires."""

DAEMON: ContextVar[bool] = ContextVar("labkit.sim.daemon", default=False)
"""Whether the current task may be stopped without complaint when the scenario returns."""
