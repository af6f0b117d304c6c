"""A bus: every message to every subscriber. The one in memory, for first cells and for trying every
order of delivery.

Shows: what any bus must do. It isolates subscribers (each has its own copy of a message, so that
the failure of one is not the failure of another, nor of the publisher); it delivers **at least
once**, again after a failure; and a message that cannot be handled goes to the dead letters with
the reason, and the rest goes on. What a failure means, here and in `labkit.messaging.streams`:

| the subscriber raises | the message |
|---|---|
| nothing | is done with |
| `BadMessage` | is dead: it will be as bad tomorrow |
| `Later` | is delivered again, however often |
| `Early`, a kind of `Later` | too; in `streams`, until it is too old |
| anything else | is delivered again, and dead after `deliveries` times |

Guarantees: nothing is delivered before it is asked for (`deliver`, `drain`), in whichever order the
caller wants.

Leaves out: memory that outlives the process. What is pending in a crash is lost, which is why there
are brokers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from labkit.base.calls import describe, only_our_cancellation
from labkit.base.validation import whole
from labkit.messaging.envelope import BadMessage
from labkit.messaging.subscriber import Later

Receive = Callable[[str], Awaitable[object]]
"""Handles one message from the wire; `Subscriber.receive` is one."""


class Bus(Protocol):
    """Where a relay publishes."""

    async def publish(self, wire: str) -> None:
        """Have the message delivered to every subscriber. An error may mean that it will be, or
        not: publish it again.
        """


@dataclass(frozen=True)
class Delivery:
    """One copy of a message on its way, `attempt` 1 the first time; and what became of the attempt
    before.
    """

    to: str
    wire: str
    attempt: int = 1
    failed: str = ""


@dataclass(frozen=True)
class DeadLetter:
    """A message that `group` could not handle, and why. `id` is its place among the dead letters."""

    id: str
    group: str
    wire: str
    reason: str
    deliveries: int


class MemoryBus:
    """A bus in one process. `pending` is what is on its way, oldest first; `dead` is what could not
    be handled.
    """

    def __init__(self, *, deliveries: int = 5) -> None:
        whole("deliveries", deliveries, 1)
        self._deliveries = deliveries
        self._receivers: dict[str, Receive] = {}
        self.pending: list[Delivery] = []
        self.dead: list[DeadLetter] = []

    def __repr__(self) -> str:
        return f"<MemoryBus, {len(self._receivers)} subscribers, {len(self.pending)} pending, {len(self.dead)} dead>"

    def subscribe(self, name: str, receive: Receive) -> None:
        """Have every message that is published from now on delivered to `receive`."""
        if name in self._receivers:
            raise ValueError(f"{name!r} has subscribed already")
        self._receivers[name] = receive

    async def publish(self, wire: str) -> None:
        """Put a copy for each subscriber on its way."""
        self.pending += [Delivery(name, wire) for name in self._receivers]

    async def deliver(self, delivery: Delivery) -> bool:
        """Make this attempt now; False when the message has to come again."""
        self.pending.remove(delivery)
        try:
            error = await failure(self._receivers[delivery.to](delivery.wire))
        except BaseException:  # whoever delivers is being cancelled
            self.pending.append(delivery)
            raise
        if isinstance(error, Later):
            self.pending.append(replace(delivery, failed=reason(error)))
            return False
        if (
            error is not None
            and not isinstance(error, BadMessage)
            and delivery.attempt < self._deliveries
        ):
            self.pending.append(
                replace(delivery, attempt=delivery.attempt + 1, failed=reason(error))
            )
            return False
        if error is not None:
            letter = DeadLetter(
                str(len(self.dead) + 1), delivery.to, delivery.wire, reason(error), delivery.attempt
            )
            self.dead.append(letter)
        return True

    async def drain(
        self, choose: Callable[[Sequence[Delivery]], Delivery] = lambda pending: pending[0]
    ) -> int:
        """Deliver, the `choose`n one first, until nothing is pending or all that is must wait;
        returns how many were done.
        """
        done = waited = 0
        while self.pending and waited <= self._deliveries * len(self.pending):
            over = await self.deliver(choose(self.pending))
            done += over
            waited = 0 if over else waited + 1
        return done


async def failure(handling: Awaitable[object]) -> Exception | None:
    """The error that handling a message ends in, if it does. Of cancellations only our own goes
    through.
    """
    try:
        with only_our_cancellation("subscriber"):
            await handling
    except Exception as error:
        return error
    return None


def reason(error: Exception) -> str:
    """An error as one line of at most 300 characters, which every database and broker takes."""
    return " ".join(describe(error).split())[:300]
