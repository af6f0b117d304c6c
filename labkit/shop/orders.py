"""An order: what was ordered, at which prices, and what became of it.

Shows: the one model of an order, its tables and its transitions. How an order is carried out
differs (`at_once`, `saga`, `choreography`); what an order is does not.

    pending ──> completed
       └──────> cancelled, with a reason

`pending` is a *semantic lock*: whoever reads the order meanwhile sees that it is not settled. Each
transition is a guarded UPDATE, so whoever comes second changes nothing and is told the status.

Guarantees, on any schedule: an order ends completed or cancelled, never both, and is never pending
again; its lines keep the prices at which they were sold; its total is their sum.

Leaves out: changing an order, cancelling a completed one, and the address beyond its country. The
models are strict: a quantity of "3", 3.0 or true is refused, and so is a field that is not known.

Source: Frank & Zahle 1998, "Semantic ACID properties in multidatabases using remote procedure calls
and update propagations"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base import idempotency
from labkit.base.errors import KeyReused, Withdrawn
from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    use_write_ahead_log,
)
from labkit.inventory.errors import UnknownSku
from labkit.inventory.stock import summed
from labkit.shop.catalogue import Product, metadata, prices, products

# -- the models

MAX_QUANTITY = 100
MAX_LINES = 50
COUNTRY = r"^[A-Z]{2}$"

Sku = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Stock keeping unit", examples=["tent-2p"]
    ),
]
Customer = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$", description="Customer id", examples=["ada"])
]
Country = Annotated[
    str, Field(pattern=COUNTRY, description="ISO 3166 code of the destination", examples=["PT"])
]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, description="How many")]
OrderId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Cents = Annotated[int, Field(ge=1, le=10**12)]
Status = Literal["pending", "completed", "cancelled"]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OrderItem(_Wire):
    """So many of one SKU. Two items of one SKU are summed."""

    sku: Sku
    quantity: Quantity


class OrderRequest(_Wire):
    """What a customer asks for: carried out as a whole, or not at all."""

    customer: Customer
    country: Country
    items: Annotated[list[OrderItem], Field(min_length=1, max_length=MAX_LINES)]


class OrderLine(_Wire):
    """One SKU of an order, at the price it is sold for."""

    sku: str
    quantity: int
    unit_price_cents: int


class Order(_Wire):
    """An order. `reason` says why it was cancelled, and is null otherwise."""

    id: str
    customer: str
    country: str
    created_at: datetime
    lines: list[OrderLine]
    total_cents: int
    status: Status
    reason: str | None


InTheSameTransaction = Callable[[AsyncConnection, Order], Awaitable[None]]
"""What else must be committed with an order, such as the answer to its Idempotency-Key."""

# -- the tables

orders = Table(
    "orders",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("country", String(2), nullable=False),
    Column("created_at", Double, nullable=False),  # seconds since 1970 (UTC)
    Column("total_cents", BigInteger, nullable=False),
    Column("status", String(9), nullable=False),
    Column("reason", Text),
    CheckConstraint("status IN ('pending', 'completed', 'cancelled')", name="order_status"),
    CheckConstraint("(status = 'cancelled') = (reason IS NOT NULL)", name="order_reason"),
    CheckConstraint("total_cents >= 0", name="order_total_not_negative"),
)
order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", String(64), ForeignKey("orders.id"), primary_key=True),
    Column("sku", String(64), ForeignKey("products.sku"), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_cents", Integer, nullable=False),
    CheckConstraint("quantity > 0", name="quantity_positive"),
)
order_notes = Table(
    "order_notes",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("note", String(64), primary_key=True),
    Column("at", Double, nullable=False),
)


async def open_orders(engine: AsyncEngine, catalogue: Iterable[Product]) -> None:
    """Create the tables of catalogue, orders and idempotency keys where they are missing, and put
    these products into the catalogue. A product that is there keeps its name and its price.
    """
    rows = [
        {"sku": product.sku, "name": product.name, "price_cents": product.price_cents}
        for product in catalogue
    ]
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata, idempotency.metadata)
        if rows:
            await connection.execute(insert_if_new(products), rows)


# -- what can be done with an order


async def create(
    connection: AsyncConnection,
    order_id: str,
    request: OrderRequest,
    at: float,
    status: Literal["pending", "completed"] = "pending",
) -> tuple[Order, bool]:
    """Write the order down, created `at` seconds since 1970, at the prices of the catalogue.

    Returns the order, and whether it is new: placed again under its id, it is returned as it is
    and nothing changes. Raises `UnknownSku`, or `KeyReused` when the id is that of another order;
    nothing was written."""
    demand = summed((item.sku, item.quantity) for item in request.items)
    price_of = await prices(connection, demand)
    for sku in demand:
        if sku not in price_of:
            raise UnknownSku(sku)
    lines = [
        OrderLine(sku=sku, quantity=quantity, unit_price_cents=price_of[sku])
        for sku, quantity in demand.items()
    ]
    order = Order(
        id=order_id,
        customer=request.customer,
        country=request.country,
        created_at=datetime.fromtimestamp(at, UTC),
        lines=lines,
        total_cents=sum(line.quantity * line.unit_price_cents for line in lines),
        status=status,
        reason=None,
    )
    head = order.model_dump(exclude={"lines"}) | {"created_at": order.created_at.timestamp()}
    if not (await connection.execute(insert_if_new(orders).values(head))).rowcount:
        return await _placed_before(connection, order), False
    rows = [{"order_id": order_id, **line.model_dump()} for line in lines]
    await connection.execute(insert(order_lines), rows)
    return order, True


async def find(connection: AsyncConnection, order_id: str) -> Order | None:
    """The order of this id, as it is now; None when there is none."""
    head = (await connection.execute(select(orders).where(orders.c.id == order_id))).one_or_none()
    if head is None:
        return None
    lines = await connection.execute(select(order_lines).where(order_lines.c.order_id == order_id))
    return Order(
        id=head.id,
        customer=head.customer,
        country=head.country,
        created_at=datetime.fromtimestamp(head.created_at, UTC),
        lines=[
            OrderLine(sku=line.sku, quantity=line.quantity, unit_price_cents=line.unit_price_cents)
            for line in sorted(lines, key=lambda line: line.sku)  # Python's order, as in `create`
        ],
        total_cents=head.total_cents,
        status=head.status,
        reason=head.reason,
    )


async def complete(connection: AsyncConnection, order_id: str) -> dict[str, Any]:
    """Complete a pending order; a completed one stays as it is. Raises `Withdrawn`: it was
    cancelled before, or never placed.
    """
    await _turn(connection, order_id, "completed", None)
    if (now := await status_of(connection, order_id)) != "completed":
        raise Withdrawn(order_id)
    return {"order": order_id, "status": now}


async def cancel(connection: AsyncConnection, order_id: str, reason: str) -> dict[str, Any]:
    """Cancel a pending order. A completed one stays completed, and a cancelled one keeps its first
    reason, as the answer says. The status of an order that was never placed is None.
    """
    await _turn(connection, order_id, "cancelled", reason)
    return {"order": order_id, "status": await status_of(connection, order_id)}


async def status_of(connection: AsyncConnection, order_id: str) -> Status | None:
    """The status of the order; None when there is none of this id."""
    found: Status | None = await connection.scalar(
        select(orders.c.status).where(orders.c.id == order_id)
    )
    return found


async def note(connection: AsyncConnection, order_id: str, what: str, at: float) -> None:
    """Keep that this happened to the order, `at` seconds since 1970. The first note of it stays."""
    await connection.execute(insert_if_new(order_notes).values(order_id=order_id, note=what, at=at))


async def notes_of(connection: AsyncConnection, order_id: str) -> list[str]:
    """What was noted of the order, sorted by name."""
    found = select(order_notes.c.note).where(order_notes.c.order_id == order_id)
    return list((await connection.scalars(found.order_by(order_notes.c.note))).all())


async def _turn(connection: AsyncConnection, order_id: str, to: Status, reason: str | None) -> None:
    pending = update(orders).where(orders.c.id == order_id, orders.c.status == "pending")
    await connection.execute(pending.values(status=to, reason=reason))


async def _placed_before(connection: AsyncConnection, wanted: Order) -> Order:
    """The order that has this id already. Prices may have changed since, the rest may not."""
    found = await find(connection, wanted.id)
    assert found is not None  # the INSERT met its row
    if _asked_for(found) != _asked_for(wanted):
        raise KeyReused(f"order {wanted.id!r} is another one, placed by {found.customer!r}")
    return found


def _asked_for(order: Order) -> tuple[str, str, dict[str, int]]:
    return order.customer, order.country, {line.sku: line.quantity for line in order.lines}
