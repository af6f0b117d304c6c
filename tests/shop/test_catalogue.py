"""The catalogue on file is one the shop can sell from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import TypeAdapter

from labkit.shop.at_once import open_shop
from labkit.shop.catalogue import Product, read_catalogue
from labkit.shop.orders import Sku
from tests.shop.shops import Shop, cart
from tests.support.engines import engine_on


def test_every_product_on_file_is_for_sale_once_the_shop_is_open(database: str) -> None:
    async def scenario() -> None:
        async with engine_on(database) as engine:
            await open_shop(engine, read_catalogue())
            shop = Shop(engine, None)
            for product in read_catalogue():
                shown = (await shop.client.get(f"/products/{product.sku}")).json()
                assert Product(**shown) == product
                body = cart((product.sku, 1))
                assert (await shop.order(body)).json()["total_cents"] == product.price_cents

    asyncio.run(scenario())


def test_every_sku_on_file_is_unique_and_well_formed() -> None:
    skus = [product.sku for product in read_catalogue()]
    assert len(set(skus)) == len(skus) == 12
    for sku in skus:
        TypeAdapter(Sku).validate_python(sku)


@pytest.mark.parametrize(
    ("field", "value"), [("price_cents", -1), ("stock", -1), ("price_cents", 9.99), ("sku", "")]
)
def test_a_product_that_makes_no_sense_is_refused(field: str, value: Any) -> None:
    facts: dict[str, Any] = {
        "sku": "tent",
        "name": "Tent",
        "price_cents": 1,
        "stock": 1,
        field: value,
    }
    with pytest.raises(ValueError, match=field):
        Product(**facts)
