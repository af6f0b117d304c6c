"""What the simulated loop schedules, and on which node each piece of it runs.

The place of a coroutine travels in a context variable, so that whatever it starts runs there too.
asyncio keeps tasks and futures in sets: where those are iterated, the order would follow memory
addresses, and two processes would differ. So the hash of a task or a future is its number here."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

Callback = Callable[..., object]


class Place:
    """One life of a node, as the loop sees it: frozen or not, alive or not, and what was set aside
    while it was frozen.
    """

    __slots__ = ("alive", "blocked", "frozen", "name", "stack", "withheld")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = 0  # how many freezes overlap
        self.blocked = False
        self.stack: Any = None  # the greenlet its code runs in
        self.withheld: list[Handle] = []


HERE: ContextVar[Place | None] = ContextVar("labkit.sim.here", default=None)
"""The place the current code runs at; None outside every node: the experimenter, the network."""

DAEMON: ContextVar[bool] = ContextVar("labkit.sim.daemon", default=False)
"""Whether the current task may be stopped without complaint when the scenario returns."""


class Handle:
    """A callback waiting for its turn."""

    __slots__ = ("_cancelled", "_when", "args", "callback", "context")

    def __init__(
        self,
        callback: Callback,
        args: tuple[Any, ...],
        context: contextvars.Context,
        when: float = 0.0,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self._when = when
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self._when


class SimFuture(asyncio.Future[Any]):
    """A future whose hash is its number."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number, and whose context says where it runs."""

    def __init__(
        self,
        number: int,
        coro: Coroutine[Any, Any, Any],
        context: contextvars.Context,
        **options: Any,
    ) -> None:
        self._number = number
        self.context = context
        super().__init__(coro, context=context, **options)

    @property
    def place(self) -> Place | None:
        """The place it runs at."""
        return self.context.get(HERE)

    @property
    def of_the_dead(self) -> bool:
        """Whether the node crashed while the task ran on it: the task makes no further step."""
        place = self.place
        return place is not None and not place.alive

    def describe(self) -> str:
        """Its name, and the line at which it waits."""
        stack = self.get_stack()
        if not stack:
            return self.get_name()
        code, line = stack[-1].f_code, stack[-1].f_lineno
        return f"{self.get_name()} (line {line} of {code.co_qualname})"

    def __hash__(self) -> int:
        return self._number
