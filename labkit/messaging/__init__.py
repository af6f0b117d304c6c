"""1.2 Messages between services: envelope, outbox, relay, inbox, bus, dead letters, deadlines, and
the event graph.
"""

from labkit.messaging.bus import Bus, DeadLetter, Delivery, MemoryBus
from labkit.messaging.dead_letters import DeadLetters
from labkit.messaging.deadline import Deadlines, DeadlineWorker, create_deadlines
from labkit.messaging.envelope import BadMessage, Catalog, Envelope
from labkit.messaging.event_graph import Edge, EventGraph
from labkit.messaging.inbox import Inbox, create_inbox
from labkit.messaging.outbox import Outbox, create_outbox
from labkit.messaging.relay import Relay, create_relay_claims
from labkit.messaging.streams import RedisStreams
from labkit.messaging.subscriber import Early, Later, Service, Subscriber

__all__ = [
    "BadMessage",
    "Bus",
    "Catalog",
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
    "Outbox",
    "RedisStreams",
    "Relay",
    "Service",
    "Subscriber",
    "create_deadlines",
    "create_inbox",
    "create_outbox",
    "create_relay_claims",
]
