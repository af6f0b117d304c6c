"""The catalogue: what the shop sells, read from `data/catalogue.json`, and the database filled with
it.

`await open_shop(engine, catalogue())` creates every table a chapter needs and stocks the shelves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import idempotency
from labkit.base.transactions import begin_immediate, create_tables, use_write_ahead_log
from labkit.inventory.stock import create_inventory
from labkit.shop import tables

CATALOGUE = Path(__file__).resolve().parents[2] / "data" / "catalogue.json"


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


def catalogue(path: Path = CATALOGUE) -> tuple[Product, ...]:
    """The products in a catalogue file, in its order."""
    return tuple(Product(**row) for row in json.loads(path.read_text(encoding="utf-8")))


async def open_shop(engine: AsyncEngine, products: Iterable[Product]) -> None:
    """Create the shop's tables where they are missing, and put these products into catalogue and
    inventory.
    """
    shelf = tuple(products)
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, tables.metadata, idempotency.metadata)
        if shelf:
            rows = [
                {"sku": product.sku, "name": product.name, "price_cents": product.price_cents}
                for product in shelf
            ]
            await connection.execute(insert(tables.products), rows)
    await create_inventory(engine, {product.sku: product.stock for product in shelf})
