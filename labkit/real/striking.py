"""How faults strike real nodes and servers: at their time, or when the event they wait for is
written.

A pause and a crash of a server are signals to its process; those of any other node are its own. A
fault that is due before the scenario has made its node, or has asked for its server, strikes as
soon as it has.

Left out, and refused by name: faults of the network and a fail-over, which need the simulated
world; a skewed clock of a server, which is this machine's; and any fault of a server that the
reader has named by URL."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labkit.real.given import Given
from labkit.real.servers import Postgres, Valkey
from labkit.world import Crash, Event, Fault, FaultError, Pause, Skew
from labkit.world.base import Triggers

if TYPE_CHECKING:
    from labkit.real.world import RealWorld, Server

Possible = Pause | Crash | Skew


class Striking:
    """The faults of one run."""

    def __init__(self, world: RealWorld, faults: Sequence[Fault]) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._faults = [_possible(fault) for fault in faults]
        self._triggers = Triggers(faults)
        self._early: list[Possible] = []
        self.restarts: list[asyncio.Future[None]] = []

    def arm(self) -> None:
        """Let every fault with a time strike at that time."""
        for fault in self._faults:
            if fault.at is not None:
                self._strike_at(fault.at, fault)

    def on_event(self, event: Event) -> None:
        """Let every fault that waits for this event strike now."""
        for fault in self._triggers.due(event):
            contextvars.Context().run(self._strike, _possible(fault))

    def strike_the_late(self, name: str) -> None:
        """Let those faults of `name` strike that were due before there was such a node or server."""
        late = [fault for fault in self._early if fault.node == name]
        self._early = [fault for fault in self._early if fault not in late]
        for fault in late:
            self._strike(fault)

    def check_server(self, name: str, server: Server) -> None:
        """Refuse the run's faults that cannot strike this server."""
        for fault in self._faults:
            if fault.node == name and isinstance(fault, Skew):
                raise FaultError(
                    f"Skew.node must not be a server, whose clock is this machine's; got {name!r}"
                )
            if fault.node == name and isinstance(server, Given):
                kind = type(fault).__name__
                raise FaultError(
                    f"{kind}.node must not be {name!r}: {server.variable} names a server of your own"
                )

    def check_all_struck(self) -> None:
        """Refuse a run in which a fault was due on a node that the scenario does not have."""
        for fault in self._early:
            known = ", ".join(self._world.names()) or "none"
            raise FaultError(f"{fault!r} names no node of this run; there are: {known}")

    def _strike_at(self, at: float, fault: Possible) -> None:
        """Strike when `now()` is `at`: later than the loop's clock says if a server has been
        started since.
        """

        def due() -> None:
            if (wait := at - self._world.now()) > 0:
                self._loop.call_later(wait, due, context=contextvars.Context())
            else:
                self._strike(fault)

        self._loop.call_later(at, due, context=contextvars.Context())

    def _strike(self, fault: Possible) -> None:
        world = self._world
        server = world.server(fault.node)
        if server is None and fault.node not in world.names():
            self._early.append(fault)
        elif isinstance(fault, Pause):
            self._pause_server(fault, server) if server else world.node(fault.node).pause(
                fault.for_
            )
        elif isinstance(fault, Crash):
            self._crash_server(fault, server) if server else world.node(fault.node).crash(
                fault.restart_after
            )
        else:
            world.node(fault.node).skew(fault.by, fault.rate)

    def _pause_server(self, fault: Pause, server: Server) -> None:
        assert isinstance(server, Valkey | Postgres)  # `check_server` has refused the others
        close = self._world.open_span(fault.node, "pause")

        def resume() -> None:
            close()  # first: nothing that the server does now is part of the pause
            server.resume()

        server.pause()
        self._loop.call_later(fault.for_, resume)

    def _crash_server(self, fault: Crash, server: Server) -> None:
        assert isinstance(server, Valkey | Postgres)  # as above
        close = self._world.open_span(fault.node, "crash")

        def restart() -> None:
            starting = self._loop.run_in_executor(None, server.start)
            self.restarts.append(starting)
            starting.add_done_callback(lambda _: close())

        server.kill()
        if fault.restart_after is not None:
            self._loop.call_later(fault.restart_after, restart)


def _possible(fault: Fault) -> Possible:
    if isinstance(fault, Possible):
        return fault
    kind = type(fault).__name__
    raise FaultError(
        f"{kind} needs the simulated world, labkit.sim; real servers know Pause, Crash and Skew"
    )
