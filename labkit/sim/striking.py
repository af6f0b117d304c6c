"""How faults strike: at their time, or when the event they wait for is written.

A fault that waits for an event strikes while the code that recorded it is still running: that code
goes on to its next await, and what it sends on the way does not leave a dead node, nor a frozen one
before it thaws. So nobody can see the difference."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from labkit.world import Crash, Event, Failover, Fault, Pause, Skew
from labkit.world.base import Triggers

if TYPE_CHECKING:
    from labkit.sim.world import SimWorld


class Striking:
    """The faults of one run."""

    def __init__(self, world: SimWorld, faults: Sequence[Fault]) -> None:
        self._world = world
        self._faults = faults
        self._triggers = Triggers(faults)
        self._replicas: dict[int, list[dict[int, dict[bytes, Any]]]] = {}

    def arm(self) -> None:
        """Let every fault with a time strike at that time; those of time 0, before anything else."""
        for fault in self._faults:
            if fault.at is None:
                continue
            if isinstance(fault, Failover):
                self._at(fault.at - fault.lag, self._replicate, fault)
            self._at(fault.at, self._strike, fault)

    def on_event(self, event: Event) -> None:
        """Let every fault that waits for this event strike now."""
        for fault in self._triggers.due(event):
            if isinstance(
                fault, Failover
            ):  # what is written in the next `lag` seconds does not reach the replica
                self._replicate(fault)
                self._at(self._world.now() + fault.lag, self._strike, fault)
            else:
                contextvars.Context().run(self._strike, fault)

    def misnamed(self) -> str | None:
        """What is wrong with the first fault that names a node or an event of which this run knew
        nothing; None: nothing.
        """
        world = self._world
        kinds = [event.kind for event in world.history.events]
        for fault in self._faults:
            named = [getattr(fault, field, None) for field in ("node", "src", "dst")]
            named += [*getattr(fault, "one", ()), *(getattr(fault, "other", None) or ())]
            for name in named:
                if name is not None and name not in world.asked_for:
                    return f"{fault!r} struck nobody: there is no node {name!r}; there were {_listed(world.asked_for)}"
            if fault.after is not None and kinds.count(fault.after) < fault.nth:
                seen = (
                    f"{kinds.count(fault.after)} of them"
                    if fault.after in kinds
                    else _listed(set(kinds))
                )
                return f"{fault!r} never struck: it waits for {fault.nth} of event {fault.after!r}; there were {seen}"
        return None

    def _at(self, when: float, strike: Callable[[Any], None], fault: Fault) -> None:
        if when <= 0:
            strike(fault)
        else:
            self._world.loop.call_at(when, strike, fault, context=contextvars.Context())

    def _replicate(self, fault: Failover) -> None:
        self._replicas.setdefault(id(fault), []).append(
            self._world.redis_server(fault.node).snapshot()
        )

    def _strike(self, fault: Fault) -> None:
        world = self._world
        if isinstance(fault, Pause):
            world.victim(fault.node).freeze(fault.for_)
        elif isinstance(fault, Crash):
            world.victim(fault.node).crash(fault.restart_after)
        elif isinstance(fault, Skew):
            world.victim(fault.node).skew(fault.by, fault.rate)
        elif isinstance(fault, Failover):
            world.redis_server(fault.node).fail_over(self._replicas[id(fault)].pop(0), fault.lag)
        else:
            world.network.add(fault)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
