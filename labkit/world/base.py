"""What both worlds do alike: write the history, hand out ids, wait for tasks.

`labkit.sim` and `labkit.real` inherit `WorldBase` and add what differs: the clock, the nodes, the
network, the servers. A call that ends by a time-out, a cancellation or a broken connection is
*unknown*: it may have happened, or may yet happen, so it has no return position. A crashed node's
calls never close; `finish` turns them into unknown ones.

Leaves out: the faults. A subclass learns from `_on_event` when one is due, and `Triggers` counts
for it.
"""

from __future__ import annotations

import asyncio
import copy
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from labkit.world._outcome import outcome_of
from labkit.world.faults import Fault
from labkit.world.history import Event, History, Operation, Outcome, Span
from labkit.world.run import CRASHED


@dataclass(eq=False)
class _Call:
    """A call under way."""

    process: str
    name: str
    argument: Any
    called: int
    result: Any = None
    outcome: Outcome = "ok"


@dataclass(eq=False)
class _Belief:
    """That a node holds something, while it believes so."""

    seq: int
    node: str
    label: str
    start: float


class Triggers:
    """The faults that wait for an event: each is due once, at the `nth` event of its kind,
    whichever node records it.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._waiting = [fault for fault in faults if fault.after is not None]
        self._seen: Counter[str] = Counter()

    def due(self, event: Event) -> list[Fault]:
        """Count the event, and return the faults that strike now."""
        self._seen[event.kind] += 1
        return [
            fault
            for fault in self._waiting
            if fault.after == event.kind and fault.nth == self._seen[event.kind]
        ]


class WorldBase(ABC):
    """The part of a world that writes the history."""

    def __init__(self, seed: int | None) -> None:
        self.seed = seed
        self.rng = random.Random(f"labkit {seed}")
        self.history = History()
        self._ids: dict[str, random.Random] = {}
        self._issued: set[str] = set()
        self._calls: dict[int, _Call] = {}
        self._beliefs: dict[int, _Belief] = {}
        self._over: dict[asyncio.Task[Any], tuple[str, asyncio.Future[None]]] = {}

    @abstractmethod
    def now(self) -> float:
        """True seconds since the run began."""

    @abstractmethod
    def here(self) -> str:
        """The name of the node this is called on."""

    @abstractmethod
    def _on_event(self, event: Event) -> None:
        """Called with every event, after it is in the history: the faults that wait for it strike
        here.
        """

    def new_id(self, prefix: str = "") -> str:
        """A fresh id: `prefix` and eight hex digits from the seed. Each node has its own sequence,
        so the nodes' interleaving does not change it."""
        node = self.here()
        source = self._ids.setdefault(node, random.Random(f"labkit {self.seed} ids of {node}"))
        while (fresh := f"{prefix}{source.getrandbits(32):08x}") in self._issued:
            pass
        self._issued.add(fresh)
        return fresh

    def record(self, kind: str, /, **data: Any) -> Event:
        """Write an event of the current node into the history, with the facts as they are now."""
        event = Event(self.history.next_seq(), self.now(), self.here(), kind, copy.deepcopy(data))
        self.history.events.append(event)
        self._on_event(event)
        return event

    @contextmanager
    def holding(self, label: str) -> Iterator[None]:
        """Mark that the current node believes it holds `label` for as long as the block runs."""
        belief = _Belief(self.history.next_seq(), self.here(), label, self.now())
        self._beliefs[belief.seq] = belief
        try:
            yield
        except GeneratorExit:
            # A coroutine that will never run again is thrown away: nobody let go of anything.
            raise
        except BaseException:
            self._let_go(belief, self.now())
            raise
        self._let_go(belief, self.now())

    @contextmanager
    def operation(
        self, name: str, argument: Any = None, *, process: str | None = None
    ) -> Iterator[_Call]:
        """Record a call on a shared object. Left by a time-out or a cancellation it is unknown; by
        another error, failed.
        """
        call = _Call(process or self.here(), name, argument, self.history.next_seq())
        self._calls[call.called] = call
        try:
            yield call
        except GeneratorExit:  # as in `holding`
            raise
        except BaseException as error:
            call.outcome = outcome_of(error)
            self._close(call)
            raise
        self._close(call)

    async def join(self, *tasks: asyncio.Task[Any], return_exceptions: bool = False) -> list[Any]:
        """Wait for tasks, in order; one whose node crashed counts as over, with the result
        `CRASHED`.
        """
        results: list[Any] = []
        for task in tasks:
            _, over = self._over.get(task, ("", None))
            await asyncio.wait([task if over is None else over])
            if not task.done():
                results.append(CRASHED)
            elif return_exceptions and task.cancelled():
                results.append(asyncio.CancelledError())
            elif return_exceptions and (error := task.exception()) is not None:
                results.append(error)
            else:
                results.append(task.result())
        return results

    def track(self, task: asyncio.Task[Any], node: str) -> None:
        """Let `join` know the task's node. Call it once for each task, on the loop."""
        over: asyncio.Future[None] = task.get_loop().create_future()
        self._over[task] = (node, over)
        task.add_done_callback(lambda _: None if over.done() else over.set_result(None))

    def died(self, node: str) -> None:
        """The node crashed: its beliefs end here, and nobody who joins its tasks has to wait. Its
        calls stay open.
        """
        for belief in [each for each in self._beliefs.values() if each.node == node]:
            self._let_go(belief, self.now())
        for task, (where, over) in self._over.items():
            if where == node and not task.done() and not over.done():
                over.set_result(None)

    def finish(self) -> None:
        """The run is over: what is still open becomes unknown, or lasts to the end. Later writes
        are ignored.
        """
        for call in [*self._calls.values()]:
            call.outcome = "unknown"
            self._close(call)
        for belief in [*self._beliefs.values()]:
            self._let_go(belief, None)
        self.history.operations.sort(key=lambda operation: operation.called)

    def _close(self, call: _Call) -> None:
        if self._calls.pop(call.called, None) is None:
            return
        returned = None if call.outcome == "unknown" else self.history.next_seq()
        result = call.result if call.outcome == "ok" else None
        self.history.operations.append(
            Operation(
                call.process, call.name, call.argument, result, call.called, returned, call.outcome
            )
        )

    def _let_go(self, belief: _Belief, end: float | None) -> None:
        if self._beliefs.pop(belief.seq, None) is not None:
            span = Span(belief.seq, belief.node, "hold", belief.start, end, belief.label)
            self.history.spans.append(span)
