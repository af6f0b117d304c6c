"""What a service keeps of orders that are not its own, so that it never reads another's tables.

Shows: event-carried state. `remember` copies what a service will need from `OrderPlaced`; `recall`
gives it back when its turn has come, and says `Early` when the turn came first.

Guarantees: the first copy stays; a message that comes twice changes nothing. Leaves out: changes to
an order, and forgetting.

Source: Fowler 2017, "What do you mean by Event-Driven?" (event-carried state transfer).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Row, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.transactions import insert_if_new
from labkit.messaging.subscriber import Early

metadata = MetaData()
copies = Table(
    "order_copies",
    metadata,
    Column("service", String(64), primary_key=True),
    Column("reference", String(64), primary_key=True),
    Column("customer", String(64)),
    Column("country", String(2)),
    Column("cents", BigInteger),
)


async def remember(
    connection: AsyncConnection,
    service: str,
    order: str,
    *,
    customer: str | None = None,
    country: str | None = None,
    cents: int | None = None,
) -> None:
    """Keep these facts of the order for `service`."""
    row = {
        "service": service,
        "reference": order,
        "customer": customer,
        "country": country,
        "cents": cents,
    }
    await connection.execute(insert_if_new(copies).values(row))


async def recall(connection: AsyncConnection, service: str, order: str) -> Row[Any]:
    """What `service` has kept of the order. Raises `Early`: it has not heard of it yet."""
    mine = select(copies).where(copies.c.service == service, copies.c.reference == order)
    row = (await connection.execute(mine)).one_or_none()
    if row is None:
        raise Early(f"{service} has not heard of order {order!r} yet")
    return row
