"""Every order in which the messages of an order can be delivered, one by one: each ends completed
or cancelled, all or nothing.

The four services run on one SQLite in memory whose state is saved and put back, so that from each
state every next delivery is tried; states that are the same are visited once. The deadline may
strike at any moment of it."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from labkit.messaging import (
    Deadlines,
    DeadlineWorker,
    Delivery,
    Early,
    Inbox,
    MemoryBus,
    Outbox,
    Service,
    Subscriber,
)
from labkit.shop.choreography import ByEvents, order_services, time_out
from labkit.shop.events import ORDER_EVENTS, StockReserved, order_catalog
from tests.messaging.in_memory import Memory
from tests.shop import ablations
from tests.shop.choreographed import (
    ENDS,
    FAR,
    GOOD,
    SERVICES,
    TOO_MANY,
    UNPAID,
    Wanted,
    looked_up,
    open_all,
    wrong,
)

TABLES = [
    "orders",
    "order_lines",
    "allocations",
    "allocation_lines",
    "payments",
    "accounts",
    "parcels",
    "inventory",
]
TABLES += ["order_copies", "order_notes", "deadlines", "inbox", "outbox_counters"]
EVERYTHING = frozenset(kind.__name__ for kind in ORDER_EVENTS)
DUE = Delivery("the deadline", "")


@dataclass(frozen=True)
class State:
    """The database, and what is on its way."""

    image: bytes
    pending: tuple[Delivery, ...]


class Lab:
    """The four services, a bus in memory, and a database that can be put back."""

    def __init__(
        self,
        database: Memory,
        twice: Collection[str],
        services: Sequence[Service] | None,
        inbox: type,
    ) -> None:
        self.database, self.engine = database, database.engine
        self.twice = twice
        self.bus = MemoryBus()
        self.now = 0.0
        self._cause, self._made = "", 0
        catalog = order_catalog()
        self.outboxes = {
            name: Outbox(name, catalog, clock=self.clock, ids=self.ids) for name in SERVICES
        }
        self.catalog = catalog
        self.reactions: dict[str, set[str]] = {}
        for service in services or order_services(self.clock):
            self.reactions[service.name] = {kind.__name__ for kind in service.reactions}
            outbox = self.outboxes[service.name]
            subscriber = Subscriber(
                service, catalog, self.engine, inbox=inbox(service.name, self.clock), outbox=outbox
            )
            self.bus.subscribe(service.name, subscriber.receive)
        self.deadlines = DeadlineWorker(
            self.engine,
            Deadlines("orders"),
            self.outboxes["orders"],
            time_out,
            clock=lambda: self.now + 1e9,
        )

    def clock(self) -> float:
        return self.now

    def ids(self, prefix: str) -> str:
        """An id that depends on what led to the message, and not on when."""
        self._made += 1
        return prefix + hashlib.sha256(f"{self._cause} {self._made}".encode()).hexdigest()[:16]

    def save(self) -> State:
        return State(self.database.bytes, tuple(self.bus.pending))

    def put_back(self, state: State) -> None:
        self.database.bytes = state.image
        self.bus.pending = list(state.pending)

    def key(self) -> str:
        """What of the state matters: every row, and the messages on their way."""
        rows = [
            sorted(map(repr, self.database.raw.execute(f"SELECT * FROM {table}")))
            for table in TABLES
        ]
        pending = sorted((delivery.to, delivery.wire) for delivery in self.bus.pending)
        return hashlib.sha256(repr((rows, pending)).encode()).hexdigest()

    async def step(self, delivery: Delivery) -> bool:
        """One delivery, or the deadline; and what was said of it is on its way. False: it has to
        come again.
        """
        self._cause, self._made = f"{delivery.to} {delivery.wire}", 0
        if delivery is DUE:
            done = bool(await self.deadlines.fire())
        else:
            done = await self.bus.deliver(delivery)
        await self.publish()
        return done

    def concerns(self, delivery: Delivery) -> bool:
        """Whether the service reacts to this message: if not, its delivery changes nothing,
        whenever it comes.
        """
        return self.kind(delivery) in self.reactions[delivery.to]

    def kind(self, delivery: Delivery) -> str:
        return self.catalog.decode(delivery.wire).type

    async def publish(self) -> None:
        before = len(self.bus.pending)
        for (wire,) in take_all(self.database.raw):
            await self.bus.publish(wire)
        fresh = [delivery for delivery in self.bus.pending[before:] if self.concerns(delivery)]
        self.bus.pending[before:] = [
            copy for copy in fresh for _ in range(1 + (self.kind(copy) in self.twice))
        ]


def take_all(raw: sqlite3.Connection) -> list[tuple[str]]:
    """What a relay does, at once: everything said and not published yet."""
    wires: list[tuple[str]] = raw.execute("SELECT wire FROM outbox ORDER BY position").fetchall()
    raw.execute("DELETE FROM outbox")
    raw.commit()
    return wires


async def explore(
    order: Wanted,
    *,
    deadline: bool,
    twice: Collection[str] = (),
    services: Sequence[Service] | None = None,
    inbox: type = Inbox,
) -> tuple[Counter[str], int, list[str]]:
    """From the placed order, every state that some order of delivery leads to: how it can end, how
    many states, what is wrong.

    `deadline`: it may strike at any moment; `twice`: the events that the bus delivers twice.
    """
    database = Memory()
    await open_all(database.engine)
    lab = Lab(database, twice, services, inbox)
    shop = ByEvents(database.engine, lab.outboxes["orders"], lab.clock, 60.0)
    await shop.place(order.order, order.request)
    await lab.publish()
    ends: Counter[str] = Counter()
    bad: list[str] = []
    seen = {lab.key()}
    todo = [lab.save()]
    while todo:
        state = todo.pop()
        moved = False
        for choice in [*dict.fromkeys(state.pending), *([DUE] if deadline else [])]:
            lab.put_back(state)
            if not await lab.step(choice):
                continue
            moved = True
            if (key := lab.key()) not in seen:
                seen.add(key)
                todo.append(lab.save())
        if not moved:
            lab.put_back(state)
            found = await looked_up(database.engine)
            ends[found["orders"][order.order]] += 1
            bad += [f"nothing can move, and {delivery} is left" for delivery in state.pending]
            bad += wrong(found, [order])
    await database.engine.dispose()
    return ends, len(seen), bad + [str(letter) for letter in lab.bus.dead]


ORDERS = {"good": GOOD, "unpaid": UNPAID, "far": FAR, "too many": TOO_MANY}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_without_a_deadline_every_order_of_delivery_leads_to_the_one_end(
    order: Wanted,
) -> None:
    ends, states, bad = asyncio.run(explore(order, deadline=False))
    assert not bad
    assert set(ends) == {ENDS[order.order]} and states >= 12


@pytest.mark.parametrize("order", [GOOD, TOO_MANY], ids=["good", "too many"])
def test_with_every_message_delivered_twice_it_is_the_same_one_end(order: Wanted) -> None:
    ends, states, bad = asyncio.run(explore(order, deadline=False, twice=EVERYTHING))
    assert not bad
    assert set(ends) == {ENDS[order.order]} and states >= 60


@pytest.mark.parametrize("order", [GOOD, FAR], ids=["good", "far"])
def test_whenever_the_deadline_strikes_each_order_of_delivery_ends_all_or_nothing(
    order: Wanted,
) -> None:
    ends, states, bad = asyncio.run(explore(order, deadline=True))
    assert not bad
    assert set(ends) == {"cancelled", ENDS[order.order]} and states >= 200


# -- the exploration, seen red


class NoInbox(ablations.NoInbox):
    def __init__(self, *_: Any) -> None: ...


def test_it_sees_that_a_trade_without_tombstones_does_what_was_undone_before() -> None:
    _, _, bad = asyncio.run(
        explore(GOOD, deadline=True, services=order_services(lambda: 0.0, **ablations.EACH_TIME))
    )
    assert "order-good is cancelled with stock released, payment charged, parcel booked" in bad


def test_it_sees_that_without_an_inbox_what_comes_twice_is_done_twice() -> None:
    services = order_services(lambda: 0.0, **ablations.EACH_TIME)
    _, _, bad = asyncio.run(
        explore(UNPAID, deadline=False, twice=["PaymentDeclined"], services=services, inbox=NoInbox)
    )
    assert (
        "stock is {'mat': 5, 'tent': 9}, and should be {'mat': 5, 'tent': 8}" in bad
    )  # put back twice


def test_it_sees_that_an_early_message_which_is_dropped_leaves_the_order_pending() -> None:
    services = order_services(lambda: 0.0)
    payments = services[2]
    charge = payments.reactions[StockReserved]

    async def impatient(connection: Any, event: Any, envelope: Any) -> Any:
        try:
            return await charge.react(connection, event, envelope)
        except Early:
            return ()

    payments.reactions[StockReserved] = replace(charge, react=impatient)
    ends, _, bad = asyncio.run(explore(GOOD, deadline=False, services=services))
    assert set(ends) == {"completed", "pending"}
    assert "order-good is pending with stock reserved, payment None, parcel None" in bad
