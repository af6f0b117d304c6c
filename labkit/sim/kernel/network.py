"""The network between nodes: how long a message takes, and whether it arrives.

A message leaves when its sender is awake and travels whatever becomes of the sender: a request that
has left is executed even if the client that sent it dies. It arrives at a node that is up (a frozen
one handles it when it thaws; a dead one never). Messages of one `Wire` keep their order, as on a
TCP connection. The experimenter ("lab") and a node talking to itself use no network: no delay, no
loss, no entry in the history; and a server that is frozen answers the experimenter all the same.

Leaves out: bandwidth (a message takes as long whatever its size), queues, and packets: a message
arrives whole or not at all."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from labkit.sim.kernel.choices import Latency
from labkit.sim.kernel.loop import SimLoop
from labkit.sim.kernel.nodes import SimNode
from labkit.sim.kernel.tasks import Handle
from labkit.world import LAB, Duplication, History, LoseReply, Loss, Message, Partition, Slow, Span

Rule = Loss | Duplication | Slow


@dataclass
class Wire:
    """One direction of a connection. Messages on it arrive in the order in which they were sent."""

    last_arrival: float = 0.0


def _between(rule: Rule | LoseReply, src: str, dst: str) -> bool:
    return (rule.src is None or rule.src == src) and (rule.dst is None or rule.dst == dst)


class Network:
    """Carries messages between the nodes that `node` finds by name, and writes them into the
    history. A fault is in it for as long as it lasts.
    """

    def __init__(
        self, loop: SimLoop, history: History, node: Callable[[str], SimNode], latency: Latency
    ) -> None:
        self._loop = loop
        self._history = history
        self._node = node
        self._latency = latency
        self._rules: list[Rule] = []
        self._partitions: list[Partition] = []
        self._lost_replies: list[LoseReply] = []
        self._hang_ups: list[Callable[[], None]] = []

    def send(
        self,
        src: str,
        dst: str,
        label: str,
        deliver: Callable[[], object],
        *,
        wire: Wire | None = None,
        reply: bool = False,
        last: bool = False,
    ) -> None:
        """Carry a message from node `src` to node `dst`, where `deliver` is called on arrival, if
        it arrives.

        The `last` one says that a connection has ended: it leaves even a node that died, and the
        history does not show it."""
        loop, history = self._loop, self._history
        if dst == LAB:
            loop.call_soon(deliver, context=contextvars.Context())
            return
        if src == LAB:
            # The handle belongs to no node, so no freeze withholds it; what it runs, to the server.
            server = self._node(dst).context()
            loop.call_soon(server.run, deliver, context=contextvars.Context())
            return
        if src == dst:
            self._hand_over(dst, deliver)
            return
        sender = self._node(src)
        if not (sender.place.alive or last):
            return
        seq, sent = history.next_seq(), sender.awake_at
        if last and not self.reachable(src, dst):
            # TCP repeats it until it gets through.
            self._hang_ups.append(lambda: self.send(src, dst, label, deliver, wire=wire, last=True))
            return
        if not last and self._is_lost(src, dst, label, reply):
            history.messages.append(Message(seq, sent, src, dst, label, None, reply))
            return
        delay = loop.choices.delay(self._latency)
        for rule in self._rules:
            if isinstance(rule, Slow) and (_between(rule, src, dst) or _between(rule, dst, src)):
                delay *= rule.factor
        arrival = sent + delay
        if wire is not None:
            arrival = wire.last_arrival = max(arrival, wire.last_arrival)

        def arrive() -> None:
            up = self._node(dst).place.alive
            if not last:
                history.messages.append(
                    Message(seq, sent, src, dst, label, arrival if up else None, reply)
                )
            if up:
                self._hand_over(dst, deliver)

        loop.call_at(arrival, arrive, context=contextvars.Context())

    @property
    def usual_round_trip(self) -> float:
        """What a round trip takes when nothing is wrong, in seconds."""
        return 2 * self._latency.median

    def twice(self, src: str, dst: str) -> bool:
        """Whether a request sent now is delivered twice."""
        return self._happens(Duplication, src, dst)

    def reachable(self, src: str, dst: str) -> bool:
        """Whether no partition stands between the two nodes now."""
        return not any(self._parts(partition, src, dst) for partition in self._partitions)

    def _hand_over(self, dst: str, deliver: Callable[[], object]) -> None:
        node = self._node(dst)
        if node.place.frozen:
            node.place.withheld.append(Handle(deliver, (), node.context()))
        elif node.place.alive:
            self._loop.call_soon(deliver, context=node.context())

    def _is_lost(self, src: str, dst: str, label: str, reply: bool) -> bool:
        if not self.reachable(src, dst):
            return True
        if reply:
            for fault in self._lost_replies:
                if _between(fault, dst, src) and (fault.label is None or fault.label in label):
                    self._lost_replies.remove(fault)
                    return True
        return self._happens(Loss, src, dst)

    def _happens(self, kind: type[Loss | Duplication], src: str, dst: str) -> bool:
        chance = self._loop.choices.chance
        rules = [rule for rule in self._rules if isinstance(rule, kind)]
        return any(chance(rule.probability) for rule in rules if _between(rule, src, dst))

    @staticmethod
    def _parts(partition: Partition, src: str, dst: str) -> bool:
        one, other = partition.one, partition.other
        crossing = (src in one) != (dst in one)
        return crossing and (other is None or src in other or dst in other)

    # -- what faults do

    def add(self, fault: Partition | LoseReply | Rule) -> None:
        """Apply the fault from now on, for as long as it says."""
        if isinstance(fault, LoseReply):
            self._lost_replies.append(fault)
            return
        if isinstance(fault, Partition):
            self._partitions.append(fault)
            self._mark(fault)
        else:
            self._rules.append(fault)
        if fault.for_ != inf:
            self._loop.call_later(fault.for_, self._remove, fault, context=contextvars.Context())

    def _mark(self, partition: Partition) -> None:
        """Write into the history when the partition begins and ends."""
        now, others = self._loop.time(), ", ".join(partition.other or ("the rest",))
        end = None if partition.for_ == inf else now + partition.for_
        for name in partition.one:
            seq = self._history.next_seq()
            self._history.spans.append(Span(seq, name, "partition", now, end, others))

    def _remove(self, fault: Partition | Rule) -> None:
        if isinstance(fault, Partition):
            self._partitions.remove(fault)
            hang_ups, self._hang_ups = self._hang_ups, []
            for hang_up in hang_ups:
                hang_up()
        else:
            self._rules.remove(fault)
