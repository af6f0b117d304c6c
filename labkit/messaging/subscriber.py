"""A service of a choreography: which events it reacts to, which events it publishes in answer, and
how one delivery is handled.

Shows: `Service` is the list of a service's reactions, registered by a plain decorator, and nothing
else: the event graph (`labkit.messaging.event_graph`) is derived from it. `Subscriber` runs it on a
database: **one transaction per delivery**, with the inbox entry, the effect and the resulting
events in it.

    payments = Service("payments")

    @payments.on(StockReserved, emits=(PaymentCharged, PaymentDeclined))
    async def charge(connection, event, envelope): ...

Guarantees: with a real inbox and outbox, a message takes effect once and its resulting events are
published at least once, however often it is delivered and whatever crashes. A reaction declares
what it may publish: an event that is not in `emits` is an error, and nothing of that delivery is
committed.

Leaves out: the order of events. A reaction to a message that came too early raises `Early`, and the
message is delivered again later; one that came too late must be refused by a guarded UPDATE in the
reaction. If a reaction cannot reach another server, the delivery has failed, unless it raises
`Later`.

Sources: NServiceBus documentation, "Saga not found"; MassTransit documentation, "Missing instance"
(redelivery of early messages)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.calls import relabel_os_errors
from labkit.base.errors import DatabaseUnavailable
from labkit.base.observe import Observe, ignore
from labkit.base.transactions import begin_immediate
from labkit.messaging.envelope import Catalog, Cause, Envelope, Event, names

E = TypeVar("E")
React = Callable[[AsyncConnection, E, Envelope], Awaitable[Iterable[Event]]]
"""Act on the event in the given transaction, and return the events to publish."""

Handled = Literal["done", "duplicate", "ignored"]


class Later(Exception):
    """Not now: nothing of this delivery was committed, and the message must be delivered again."""

    outcome = "failed"


class Early(Later):
    """The message came before another one that it builds on."""


class FirstTime(Protocol):
    """What a subscriber needs of its inbox. `labkit.messaging.Inbox` has a table."""

    async def first(self, connection: AsyncConnection, message_id: str) -> bool:
        """Whether this message is new."""


class Sends(Protocol):
    """What a subscriber needs of its outbox. `labkit.messaging.Outbox` writes to a table, in the
    same transaction.
    """

    async def add(
        self,
        connection: AsyncConnection,
        event: Event,
        *,
        aggregate: str,
        cause: Cause | None = None,
    ) -> Envelope:
        """Publish the event."""


@dataclass(frozen=True)
class Reaction:
    """How a service handles one type of event: it publishes one of `emits`, or nothing, and may end
    the process in the state `ends`.
    """

    to: type
    react: React[Any]
    emits: tuple[type, ...]
    ends: str | None


class Service:
    """The reactions of one service, and the events that it publishes unprompted."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.says_itself: dict[type, str | None] = {}
        self.reactions: dict[type, Reaction] = {}

    def __repr__(self) -> str:
        return f"<Service {self.name}, reacts to {', '.join(names(self.reactions)) or 'nothing'}>"

    def says(self, *kinds: type, ends: str | None = None) -> None:
        """Declare events that the service publishes unprompted. `ends`: the state in which they end
        the process, if they do.
        """
        self.says_itself |= dict.fromkeys(kinds, ends)

    def on(
        self, kind: type[E], *, emits: Iterable[type] = (), ends: str | None = None
    ) -> Callable[[React[E]], React[E]]:
        """React to events of this type with the decorated function, which is returned unchanged.

        `emits`: the events it may publish; `ends`: the state in which it ends the process, if it
        does.
        """

        def register(react: React[E]) -> React[E]:
            if kind in self.reactions:
                raise ValueError(
                    f"{self.name} reacts to {kind.__name__} already; "
                    "one reaction to an event is allowed"
                )
            self.reactions[kind] = Reaction(kind, react, tuple(emits), ends)
            return react

        return register


class Subscriber:
    """Runs a service's reactions on its database. `within` bounds one delivery, in seconds."""

    def __init__(
        self,
        service: Service,
        catalog: Catalog,
        engine: AsyncEngine,
        *,
        inbox: FirstTime,
        outbox: Sends,
        within: float = 5.0,
        observe: Observe = ignore,
    ) -> None:
        answers = [kind for reaction in service.reactions.values() for kind in reaction.emits]
        for kind in [*service.reactions, *service.says_itself, *answers]:
            if catalog.types.get(kind.__name__) is not kind:
                raise ValueError(
                    f"{service.name} hears or says {kind.__name__}, which is not in the catalog"
                )
        self.service = service
        self._catalog = catalog
        self._engine = engine
        self._inbox = inbox
        self._outbox = outbox
        self._within = within
        self._observe = observe

    def __repr__(self) -> str:
        return f"<Subscriber {self.service.name}>"

    async def receive(self, wire: str | bytes) -> Handled:
        """Handle one delivery; once this returns, the message may be acknowledged.

        Raises `BadMessage` (do not deliver it again), `Later` (deliver it again), or what the
        reaction raises: nothing was committed. The exception is a commit that got no answer: then
        `Later` may follow a committed effect, and the inbox finds out at the next delivery."""
        envelope = self._catalog.decode(wire)
        reaction = self.service.reactions.get(type(envelope.event))
        if reaction is None:
            return "ignored"
        self._observe("delivered", to=self.service.name, type=envelope.type, id=envelope.id)
        try:
            async with begin_immediate(self._engine, within=self._within) as connection:
                if not await self._inbox.first(connection, envelope.id):
                    handled: Handled = "duplicate"
                else:
                    await self._react(connection, reaction, envelope)
                    handled = "done"
        except DatabaseUnavailable as error:
            raise Later(f"{self.service.name}: {error}") from error
        self._observe(
            "handled", by=self.service.name, type=envelope.type, id=envelope.id, how=handled
        )
        return handled

    async def _react(
        self, connection: AsyncConnection, reaction: Reaction, envelope: Envelope
    ) -> None:
        for event in await relabel_os_errors(reaction.react(connection, envelope.event, envelope)):
            if type(event) not in reaction.emits:
                allowed = ", ".join(names(reaction.emits)) or "nothing"
                what = f"{self.service.name} on {envelope.type}"
                raise TypeError(
                    f"{what} may say {allowed}, as it declared, and said {type(event).__name__}"
                )
            await self._outbox.add(connection, event, aggregate=envelope.aggregate, cause=envelope)
