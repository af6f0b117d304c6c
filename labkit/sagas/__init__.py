"""Sagas: one piece of business over several services, orchestrated or choreographed.

Left out of this list: the tables (each is in the module of the class that uses it), and what the modules use of each other.
"""

from labkit.sagas.bus import Bus, DeadLetter, Delivery, MemoryBus
from labkit.sagas.dead_letters import DeadLetters
from labkit.sagas.deadline import Deadlines, DeadlineWorker, create_deadlines
from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.sagas.envelope import BadMessage, Catalog, Envelope
from labkit.sagas.errors import ClaimedElsewhere, SagaExists, UnknownDefinition, UnknownSaga, WrongStatus
from labkit.sagas.graph import Edge, EventGraph
from labkit.sagas.inbox import Inbox, create_inbox
from labkit.sagas.orchestrator import Orchestrator
from labkit.sagas.outbox import Outbox, create_outbox
from labkit.sagas.relay import Relay, create_relay_claims
from labkit.sagas.retry import Retry
from labkit.sagas.service import saga_routes
from labkit.sagas.store import create_sagas
from labkit.sagas.streams import RedisStreams
from labkit.sagas.subscriber import Early, Later, Service, Subscriber

__all__ = [
    "BadMessage",
    "Bus",
    "Catalog",
    "ClaimedElsewhere",
    "Context",
    "DeadLetter",
    "DeadLetters",
    "DeadlineWorker",
    "Deadlines",
    "Delivery",
    "Early",
    "Edge",
    "Envelope",
    "EventGraph",
    "Inbox",
    "Later",
    "MemoryBus",
    "Orchestrator",
    "Outbox",
    "RedisStreams",
    "Relay",
    "Retry",
    "SagaDefinition",
    "SagaExists",
    "Service",
    "Step",
    "Subscriber",
    "UnknownDefinition",
    "UnknownSaga",
    "WrongStatus",
    "create_deadlines",
    "create_inbox",
    "create_outbox",
    "create_relay_claims",
    "create_sagas",
    "saga_routes",
]
