"""How faults strike real nodes and servers: at their time, or when the event they wait for is
written.

A pause and a crash of a server are signals to its process; those of any other node are its own. A
fault that is due before the scenario has made its node, or has asked for its server, strikes as
soon as it has.

Leaves out, and refuses by name: faults of the network and a fail-over, which need the simulated
world; a skewed clock of a server, which is this machine's; and any fault of a server that the
reader has named by URL."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping, Sequence

from labkit.real._nodes import RealNode, open_span
from labkit.real.external_servers import ExternalServer
from labkit.real.servers import Postgres, Valkey
from labkit.world import Crash, Event, Fault, FaultError, Pause, Skew
from labkit.world.base import Triggers, WorldBase

Server = Valkey | Postgres | ExternalServer
Possible = Pause | Crash | Skew


class FaultInjection:
    """The faults of one run. The world adds to `nodes` and `servers` while it runs."""

    def __init__(
        self,
        world: WorldBase,
        nodes: Mapping[str, RealNode],
        servers: Mapping[str, Server],
        faults: Sequence[Fault],
    ) -> None:
        self._world = world
        self._nodes = nodes
        self._servers = servers
        self._loop = asyncio.get_running_loop()
        self._faults = [_possible(fault) for fault in faults]
        self._triggers = Triggers(faults)
        self._early: list[Possible] = []
        self.restarts: list[asyncio.Future[None]] = []

    def arm(self) -> None:
        """Schedule every fault that has a time."""
        for fault in self._faults:
            if fault.at is not None:
                self._strike_at(fault.at, fault)

    def on_event(self, event: Event) -> None:
        """Strike every fault that waits for this event."""
        for fault in self._triggers.due(event):
            contextvars.Context().run(self._strike, _possible(fault))

    def strike_the_late(self, name: str) -> None:
        """Strike the faults of node `name` that were due before the node was made."""
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
            if fault.node == name and isinstance(server, ExternalServer):
                kind = type(fault).__name__
                raise FaultError(
                    f"{kind}.node must not be {name!r}: "
                    f"{server.variable} names a server of your own"
                )

    def check_all_struck(self) -> None:
        """Refuse a run in which a fault was due on a node that the scenario never made."""
        for fault in self._early:
            known = ", ".join(sorted([*self._nodes, *self._servers])) or "none"
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
        server, node = self._servers.get(fault.node), self._nodes.get(fault.node)
        if server is not None:
            self._strike_server(fault, server)
        elif node is not None:
            self._strike_node(fault, node)
        else:
            self._early.append(fault)

    def _strike_node(self, fault: Possible, node: RealNode) -> None:
        if isinstance(fault, Pause):
            node.pause(fault.for_)
        elif isinstance(fault, Crash):
            node.crash(fault.restart_after)
        else:
            node.skew(fault.by, fault.rate)

    def _strike_server(self, fault: Possible, server: Server) -> None:
        # `check_server` has refused the other servers, and a Skew of these.
        assert isinstance(server, Valkey | Postgres)
        if isinstance(fault, Pause):
            self._pause_server(fault, server)
        elif isinstance(fault, Crash):
            self._crash_server(fault, server)

    def _pause_server(self, fault: Pause, server: Valkey | Postgres) -> None:
        close = open_span(self._world, fault.node, "pause")

        def resume() -> None:
            close()  # first: nothing that the server does now is part of the pause
            server.resume()

        server.pause()
        self._loop.call_later(fault.for_, resume)

    def _crash_server(self, fault: Crash, server: Valkey | Postgres) -> None:
        close = open_span(self._world, fault.node, "crash")

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
