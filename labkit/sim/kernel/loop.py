"""An asyncio event loop on virtual time, with a seeded scheduler, whose nodes can be frozen and
killed.

Nothing waits: when no task is ready, time jumps to the next timer. When several are, `Choices.pick`
says which goes next. A task has at most one step pending, so its own order is kept whatever is
picked; plain callbacks keep their order among themselves, as asyncio promises. Every handle carries
the context it was scheduled in, and with it the place it belongs to: one that belongs to a frozen
place is put aside until that place thaws, one of a dead place is dropped.

Built from `asyncio.AbstractEventLoop` upward; `asyncio.Future` and `asyncio.Task` are used as they
are. Leaves out: other threads, and real sockets, processes and signals, which are refused by name.
Work for a thread is done in line."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from heapq import heappop, heappush
from typing import Any, NoReturn

import greenlet  # type: ignore[import-untyped]  # it has no stubs

from labkit.sim.errors import BudgetExceeded, Deadlock, NotSimulated
from labkit.sim.kernel.choices import Choices
from labkit.sim.kernel.tasks import DAEMON, HERE, Callback, Handle, Place, SimFuture, SimTask

ExceptionHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

_REFUSED = """
    add_reader add_signal_handler add_writer connect_accepted_socket connect_read_pipe
    connect_write_pipe create_connection create_datagram_endpoint create_server
    create_unix_connection create_unix_server getaddrinfo getnameinfo sendfile sock_accept
    sock_connect sock_recv sock_recv_into sock_sendall sock_sendfile start_tls subprocess_exec
    subprocess_shell
"""

_PRUNE_AT_LEAST = 512
"""From how many tasks on the list of tasks is cleared of those that are done."""


class _NoSockets(asyncio.AbstractEventLoop):
    """The parts of asyncio's loop that a simulated loop refuses, or answers in a line."""

    _on_exception: ExceptionHandler | None = None

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Work sent to a thread runs in line: on virtual time it takes none."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_soon(work)
        return future

    def run_until_complete(self, future: Any) -> NoReturn:
        raise NotSimulated(
            "a simulated world runs one scenario; await instead of run_until_complete"
        )

    async def shutdown_asyncgens(self) -> None:
        return None

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # asyncio's signature
    ) -> None:
        return None

    def set_exception_handler(self, handler: ExceptionHandler | None) -> None:
        self._on_exception = handler

    def get_exception_handler(self) -> ExceptionHandler | None:
        return self._on_exception

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._on_exception is not None:
            self._on_exception(self, context)

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        return None


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refused(self: _NoSockets, *args: Any, **options: Any) -> NoReturn:
        raise NotSimulated(
            f"loop.{name}: the simulated world has no real sockets, processes or signals; "
            "ask the world for a client"
        )

    return refused


for _name in _REFUSED.split():
    setattr(_NoSockets, _name, _refuse(_name))


class SimLoop(_NoSockets):
    """See the module. `max_steps` bounds the steps of a run, `max_seconds` its virtual time.

    `kernel` is what the loop works for; `current_kernel` finds it by the loop."""

    def __init__(self, choices: Choices, *, max_steps: int, max_seconds: float) -> None:
        self.choices = choices
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self.steps = 0
        self.kernel: object = None
        self.tasks: list[SimTask] = []
        self.places: list[Place] = []  # those that have run something
        self.buried: list[Place] = []
        self._places_affected = 0  # frozen or dead
        self._time = 0.0
        self._ready: list[Handle | None] = []  # None stands for the callbacks, as one lane
        self._callbacks: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._timer_count = 0
        self._task_count = self._future_count = 0
        self._prune_at = _PRUNE_AT_LEAST
        self._closed = False
        self._running = False

    # -- scheduling

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._time

    def call_soon(  # type: ignore[override]
        self, callback: Callback, *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, contextvars.copy_context() if context is None else context)
        self._enqueue(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callback,
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        handle = Handle(
            callback, args, contextvars.copy_context() if context is None else context, when
        )
        self._timer_count += 1
        heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callback,
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        return self.call_at(self._time + max(0.0, delay), callback, *args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callback, *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        if asyncio._get_running_loop() is not self:
            raise NotSimulated(
                "another thread called into the simulated loop; "
                "work sent to a thread runs in line here"
            )
        return self.call_soon(callback, *args, context=context)

    def _enqueue(self, handle: Handle) -> None:
        if isinstance(getattr(handle.callback, "__self__", None), asyncio.Task):
            self._ready.append(handle)
        else:
            if not self._callbacks:
                self._ready.append(None)
            self._callbacks.append(handle)

    # -- running

    def turn(self, until: Callable[[], bool]) -> None:
        """Run until `until()` is true; it is asked before each step. Raises `Deadlock` when nothing
        is left to happen.
        """
        ready, callbacks, pick = self._ready, self._callbacks, self.choices.pick
        while not until():
            if not ready:
                self._advance()
                continue
            lanes = len(ready)
            handle = ready.pop(pick(lanes) if lanes > 1 else 0)
            if handle is None:
                handle = callbacks.popleft()
                if callbacks:
                    ready.append(None)
            if handle._cancelled or (self._places_affected and self._withheld(handle)):
                continue
            self.steps += 1
            if self.steps > self.max_steps:
                raise BudgetExceeded(
                    f"more than {self.max_steps:,} steps at {self._time:.3f} s of virtual time"
                )
            place = handle.context.get(HERE)
            if place is None:
                self._run(handle)
            else:
                if place.stack is None:
                    place.stack = greenlet.greenlet(self._run_all)
                    self.places.append(place)
                place.stack.switch(handle)

    def _run(self, handle: Handle) -> None:
        try:
            handle.context.run(handle.callback, *handle.args)
        except Exception as error:
            self.call_exception_handler({"message": "a callback raised", "exception": error})

    def _run_all(self, handle: Handle) -> None:
        """A node's own stack: in the middle of a synchronous call it stands still while those of
        other nodes go on.
        """
        scheduler = greenlet.getcurrent().parent
        while True:
            self._run(handle)
            handle = scheduler.switch()

    def _advance(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        if not timers:
            raise Deadlock(
                f"nothing is left to happen at {self._time:.3f} s. Waiting: {self.waiting()}"
            )
        when = max(self._time, timers[0][0])
        if when > self.max_seconds:
            raise BudgetExceeded(f"more than {self.max_seconds:,.0f} s of virtual time")
        self._time = when
        while timers and timers[0][0] <= when:
            handle = heappop(timers)[2]
            if not handle._cancelled:
                self._enqueue(handle)

    def _withheld(self, handle: Handle) -> bool:
        place = handle.context.get(HERE)
        if place is None or (place.alive and not place.frozen):
            return False
        if place.alive:
            place.withheld.append(handle)
        return True

    def waiting(self) -> str:
        """The tasks that are not done, and the line each is at."""
        waiting = [task for task in self.tasks if not task.done() and not task.context.get(DAEMON)]
        return "; ".join(task.describe() for task in waiting) or "nobody"

    # -- places

    def freeze(self, place: Place) -> None:
        """Set aside whatever would run at this place. Freezes overlap: each needs a `thaw`."""
        if not place.frozen:
            self._places_affected += 1
        place.frozen += 1

    def thaw(self, place: Place) -> bool:
        """End one freeze. After the last one, schedule what was set aside, and return True."""
        place.frozen -= 1
        if place.frozen or not place.alive:
            return False
        self._places_affected -= 1
        withheld, place.withheld = place.withheld, []
        for handle in withheld:
            self._enqueue(handle)
        return True

    def bury(self, place: Place) -> None:
        """Never run anything at this place again."""
        if not place.frozen:
            self._places_affected += 1
        place.alive = False
        place.withheld.clear()
        self.buried.append(place)

    def block(self, seconds: float) -> None:
        """Let `seconds` pass inside a synchronous call: the rest of the world goes on, the calling
        task does not return.
        """
        place, current = HERE.get(), asyncio.current_task(self)
        over: list[bool] = []
        wake = (
            partial(over.append, True)
            if place is None
            else partial(self._wake, place, greenlet.getcurrent())
        )
        self.call_at(self._time + seconds, wake, context=contextvars.Context())
        if current is not None:
            asyncio.tasks._leave_task(self, current)
        if place is None:
            self.turn(lambda: bool(over))
        else:
            place.blocked = True
            place.stack.parent.switch()
            place.blocked = False
        if current is not None:
            asyncio.tasks._enter_task(self, current)

    @staticmethod
    def _wake(place: Place, caller: greenlet.greenlet) -> None:
        if place.alive:  # what a dead node was doing stands still for ever
            caller.switch()

    # -- what asyncio asks for

    def create_future(self) -> asyncio.Future[Any]:
        self._future_count += 1
        return SimFuture(self._future_count, self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        if len(self.tasks) >= self._prune_at:
            self.tasks = [task for task in self.tasks if not task.done() or task._log_traceback]
            self._prune_at = max(_PRUNE_AT_LEAST, 2 * len(self.tasks))
        self._task_count += 1
        label = name or f"task {self._task_count} ({getattr(coro, '__name__', 'coroutine')})"
        task = SimTask(
            self._task_count,
            coro,
            loop=self,
            name=label,
            context=context or contextvars.copy_context(),
            **options,
        )
        self.tasks.append(task)
        return task

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed, self.kernel = True, None
        self._ready, self._callbacks, self._timers = [], deque(), []

    def __enter__(self) -> SimLoop:
        """Make this the running loop of the current thread, asynchronous generators included."""
        self._running = True
        self._outer = asyncio._get_running_loop()
        self._old_hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            finalizer=lambda generator: None if self._closed else self._aclose(generator)
        )
        asyncio._set_running_loop(self)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio._set_running_loop(self._outer)
        sys.set_asyncgen_hooks(*self._old_hooks)
        self._running = False

    def _aclose(self, generator: Any) -> None:
        context = contextvars.copy_context()
        # Nobody can wait for it, so nobody is blamed when it is cut off.
        context.run(DAEMON.set, True)
        self.create_task(
            generator.aclose(), name="closing an asynchronous generator", context=context
        )
