"""What every simulated server is built on: one loop, the nodes that run on it, the network between
them, and the history that all of them write.

Leaves out: Redis, SQL and HTTP, which are built on it, and the faults of a run."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Coroutine
from typing import Any

from labkit.sim.kernel.choices import Choices, Latency
from labkit.sim.kernel.loop import SimLoop
from labkit.sim.kernel.network import Network
from labkit.sim.kernel.nodes import EPOCH, SimNode
from labkit.sim.kernel.tasks import DAEMON, HERE
from labkit.world import LAB
from labkit.world.base import WorldBase


class Kernel(WorldBase):
    """The loop, the nodes and the network of one run."""

    def __init__(
        self,
        seed: int | None,
        choices: Choices,
        latency: Latency,
        *,
        max_steps: int,
        max_seconds: float,
    ) -> None:
        super().__init__(seed)
        self.loop = SimLoop(choices, max_steps=max_steps, max_seconds=max_seconds)  # type: ignore[abstract]  # those it refuses
        self.loop.kernel = self
        self.loop.set_exception_handler(self._note_exception)
        self.network = Network(self.loop, self.history, self.node, latency)
        self.nodes: dict[str, SimNode] = {}
        self.asked_for: set[str] = set()
        self.failures: list[BaseException] = []
        self.dice = random.Random(f"labkit {seed} redis")
        """For libraries that draw from the process's own generator."""

    def now(self) -> float:
        """True seconds since the run began."""
        return self.loop.time()

    def clock(self) -> float:
        """The wall clock of the node this is called on: seconds since 1970."""
        here = self.here()
        return EPOCH + self.now() if here == LAB else self.node(here).clock()

    def here(self) -> str:
        """The name of the node this is called on."""
        place = HERE.get()
        return LAB if place is None else place.name

    def node(self, name: str) -> SimNode:
        """The node of this name, made at the first call."""
        self.asked_for.add(name)
        return self.struck(name)

    def struck(self, name: str) -> SimNode:
        """The node of this name, for a fault that strikes it. The scenario may ask for it later, or
        never.
        """
        found = self.nodes.get(name)
        if found is None:
            if not name or name == LAB:
                raise ValueError(
                    f"a node needs a name, and {LAB!r} is the experimenter's; got {name!r}"
                )
            found = self.nodes[name] = SimNode(self, self.loop, name)
        return found

    def background(self, work: Coroutine[Any, Any, None], node: SimNode | None, name: str) -> None:
        """Run a server's work for a request, on its node or on none; it may be cut off when the
        scenario returns.
        """
        context = contextvars.Context() if node is None else node.context()
        context.run(DAEMON.set, True)
        self.loop.create_task(work, name=name, context=context)

    def block(self, seconds: float) -> None:
        """`time.sleep` of code on a node: its event loop stands still, the rest of the world goes
        on.
        """
        if (here := self.here()) == LAB:
            self.loop.block(seconds)
        else:
            self.node(here).block(seconds)

    def _note_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(error := context.get("exception"), Exception) and "task" not in context:
            self.failures.append(error)


def current_kernel() -> Kernel | None:
    """The kernel of the loop that runs in this thread, if it is a simulated one."""
    kernel = getattr(asyncio._get_running_loop(), "kernel", None)
    return kernel if isinstance(kernel, Kernel) else None
