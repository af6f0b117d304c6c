"""The catalogue: what the shop sells and for how much, read from `data/catalogue.json`.

How many of a product are in stock is the warehouse's matter (`labkit.inventory`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Row, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

CATALOGUE = Path(__file__).resolve().parents[2] / "data" / "catalogue.json"

metadata = MetaData()
products = Table(
    "products",
    metadata,
    Column("sku", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("price_cents", Integer, nullable=False),
    CheckConstraint("price_cents >= 0", name="price_not_negative"),
)


@dataclass(frozen=True)
class Product:
    """Something for sale: `price_cents` each, `stock` of it on the shelf at the start."""

    sku: str
    name: str
    price_cents: int
    stock: int

    def __post_init__(self) -> None:
        if not self.sku:
            raise ValueError("sku must not be empty")
        for field in ("price_cents", "stock"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 0:
                raise ValueError(
                    f"{field} of {self.sku!r} must be a whole number of at least 0, got {value!r}"
                )


def read_catalogue(path: Path = CATALOGUE) -> tuple[Product, ...]:
    """The products in a catalogue file, in the file's sequence."""
    return tuple(Product(**row) for row in json.loads(path.read_text(encoding="utf-8")))


async def product(connection: AsyncConnection, sku: str) -> Row[Any] | None:
    """Its sku, name and price_cents; None when it is not in the catalogue."""
    return (await connection.execute(select(products).where(products.c.sku == sku))).one_or_none()


async def prices(connection: AsyncConnection, skus: Iterable[str]) -> dict[str, int]:
    """The price of each of these SKUs, in cents. One that is not in the catalogue is missing."""
    found = await connection.execute(
        select(products.c.sku, products.c.price_cents).where(products.c.sku.in_(list(skus)))
    )
    return {row.sku: row.price_cents for row in found}
