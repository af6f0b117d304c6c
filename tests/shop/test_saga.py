"""The order service and its participants over HTTP: keys, refusals, problems, and what an operator
sees and does.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.retry import Retry
from labkit.sagas.orchestrator import Orchestrator
from labkit.sagas.routes import saga_routes
from labkit.shop.app import create_app
from labkit.shop.participants import create_payments_app, create_shipping_app, create_warehouse_app
from labkit.shop.saga import BySaga, order_saga
from tests.shop.saga_world import all_or_nothing, books, cart, open_everything, saga_of
from tests.support.engines import engine_on


class Hosts(httpx.AsyncBaseTransport):
    """Apps by host name."""

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await httpx.ASGITransport(self.apps[request.url.host]).handle_async_request(request)


class Town:
    """Every service on one database, and a client to which their names are hosts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine, self.now = engine, 1_000_000.0
        numbers, hosts = count(1), Hosts()
        self.apps = hosts.apps
        self.http = httpx.AsyncClient(transport=hosts)
        resources: dict[str, Any] = {
            "clock": lambda: self.now,
            "ids": lambda prefix: f"{prefix}{next(numbers)}",
        }
        saga = order_saga(self.http, clock=resources["clock"], retry=AT_ONCE)
        self.worker = Orchestrator(
            engine, [saga], rng=random.Random(1), owner="worker", **resources
        )
        self.apps["orders"] = app = create_app(BySaga(self.worker, 600.0), ids=resources["ids"])
        app.include_router(saga_routes(self.worker))
        for name, create in PARTICIPANTS.items():
            self.apps[name] = create(engine=engine, clock=resources["clock"])

    async def post(self, url: str, body: Any = None, key: str | None = None) -> httpx.Response:
        return await self.http.post(
            f"http://{url}", json=body, headers={} if key is None else {"Idempotency-Key": key}
        )

    async def get(self, url: str) -> Any:
        return (await self.http.get(f"http://{url}")).json()

    async def saga(self, location: str) -> Any:
        """The status of the saga of the order at `location`."""
        return await self.get(f"orders{saga_of(location)}")


PARTICIPANTS: dict[str, Any] = {
    "payments": create_payments_app,
    "warehouse": create_warehouse_app,
    "shipping": create_shipping_app,
}
AT_ONCE = Retry(attempts=2, first=0.0, most=0.0)


def in_town(url: str, scenario: Callable[[Town], Awaitable[None]]) -> None:
    async def act() -> None:
        async with engine_on(url) as engine:
            await open_everything(engine)
            town = Town(engine)
            async with town.http:
                await scenario(town)

    asyncio.run(act())


def answering(status: int, body: dict[str, Any] | None = None) -> Any:
    """An app that always says this."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [
            (b"content-type", b"application/problem+json" if body is not None else b"text/html")
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {
                "type": "http.response.body",
                "body": b"<p>" if body is None else json.dumps(body).encode(),
            }
        )

    return app


def test_an_order_is_accepted_at_once_and_its_location_says_what_became_of_it(
    database: str,
) -> None:
    async def scenario(town: Town) -> None:
        accepted = await town.post("orders/orders", cart())
        assert accepted.status_code == 202
        location = accepted.headers["Location"]
        assert accepted.json() == {
            "id": location.removeprefix("/orders/"),
            "customer": "ada",
            "country": "PT",
            "created_at": "1970-01-12T13:46:40Z",
            "lines": [
                {"sku": "mat", "quantity": 2, "unit_price_cents": 8900},
                {"sku": "tent", "quantity": 1, "unit_price_cents": 18900},
            ],
            "total_cents": 36700,
            "status": "pending",
            "reason": None,
        }
        assert await town.get(f"orders{location}") == accepted.json()
        assert (await town.saga(location))["status"] == "pending"
        await town.worker.recover()
        assert await town.get(f"orders{location}") == accepted.json() | {"status": "completed"}
        shown = await town.saga(location)
        assert shown["status"] == "completed"
        names = [
            "create_order",
            "reserve_stock",
            "charge_payment",
            "schedule_shipping",
            "complete_order",
        ]
        assert shown["steps"] == [{"name": name, "status": "completed"} for name in names]
        assert not all_or_nothing({**shown, **await books(town.engine)})
        assert [each["saga_id"] for each in await town.get("orders/sagas?status=completed")] == [
            shown["saga_id"]
        ]
        assert [fact["event"] for fact in await town.get(f"orders{saga_of(location)}/timeline")][
            :3
        ] == [
            "pending",
            "completed",
            "running",
        ]

    in_town(database, scenario)


@pytest.mark.parametrize(
    ("order", "reason", "undone"),
    [
        (
            cart(customer="poor"),
            "charge_payment: TurnedDown: 36700 cents declined for 'poor'",
            ["release_stock", "cancel_order"],
        ),
        (
            cart(country="XX"),
            "schedule_shipping: TurnedDown: no parcels to 'XX'",
            ["refund_payment", "release_stock", "cancel_order"],
        ),
        (
            {**cart(), "items": [{"sku": "tent", "quantity": 9}]},
            "reserve_stock: TurnedDown: 9 of 'tent' wanted, 3 available; "
            "nothing of this order was sold",
            ["cancel_order"],
        ),
    ],
    ids=["declined", "not served", "out of stock"],
)
def test_a_refused_order_says_why_and_what_was_undone(
    order: dict[str, Any], reason: str, undone: list[str], database: str
) -> None:
    async def scenario(town: Town) -> None:
        location = (await town.post("orders/orders", order)).headers["Location"]
        await town.worker.recover()
        shown = await town.saga(location)
        assert (shown["status"], shown["reason"]) == ("compensated", reason)
        now = await town.get(f"orders{location}")
        assert (now["status"], now["reason"]) == ("cancelled", reason)
        assert shown["compensations"] == [{"name": name, "status": "completed"} for name in undone]
        assert not all_or_nothing({**shown, **await books(town.engine)})

    in_town(database, scenario)


def test_an_order_of_an_unknown_sku_is_refused_at_once_and_starts_no_saga(database: str) -> None:
    async def scenario(town: Town) -> None:
        unknown = {**cart(), "items": [{"sku": "yurt", "quantity": 1}]}
        for key in (None, "k", "k"):
            answer = await town.post("orders/orders", unknown, key=key)
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-sku")
        assert await town.get("orders/sagas") == []
        assert (await books(town.engine))["orders"] == []

    in_town(database, scenario)


def test_a_saga_started_by_itself_creates_its_order_and_says_why_it_cannot(sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        for saga_id, sku in (("one", "mat"), ("two", "yurt")):
            wanted = {**cart(), "items": [{"sku": sku, "quantity": 1}]}
            await town.worker.start("order", wanted, saga_id=saga_id)
        await town.worker.recover()
        assert (await town.get("orders/orders/one"))["status"] == "completed"
        shown = await town.get("orders/sagas/two")
        reason = "create_order: UnknownSku: no SKU 'yurt'"
        assert (shown["status"], shown["reason"]) == ("compensated", reason)
        assert (await town.get("orders/orders/two"))["status"] == 404

    in_town(sqlite_url, scenario)


def test_what_costs_nothing_is_not_charged(sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        location = (
            await town.post(
                "orders/orders", {**cart(), "items": [{"sku": "leaflet", "quantity": 1}]}
            )
        ).headers["Location"]
        await town.worker.recover()
        assert (await town.saga(location))["status"] == "completed"
        assert (await books(town.engine))["accounts"] == [(0, 0), (0, 0)]

    in_town(sqlite_url, scenario)


@pytest.mark.parametrize(
    "address",
    [
        {"country": "PT", "planet": "Earth"},
        {"country": "PT", "street": "x" * 201},
        {"country": "PT", "street": "a\0b"},
        {"country": "PT", "street": "a\ud800b"},
        {"country": "PT", "street": 5},
    ],
)
def test_an_address_is_short_plain_text(address: dict[str, Any], sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        body = json.dumps({**BOOK, "address": address})  # ASCII: what is no Unicode gets through
        url, key = "http://shipping/parcels/book", {"Idempotency-Key": "k"}
        assert (await town.http.post(url, content=body, headers=key)).status_code == 422

    in_town(sqlite_url, scenario)


def test_the_same_key_is_the_same_order(sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        answers = [await town.post("orders/orders", cart(), key="k") for _ in range(3)]
        assert len({answer.headers["Location"] for answer in answers}) == 1
        await town.worker.recover()
        again = await town.post("orders/orders", cart(), key="k")
        assert (again.status_code, again.headers["Location"]) == (
            202,
            answers[0].headers["Location"],
        )
        assert not all_or_nothing({"status": "completed", **await books(town.engine)})
        other = await town.post("orders/orders", cart(country="ES"), key="k")
        assert (other.status_code, other.json()["type"]) == (
            422,
            "/problems/idempotency-key-reused",
        )

    in_town(sqlite_url, scenario)


def test_an_order_that_waited_too_long_is_cancelled(sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        location = (await town.post("orders/orders", cart())).headers["Location"]
        town.now += 601.0
        await town.worker.recover()
        shown = await town.saga(location)
        assert (shown["status"], shown["reason"]) == ("compensated", "the deadline passed")
        now = await town.get(f"orders{location}")
        assert (now["status"], now["reason"]) == ("cancelled", "the deadline passed")

    in_town(sqlite_url, scenario)


def test_operators_cancel_retry_and_resolve_over_http(sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        location = (await town.post("orders/orders", cart())).headers["Location"]
        assert (await town.post(f"orders{saga_of(location)}/cancel")).json()["status"] == "pending"
        await town.worker.recover()
        assert (await town.saga(location))["reason"] == "cancelled"
        for answer in (
            await town.post(f"orders{saga_of(location)}/retry"),
            await town.post(f"orders{saga_of(location)}/resolve", {"note": "x"}),
        ):
            assert (answer.status_code, answer.json()["type"]) == (409, "/problems/wrong-status")

        refuses = cart(country="XX")
        location = (await town.post("orders/orders", refuses)).headers["Location"]
        real = town.apps["warehouse"]
        town.apps["warehouse"] = refunding = Refunding(real)
        await town.worker.recover()
        assert (await town.get("orders/sagas?status=compensation_failed"))[0][
            "saga_id"
        ] == location.removeprefix("/orders/")
        refunding.broken = False
        assert (await town.post(f"orders{saga_of(location)}/retry")).json()[
            "status"
        ] == "compensating"
        await town.worker.recover()
        shown = await town.saga(location)
        assert not all_or_nothing({**shown, **await books(town.engine)})
        for note in (" ", "a\0b"):
            assert (
                await town.post(f"orders{saga_of(location)}/resolve", {"note": note})
            ).status_code == 422
        assert (await town.http.get("http://orders/sagas?after=%00")).status_code == 422
        assert (await town.post("orders/sagas/nobody/cancel")).status_code == 404

    in_town(sqlite_url, scenario)


class Refunding:
    """A warehouse that takes nothing back while it is broken."""

    def __init__(self, app: Any) -> None:
        self.app, self.broken = app, True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        broken = self.broken and scope["path"].endswith("/release")
        await (answering(503, {"outcome": "failed"}) if broken else self.app)(scope, receive, send)


@pytest.mark.parametrize(
    ("app", "step"),
    [
        (answering(500), {"status": "unknown", "attempts": 2, "error": "NotDone: answered 500"}),
        (
            answering(503, {"outcome": "failed"}),
            {"status": "failed", "attempts": 2, "error": "NotDone: answered 503"},
        ),
        (
            answering(503, {"outcome": "unknown"}),
            {"status": "unknown", "attempts": 2, "error": "NotDone: answered 503"},
        ),
        (answering(429), {"status": "unknown", "attempts": 2, "error": "NotDone: answered 429"}),
        (
            answering(403, {"type": "/problems/x", "detail": "Never."}),
            {"status": "failed", "error": "TurnedDown: Never"},
        ),
        (answering(404), {"status": "failed", "error": "TurnedDown: 404"}),
    ],
    ids=["500", "503 failed", "503 unknown", "429", "403", "404 without a problem"],
)
def test_what_a_participant_s_answer_means(app: Any, step: dict[str, Any], sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        real = town.apps["payments"]
        town.apps["payments"] = OnlyCharge(app, real)
        location = (await town.post("orders/orders", cart())).headers["Location"]
        await town.worker.recover()
        shown = await town.saga(location)
        assert shown["status"] == "compensated"
        assert shown["steps"][2] == {"name": "charge_payment", **step}
        refunded = "refund_payment" in [each["name"] for each in shown["compensations"]]
        assert refunded == (step["status"] == "unknown")

    in_town(sqlite_url, scenario)


class OnlyCharge:
    """One app for charges, another for the rest."""

    def __init__(self, charges: Any, rest: Any) -> None:
        self.charges, self.rest = charges, rest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await (self.charges if scope["path"].endswith("/charge") else self.rest)(
            scope, receive, send
        )


# -- the participants by themselves


CHARGE = {"reference": "o1", "customer": "ada", "cents": 500}
RESERVE = {"reference": "o1", "items": [{"sku": "tent", "quantity": 1}]}
BOOK = {"reference": "o1", "address": {"country": "PT", "street": "Rua 1"}}


def test_a_command_that_comes_twice_is_answered_alike_refusals_too(database: str) -> None:
    async def scenario(town: Town) -> None:
        commands = [
            ("payments/payments/charge", CHARGE, 200),
            ("payments/payments/charge", {**CHARGE, "reference": "o2", "customer": "poor"}, 402),
            ("warehouse/allocations/reserve", RESERVE, 200),
            (
                "warehouse/allocations/reserve",
                {**RESERVE, "reference": "o2", "items": [{"sku": "mat", "quantity": 99}]},
                409,
            ),
            ("shipping/parcels/book", BOOK, 200),
            ("shipping/parcels/book", {"reference": "o2", "address": {"country": "XX"}}, 409),
            ("shipping/parcels/cancel", {"reference": "o3"}, 200),
            ("shipping/parcels/book", {**BOOK, "reference": "o3"}, 410),
        ]
        for number, (url, body, status) in enumerate(commands):
            first, second = [await town.post(url, body, key=f"k{number}") for _ in range(2)]
            assert first.status_code == second.status_code == status, first.json()
            assert first.content == second.content
            assert (
                "Idempotent-Replayed" not in first.headers
                and second.headers["Idempotent-Replayed"] == "true"
            )
        async with town.engine.begin() as connection:
            await connection.execute(text("UPDATE accounts SET limit_cents = 1000000"))
        late = await town.post(commands[1][0], commands[1][1], key="k1")
        assert late.status_code == 402, "the answer to a key stays what it was"
        assert (await town.post(commands[1][0], commands[1][1], key="another")).status_code == 200
        assert (await books(town.engine))["accounts"] == [(500, 0), (500, 0)]

    in_town(database, scenario)


@pytest.mark.parametrize(
    ("url", "body", "key", "status"),
    [
        ("payments/payments/charge", CHARGE, None, 422),
        ("payments/payments/charge", CHARGE, "with space", 422),
        ("payments/payments/charge", {**CHARGE, "cents": 0}, "k", 422),
        ("payments/payments/charge", {**CHARGE, "cents": "5"}, "k", 422),
        ("payments/payments/charge", {**CHARGE, "extra": 1}, "k", 422),
        ("payments/payments/refund", {"reference": "a b"}, "k", 422),
        ("warehouse/allocations/reserve", {**RESERVE, "items": []}, "k", 422),
        (
            "shipping/parcels/book",
            {"reference": "o1", "address": {"country": "Portugal"}},
            "k",
            422,
        ),
    ],
)
def test_a_wrong_command_is_refused_and_changes_nothing(
    url: str, body: dict[str, Any], key: str | None, status: int, sqlite_url: str
) -> None:
    async def scenario(town: Town) -> None:
        before = await books(town.engine)
        answer = await town.post(url, body, key=key)
        assert answer.status_code == status and answer.json()["type"] == "/problems/invalid-request"
        assert await books(town.engine) == before

    in_town(sqlite_url, scenario)


def test_a_key_is_not_used_for_another_command(sqlite_url: str) -> None:
    async def scenario(town: Town) -> None:
        assert (await town.post("payments/payments/charge", CHARGE, key="k")).status_code == 200
        for url, body in (
            ("payments/payments/charge", {**CHARGE, "cents": 1}),
            ("payments/payments/refund", {"reference": "o1"}),
        ):
            answer = await town.post(url, body, key="k")
            assert (answer.status_code, answer.json()["type"]) == (
                422,
                "/problems/idempotency-key-reused",
            )
        assert (await books(town.engine))["accounts"][0] == (500, 0)

    in_town(sqlite_url, scenario)
