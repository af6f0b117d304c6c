"""1.2 Messages between services: envelope, outbox, relay, inbox, bus, streams, dead letters,
deadlines, and the event graph.
"""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.messaging.bus import Bus as Bus
    from labkit.messaging.bus import DeadLetter as DeadLetter
    from labkit.messaging.bus import Delivery as Delivery
    from labkit.messaging.bus import MemoryBus as MemoryBus
    from labkit.messaging.dead_letters import DeadLetters as DeadLetters
    from labkit.messaging.deadlines import Deadlines as Deadlines
    from labkit.messaging.deadlines import DeadlineWorker as DeadlineWorker
    from labkit.messaging.deadlines import create_deadlines as create_deadlines
    from labkit.messaging.envelope import BadMessage as BadMessage
    from labkit.messaging.envelope import Catalog as Catalog
    from labkit.messaging.envelope import Envelope as Envelope
    from labkit.messaging.event_graph import Edge as Edge
    from labkit.messaging.event_graph import EventGraph as EventGraph
    from labkit.messaging.inbox import Inbox as Inbox
    from labkit.messaging.inbox import create_inbox as create_inbox
    from labkit.messaging.outbox import Outbox as Outbox
    from labkit.messaging.outbox import create_outbox as create_outbox
    from labkit.messaging.relay import Relay as Relay
    from labkit.messaging.streams import RedisStreams as RedisStreams
    from labkit.messaging.subscriber import Early as Early
    from labkit.messaging.subscriber import Later as Later
    from labkit.messaging.subscriber import Service as Service
    from labkit.messaging.subscriber import Subscriber as Subscriber
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        bus="Bus DeadLetter Delivery MemoryBus",
        dead_letters="DeadLetters",
        deadlines="DeadlineWorker Deadlines create_deadlines",
        envelope="BadMessage Catalog Envelope",
        event_graph="Edge EventGraph",
        inbox="Inbox create_inbox",
        outbox="Outbox create_outbox",
        relay="Relay",
        streams="RedisStreams",
        subscriber="Early Later Service Subscriber",
    )
