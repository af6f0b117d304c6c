"""What crosses the wire of the order service, as pydantic models, and the types that it shares with
the participants and the events: bounds are part of the type, and of the OpenAPI document, and each
is written here only.

Strict: a quantity of "3", 3.0 or true is refused, not guessed at; a field that is not known is
refused, not dropped."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, description="How many")]
OrderId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Cents = Annotated[int, Field(ge=1, le=10**12)]
Country = Annotated[str, Field(pattern=COUNTRY)]
IdempotencyKey = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OrderItem(_Wire):
    """So many of one SKU. Two items of one SKU are summed."""

    sku: Sku
    quantity: Quantity


class OrderRequest(_Wire):
    """A cart: sold as a whole, or not at all."""

    items: Annotated[list[OrderItem], Field(min_length=1, max_length=MAX_LINES)]
    customer: Customer


class OrderLine(_Wire):
    """One SKU of an order, at the price it was sold for."""

    sku: str
    quantity: int
    unit_price_cents: int


class Order(_Wire):
    """An order that was placed: its stock has been taken."""

    id: str
    customer: str
    created_at: datetime
    lines: list[OrderLine]
    total_cents: int


class ProductView(_Wire):
    """A product with what is in stock at this moment."""

    sku: str
    name: str
    price_cents: int
    stock: int


class Problem(BaseModel):
    """An error, as RFC 9457 has it. Members beyond these say what the client can do about it."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[
        str,
        Field(description="Names the kind of problem", examples=["/problems/insufficient-stock"]),
    ]
    title: str
    status: int
    detail: str
    sku: str | None = None
    wanted: int | None = None
    available: Annotated[
        int | None, Field(description="How many a read just after the refusal saw")
    ] = None
    outcome: Annotated[
        Literal["failed", "unknown"] | None,
        Field(
            description="Did it happen? failed: definitely not. unknown: repeat with the same Idempotency-Key to find out"
        ),
    ] = None
    errors: Annotated[
        list[dict[str, Any]] | None,
        Field(description="field, value and what is allowed, for each invalid field"),
    ] = None
