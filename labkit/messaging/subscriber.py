"""A service of a choreography: which events it reacts to, what it says in answer, and how one
delivery is handled.

Shows: `Service` is the list of a service's reactions, made by a plain decorator, and nothing else:
the event graph (`labkit.messaging.event_graph`) is derived from it. `Subscriber` runs it on a
database: **one delivery is one transaction**, with the inbox entry, the effect and the events that
the reaction returns in it.

    payments = Service("payments")

    @payments.on(StockReserved, emits=(PaymentCharged, PaymentDeclined))
    async def charge(connection, event, envelope): ...

Guarantees: with a real inbox and outbox, a message has its effect once and its answer is said at
least once, however often it is delivered and whatever crashes. What a reaction may say is declared:
an event that is not in `emits` is an error, and nothing of that delivery is committed.

Leaves out: the order of events. A reaction that finds its message early raises `Early`, and it is
delivered again later; one that is late must be refused by a guarded UPDATE in the reaction. And
what else a reaction may use: a server that it cannot reach is its failure, unless it raises
`Later`.

Sources: NServiceBus documentation, "Saga not found"; MassTransit documentation, "Missing instance"
(redelivery of the early)."""

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
"""In one transaction: do what the event asks for, and return what to say."""

Handled = Literal["done", "duplicate", "ignored"]


class Later(Exception):
    """Not now: nothing of this delivery was done. The same message must be delivered again."""

    outcome = "failed"


class Early(Later):
    """The message came before one that it builds on."""


class FirstTime(Protocol):
    """What a subscriber asks its inbox; `labkit.sagas.Inbox` answers from a table."""

    async def first(self, connection: AsyncConnection, message_id: str) -> bool:
        """Whether this message is new."""


class Sends(Protocol):
    """What a subscriber gives its events to; `labkit.sagas.Outbox` writes them into the same
    transaction.
    """

    async def add(
        self,
        connection: AsyncConnection,
        event: Event,
        *,
        aggregate: str,
        cause: Cause | None = None,
    ) -> Envelope:
        """Say the event."""


@dataclass(frozen=True)
class Reaction:
    """What a service does about one type of event: it says one of `emits`, or nothing, and may end
    the process as `ends`.
    """

    to: type
    react: React[Any]
    emits: tuple[type, ...]
    ends: str | None


class Service:
    """The reactions of one service, and what it says without having heard anything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.says_itself: dict[type, str | None] = {}
        self.reactions: dict[type, Reaction] = {}

    def __repr__(self) -> str:
        return f"<Service {self.name}, reacts to {', '.join(names(self.reactions)) or 'nothing'}>"

    def says(self, *kinds: type, ends: str | None = None) -> None:
        """The service says these events by itself; `ends`: the state in which the process is over
        by then, if it is.
        """
        self.says_itself |= dict.fromkeys(kinds, ends)

    def on(
        self, kind: type[E], *, emits: Iterable[type] = (), ends: str | None = None
    ) -> Callable[[React[E]], React[E]]:
        """React to events of this type with the decorated function, which is returned as it is.

        `emits`: what it may say; `ends`: the state in which the process is over after it, if it is.
        """

        def register(react: React[E]) -> React[E]:
            if kind in self.reactions:
                raise ValueError(
                    f"{self.name} reacts to {kind.__name__} already; one reaction to an event is allowed"
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
        """Handle one delivery; when this returns, the message may be acknowledged.

        Raises `BadMessage` (never deliver it again), `Later` (do), or what the reaction raises:
        nothing was committed. When the commit itself got no answer, `Later` may come after the
        effect: the inbox tells, the next time."""
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
