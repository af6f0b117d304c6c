"""What the simulated loop schedules: handles, futures and tasks that are counted instead of
addressed.

Shows: asyncio keeps tasks and futures in sets. Where those are iterated, the order would follow
memory addresses, and two processes would differ; here an object's hash is its number."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from labkit.sim.places import HERE, Place

if TYPE_CHECKING:
    from labkit.sim.loop import SimLoop

Callback = Callable[..., object]


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
    """A future whose hash is its number, for the same reason as `SimTask`."""

    def __init__(self, number: int, loop: SimLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number: asyncio keeps tasks in sets, and their order must not depend
    on addresses.
    """

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
        """The place it runs on."""
        return self.context.get(HERE)

    def __hash__(self) -> int:
        return self._number
