"""The order service on SQLite and on PostgreSQL: what it sells, what it refuses, and how it says
so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from labkit.shop.problems import Problem
from tests.shop.shops import ONE_TENT, Shop, cart, in_shop
from tests.support.engines import lost_commit, sqlite_threads_have_ended


def assert_problem(
    answer: httpx.Response, status: int, kind: str, **members: Any
) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    body: dict[str, Any] = answer.json()
    Problem.model_validate(body)
    assert (body["type"], body["status"]) == (f"/problems/{kind}", status)
    assert {name: body[name] for name in members} == members
    assert body["title"] and body["detail"]
    return body


def test_an_order_is_placed_and_can_be_read_again(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        placed = await shop.order(cart(("tent", 2), ("mat", 1), ("tent", 1)))
        assert (placed.status_code, placed.headers["location"]) == (201, "/orders/order-1")
        assert placed.json() == {
            "id": "order-1",
            "customer": "ada",
            "country": "PT",
            "created_at": "2023-11-14T22:13:20.250000Z",
            "lines": [
                {"sku": "mat", "quantity": 1, "unit_price_cents": 8900},
                {"sku": "tent", "quantity": 3, "unit_price_cents": 18900},
            ],
            "total_cents": 65600,
            "status": "completed",
            "reason": None,
        }
        read = await shop.client.get(placed.headers["location"])
        assert (read.status_code, read.content) == (200, placed.content)
        product = await shop.client.get("/products/tent")
        assert product.json() == {"sku": "tent", "name": "Tent", "price_cents": 18900, "stock": 7}

    in_shop(database, scenario)


def test_fifty_orders_at_once_for_ten_units_sell_exactly_ten(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        answers = await asyncio.gather(*(shop.order() for _ in range(50)))
        assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}
        assert (
            len({answer.headers["location"] for answer in answers if answer.status_code == 201})
            == 10
        )
        assert await shop.books() == {"tent": (10, 0, 10), "mat": (5, 5, 0), "mug": (0, 0, 0)}

    in_shop(database, scenario, within=60.0)


def test_what_cannot_be_sold_is_refused_with_what_there_is_and_nothing_is_sold(
    database: str,
) -> None:
    async def scenario(shop: Shop) -> None:
        short = await shop.order(cart(("mat", 3), ("tent", 6), ("tent", 5)))
        body = assert_problem(short, 409, "insufficient-stock", sku="tent", wanted=11, available=10)
        assert (
            body["detail"] == "11 of 'tent' wanted, 10 available; nothing of this order was sold."
        )
        assert_problem(
            await shop.order(cart(("mat", 1), ("yacht", 1))), 404, "unknown-sku", sku="yacht"
        )
        assert (await shop.stock("mat"), await shop.stock("tent")) == (5, 10)

    in_shop(database, scenario)


def test_what_does_not_exist_is_not_found(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        assert_problem(await shop.client.get("/orders/order-9"), 404, "not-found")
        assert_problem(await shop.client.get("/products/yacht"), 404, "not-found")
        assert_problem(await shop.client.get("/nowhere"), 404, "http")
        assert_problem(await shop.client.delete("/orders"), 405, "http")

    in_shop(database, scenario)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**ONE_TENT, "items": [{"sku": "tent", "quantity": 0}]}, "body.items.0.quantity"),
        ({**ONE_TENT, "items": [{"sku": "tent", "quantity": -3}]}, "body.items.0.quantity"),
        ({**ONE_TENT, "items": [{"sku": "tent", "quantity": 101}]}, "body.items.0.quantity"),
        ({**ONE_TENT, "items": [{"sku": "tent", "quantity": "1"}]}, "body.items.0.quantity"),
        ({**ONE_TENT, "items": [{"sku": "tent", "quantity": True}]}, "body.items.0.quantity"),
        ({**ONE_TENT, "items": [{"sku": "TENT\x00", "quantity": 1}]}, "body.items.0.sku"),
        ({**ONE_TENT, "items": []}, "body.items"),
        ({**ONE_TENT, "items": [{"sku": "tent", "quantity": 1}] * 51}, "body.items"),
        ({**ONE_TENT, "customer": ""}, "body.customer"),
        ({**ONE_TENT, "discount": 100}, "body.discount"),
        ({"items": ONE_TENT["items"], "country": "PT"}, "body.customer"),
        ({"items": ONE_TENT["items"], "customer": "ada"}, "body.country"),
        ({**ONE_TENT, "country": "pt"}, "body.country"),
        ({**ONE_TENT, "country": "PRT"}, "body.country"),
    ],
)
def test_an_invalid_order_is_told_which_field_and_what_is_allowed(
    sqlite_url: str, body: Any, field: str
) -> None:
    async def scenario(shop: Shop) -> None:
        (error,) = assert_problem(await shop.order(body), 422, "invalid-request")["errors"]
        assert error["field"] == field and error["value"] and error["allowed"]
        assert await shop.stock() == 10

    in_shop(sqlite_url, scenario)


def test_an_invalid_key_or_id_is_told_so(sqlite_url: str) -> None:
    async def scenario(shop: Shop) -> None:
        for key in ("", "two words", "k" * 256):
            (error,) = assert_problem(await shop.order(key=key), 422, "invalid-request")["errors"]
            assert error["field"] == "header.Idempotency-Key"
        assert_problem(await shop.client.get("/products/%00"), 422, "invalid-request")
        assert_problem(await shop.client.get("/orders/%00"), 422, "invalid-request")

    in_shop(sqlite_url, scenario)


def test_without_a_database_the_answer_is_503_and_says_that_nothing_happened(
    tmp_path: Path,
) -> None:
    async def scenario(url: str) -> None:
        engine = create_async_engine(url)
        shop = Shop(engine, None)
        for answer in (
            await shop.order(),
            await shop.order(key="k"),
            await shop.client.get("/products/tent"),
        ):
            body = assert_problem(answer, 503, "unavailable", outcome="failed")
            assert int(answer.headers["retry-after"]) >= 1
            assert str(tmp_path) not in answer.text and "sqlite" not in answer.text.lower(), body
        await engine.dispose()
        await sqlite_threads_have_ended()

    asyncio.run(scenario(f"sqlite+aiosqlite:///{tmp_path}/no/such/directory/shop.db"))
    asyncio.run(scenario(f"postgresql+asyncpg://postgres@/postgres?host={tmp_path}"))


def test_a_commit_without_an_answer_is_503_and_says_that_it_is_unknown(database: str) -> None:
    async def scenario(shop: Shop) -> None:
        with lost_commit(shop.engine):
            assert_problem(await shop.order(), 503, "unavailable", outcome="unknown")
        assert (await shop.order()).status_code == 201
        assert await shop.stock() == 8, (
            "without a key the retry of a sale that had happened sells again"
        )

    in_shop(database, scenario)


def test_a_mistake_of_ours_is_500_and_does_not_leak(sqlite_url: str) -> None:
    async def scenario(shop: Shop) -> None:
        async with shop.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE orders RENAME TO elsewhere")
        transport = httpx.ASGITransport(shop.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            answer = await client.post("/orders", json=ONE_TENT)
        assert_problem(answer, 500, "internal")
        assert "orders" not in answer.text.lower() and "sql" not in answer.text.lower()
        async with shop.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO orders")
        assert await shop.stock() == 10

    in_shop(sqlite_url, scenario)


def test_the_openapi_document_describes_every_problem(sqlite_url: str) -> None:
    async def scenario(shop: Shop) -> None:
        document = (await shop.client.get("/openapi.json")).json()
        statuses = {}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                assert operation["description"]
                responses = operation["responses"]
                statuses[f"{method} {path}"] = " ".join(sorted(responses))
                for status, response in responses.items():
                    kind = (
                        "application/json" if status.startswith("2") else "application/problem+json"
                    )
                    assert list(response["content"]) == [kind] and response["description"]
        assert statuses == {
            "post /orders": "201 202 400 404 409 422 503",
            "get /orders/{order_id}": "200 404 422 503",
            "get /products/{sku}": "200 404 422 503",
        }
        assert [
            parameter["name"] for parameter in document["paths"]["/orders"]["post"]["parameters"]
        ] == ["Idempotency-Key"]

    in_shop(sqlite_url, scenario)


@pytest.mark.parametrize("option", ["within", "claim_for"])
def test_a_time_limit_that_is_none_is_refused(sqlite_url: str, option: str) -> None:
    engine = create_async_engine(sqlite_url)
    with pytest.raises(ValueError, match=f"{option} must be more than 0 seconds and finite, got 0"):
        Shop(engine, None, **{option: 0})
