"""A bus delivers every message to every subscriber. This one is in memory, for a first cell and for
trying every order of delivery.

Shows: what any bus must do. It isolates the subscribers: each has its own copy of a message, so the
failure of one is not the failure of another, nor of the publisher. It delivers **at least once**,
again after a failure. A message that cannot be handled becomes a dead letter with the reason, and
the others go on. What an error means, here and in `labkit.messaging.streams`:

| the subscriber raises | the message |
|---|---|
| nothing | is acknowledged |
| `BadMessage` | becomes a dead letter: it will be as bad tomorrow |
| `Later` | is delivered again, as often as it takes |
| `Early`, a kind of `Later` | is delivered again; in `streams`, until it is too old |
| anything else | is delivered again, and becomes a dead letter after `deliveries` attempts |

Guarantees: nothing is delivered before the caller asks for it (`deliver`, `drain`), in any order
the caller wants.

Leaves out: durability. What is pending is lost in a crash, which is why there are brokers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from labkit.base.calls import describe, only_our_cancellation
from labkit.base.validation import whole
from labkit.messaging.envelope import BadMessage
from labkit.messaging.subscriber import Later

Receive = Callable[[str], Awaitable[object]]
"""Handles one message from the wire, as `Subscriber.receive` does."""


class Bus(Protocol):
    """Where a relay publishes."""

    async def publish(self, wire: str) -> None:
        """Have the message delivered to every subscriber. After an error the outcome is unknown:
        publish it again.
        """


@dataclass(frozen=True)
class Delivery:
    """One copy of a message on its way. `attempt` is 1 the first time; `failed` is the error of the
    attempt before.
    """

    to: str
    wire: str
    attempt: int = 1
    failed: str = ""


@dataclass(frozen=True)
class DeadLetter:
    """A message that `group` could not handle, and why. `id` identifies it among the dead
    letters."""

    id: str
    group: str
    wire: str
    reason: str
    deliveries: int


class MemoryBus:
    """A bus in one process. `pending` has the copies on their way, the oldest first; `dead` the
    messages that could not be handled.
    """

    def __init__(self, *, deliveries: int = 5) -> None:
        whole("deliveries", deliveries, 1)
        self._deliveries = deliveries
        self._receivers: dict[str, Receive] = {}
        self.pending: list[Delivery] = []
        self.dead: list[DeadLetter] = []

    def __repr__(self) -> str:
        counts = f"{len(self.pending)} pending, {len(self.dead)} dead"
        return f"<MemoryBus, {len(self._receivers)} subscribers, {counts}>"

    def subscribe(self, name: str, receive: Receive) -> None:
        """Deliver every message that is published from now on to `receive`."""
        if name in self._receivers:
            raise ValueError(f"{name!r} has subscribed already")
        self._receivers[name] = receive

    async def publish(self, wire: str) -> None:
        """Put a copy for each subscriber on its way."""
        self.pending += [Delivery(name, wire) for name in self._receivers]

    async def deliver(self, delivery: Delivery) -> bool:
        """Make this attempt now; False when the message must be delivered again."""
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
        """Deliver pending messages, each time the one that `choose` picks, until none is left or
        all of them must wait; returns how many were handled.
        """
        done = waited = 0
        while self.pending and waited <= self._deliveries * len(self.pending):
            over = await self.deliver(choose(self.pending))
            done += over
            waited = 0 if over else waited + 1
        return done


async def failure(handling: Awaitable[object]) -> Exception | None:
    """The error that handling a message ended with, if any. Only a cancellation of our own task is
    raised.
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
