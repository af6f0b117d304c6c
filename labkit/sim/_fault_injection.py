"""How faults strike: at their time, or when the event they wait for is written.

A fault that waits for an event strikes while the code that recorded it is still running: that code
goes on to its next await, and what it sends on the way does not leave a dead node, nor a frozen one
before it thaws. So nobody can see the difference."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from typing import Any

from labkit.sim._redis_server import SimRedisServer
from labkit.sim.kernel import Kernel
from labkit.world import Crash, Event, Failover, Fault, Pause, Skew
from labkit.world.base import Triggers


class FaultInjection:
    """The faults of one run. `redis_server` finds the server that a `Failover` hits."""

    def __init__(
        self,
        kernel: Kernel,
        redis_server: Callable[[str], SimRedisServer],
        faults: Sequence[Fault],
    ) -> None:
        self._kernel = kernel
        self._redis_server = redis_server
        self._faults = faults
        self._triggers = Triggers(faults)
        self._replicas: dict[int, list[dict[int, dict[bytes, Any]]]] = {}

    def arm(self) -> None:
        """Schedule every fault that has a time; those of time 0 strike before anything else."""
        for fault in self._faults:
            if fault.at is None:
                continue
            if isinstance(fault, Failover):
                self._at(fault.at - fault.lag, self._replicate, fault)
            self._at(fault.at, self._strike, fault)

    def on_event(self, event: Event) -> None:
        """Strike every fault that waits for this event."""
        for fault in self._triggers.due(event):
            if isinstance(fault, Failover):
                # What is written in the next `lag` seconds does not reach the replica.
                self._replicate(fault)
                self._at(self._kernel.now() + fault.lag, self._strike, fault)
            else:
                contextvars.Context().run(self._strike, fault)

    def misnamed(self) -> str | None:
        """What is wrong with the first fault that names a node or an event which this run never
        had; None when nothing is.
        """
        for fault in self._faults:
            if wrong := self._no_such_node(fault) or self._no_such_event(fault):
                return wrong
        return None

    def _no_such_node(self, fault: Fault) -> str | None:
        asked_for = self._kernel.asked_for
        named = [getattr(fault, field, None) for field in ("node", "src", "dst")]
        named += [*getattr(fault, "one", ()), *(getattr(fault, "other", None) or ())]
        for name in named:
            if name is not None and name not in asked_for:
                there = _listed(asked_for)
                return f"{fault!r} struck nobody: there is no node {name!r}; there were {there}"
        return None

    def _no_such_event(self, fault: Fault) -> str | None:
        if fault.after is None:
            return None
        kinds = [event.kind for event in self._kernel.history.events]
        seen = kinds.count(fault.after)
        if seen >= fault.nth:
            return None
        there = f"{seen} of them" if seen else _listed(set(kinds))
        waits = f"it waits for {fault.nth} of event {fault.after!r}"
        return f"{fault!r} never struck: {waits}; there were {there}"

    def _at(self, when: float, strike: Callable[[Any], None], fault: Fault) -> None:
        if when <= 0:
            strike(fault)
        else:
            self._kernel.loop.call_at(when, strike, fault, context=contextvars.Context())

    def _replicate(self, fault: Failover) -> None:
        self._replicas.setdefault(id(fault), []).append(self._redis_server(fault.node).snapshot())

    def _strike(self, fault: Fault) -> None:
        kernel = self._kernel
        if isinstance(fault, Pause):
            kernel.struck(fault.node).freeze(fault.for_)
        elif isinstance(fault, Crash):
            kernel.struck(fault.node).crash(fault.restart_after)
        elif isinstance(fault, Skew):
            kernel.struck(fault.node).skew(fault.by, fault.rate)
        elif isinstance(fault, Failover):
            self._redis_server(fault.node).fail_over(self._replicas[id(fault)].pop(0), fault.lag)
        else:
            kernel.network.add(fault)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
