"""What is left when one mechanism is taken away: other objects in the same wiring, and trades that
have nothing of their own.

The shop's own trades know an order by its reference, do it once and leave tombstones: with them a
second delivery does nothing even without an inbox. These here do what they are told each time, as a
gateway or a counter does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.observe import Observe, ignore
from labkit.inventory.stock import inventory, summed, take_all
from labkit.messaging import Bus, Catalog, Envelope, Subscriber
from labkit.messaging.envelope import Cause
from labkit.messaging.subscriber import Handled
from labkit.shop import payments, shipping, warehouse
from labkit.shop.payments import Declined, accounts
from labkit.shop.shipping import NotServed


class NoInbox:
    """Everything is new."""

    async def first(self, connection: AsyncConnection, message_id: str) -> bool:
        return True


class NoOutbox:
    """Says it on the bus: at once, while the transaction is open, or when `flush` is called after
    it.
    """

    def __init__(
        self,
        source: str,
        catalog: Catalog,
        bus: Bus,
        *,
        clock: Callable[[], float],
        ids: Callable[[str], str],
        at_once: bool,
        observe: Observe = ignore,
    ) -> None:
        self.source, self.catalog, self.bus, self.clock, self.ids = source, catalog, bus, clock, ids
        self.at_once, self.observe = at_once, observe
        self.held: list[str] = []

    async def add(
        self, connection: AsyncConnection, event: Any, *, aggregate: str, cause: Cause | None = None
    ) -> Envelope:
        identity = self.ids("event-")
        correlation, causation = (
            (identity, None) if cause is None else (cause.correlation, cause.id)
        )
        made = Envelope(
            identity, self.source, aggregate, 1, correlation, causation, self.clock(), event
        )
        self.held.append(self.catalog.encode(made))
        if self.at_once:
            await self.flush()
        return made

    async def flush(self) -> None:
        while self.held:
            await self.bus.publish(self.held[0])
            self.observe("said directly", wire=self.held.pop(0))


class DualWriter(Subscriber):
    """Commits, and publishes after that."""

    def __init__(self, *args: Any, outbox: NoOutbox, **options: Any) -> None:
        super().__init__(*args, outbox=outbox, **options)
        self.direct = outbox

    async def receive(self, wire: str | bytes) -> Handled:
        self.direct.held.clear()
        handled = await super().receive(wire)
        await self.direct.flush()
        return handled


class EachTime:
    """`warehouse`, `payments` and `shipping` in one, without references: each call does it, however
    often it comes.
    """

    async def reserve(
        self, connection: AsyncConnection, reference: str, lines: Iterable[tuple[str, int]]
    ) -> dict[str, Any]:
        async with connection.begin_nested():
            demand = summed(lines)
            await take_all(connection, demand)
        await connection.execute(
            text("INSERT INTO allocations VALUES (:r, 'reserved') ON CONFLICT DO NOTHING"),
            {"r": reference},
        )
        for sku, quantity in demand.items():
            row = {"r": reference, "s": sku, "q": quantity}
            await connection.execute(
                text("INSERT INTO allocation_lines VALUES (:r, :s, :q) ON CONFLICT DO NOTHING"), row
            )
        return {}

    async def release(self, connection: AsyncConnection, reference: str) -> dict[str, Any]:
        lines = select(warehouse.allocation_lines).where(
            warehouse.allocation_lines.c.reference == reference
        )
        released = {
            row.sku: row.quantity for row in await connection.execute(lines.order_by("sku"))
        }
        for sku, quantity in released.items():
            shelf = update(inventory).where(inventory.c.sku == sku)
            await connection.execute(shelf.values(stock=inventory.c.stock + quantity))
        await _set(connection, "allocations", reference, "released")
        return {"released": released}

    async def charge(
        self, connection: AsyncConnection, reference: str, customer: str, cents: int
    ) -> dict[str, Any]:
        account = update(accounts).where(accounts.c.customer == customer)
        try:
            async with connection.begin_nested():
                await connection.execute(
                    account.values(charged_cents=accounts.c.charged_cents + cents)
                )
        except Exception as error:  # the CHECK on the limit
            raise Declined(customer, cents) from error
        row = {"r": reference, "c": customer, "n": cents}
        await connection.execute(
            text("INSERT INTO payments VALUES (:r, :c, :n, 'charged') ON CONFLICT DO NOTHING"), row
        )
        return {}

    async def refund(self, connection: AsyncConnection, reference: str) -> dict[str, Any]:
        found = (
            await connection.execute(
                select(payments.payments).where(payments.payments.c.reference == reference)
            )
        ).first()
        if found is None:
            return {"refunded_cents": 0}
        account = update(accounts).where(accounts.c.customer == found.customer)
        await connection.execute(
            account.values(refunded_cents=accounts.c.refunded_cents + found.cents)
        )
        await _set(connection, "payments", reference, "refunded")
        return {"refunded_cents": found.cents}

    async def book(
        self, connection: AsyncConnection, reference: str, address: Mapping[str, Any]
    ) -> dict[str, Any]:
        country = address["country"]
        if (
            await connection.scalar(
                select(shipping.countries).where(shipping.countries.c.country == country)
            )
            is None
        ):
            raise NotServed(country)
        row = {"r": reference, "c": country}
        await connection.execute(
            text("INSERT INTO parcels VALUES (:r, :c, 'booked') ON CONFLICT DO NOTHING"), row
        )
        return {"parcel": f"parcel-{reference}"}

    async def cancel(self, connection: AsyncConnection, reference: str) -> dict[str, Any]:
        await _set(connection, "parcels", reference, "cancelled")
        return {}


async def _set(connection: AsyncConnection, table: str, reference: str, state: str) -> None:
    await connection.execute(
        text(f"UPDATE {table} SET state = :s WHERE reference = :r"), {"s": state, "r": reference}
    )


EACH_TIME = {"shelves": EachTime(), "money": EachTime(), "parcels": EachTime()}
