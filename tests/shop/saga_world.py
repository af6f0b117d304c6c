"""The order saga in the simulated world: a service, workers and three participants, each on a node,
and how it all ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.retry import Retry
from labkit.sagas import Orchestrator, create_sagas, saga_routes
from labkit.shop.app import create_app
from labkit.shop.catalogue import Product
from labkit.shop.orders import open_orders
from labkit.shop.participants import create_payments_app, create_shipping_app, create_warehouse_app
from labkit.shop.payments import open_payments
from labkit.shop.saga import BySaga, order_saga
from labkit.shop.shipping import open_shipping
from labkit.shop.warehouse import open_warehouse
from labkit.world import ASGIApp, World

PRICES = {"tent": 18900, "mat": 8900, "leaflet": 0}
STOCK = {"tent": 3, "mat": 5, "leaflet": 9}
LEASE = 2.0
HASTY = Retry(attempts=4, first=0.2, most=1.0)
ENDS = {"completed": "completed", "compensated": "cancelled"}
"""What the saga's status means for the order."""
RESTING = ("completed", "compensated", "compensation_failed", "stuck")


def cart(customer: str = "ada", country: str = "PT") -> dict[str, Any]:
    items = [{"sku": "tent", "quantity": 1}, {"sku": "mat", "quantity": 2}]
    return {"customer": customer, "country": country, "items": items}


async def open_everything(engine: AsyncEngine) -> None:
    await create_sagas(engine)
    await open_orders(engine, [Product(sku, sku, cents, 0) for sku, cents in PRICES.items()])
    await open_payments(engine, {"ada": 100_000_00, "poor": 1})
    await open_warehouse(engine, STOCK)
    await open_shipping(engine, ["PT", "ES"])


def telling(app: ASGIApp, world: World) -> ASGIApp:
    """The app, which records an event when a command is done, before the answer leaves."""

    async def tell(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                world.record("effect", path=scope["path"])
            await send(message)

        await app(scope, receive, note)

    return tell


def without_inbox(app: ASGIApp, ids: Callable[[str], str]) -> ASGIApp:
    """The app as if it had no inbox and knew no order again: every request is a new one."""

    async def forget(scope: Any, receive: Any, send: Any) -> None:
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name not in (b"idempotency-key", b"content-length")
        ]
        scope = {**scope, "headers": [*headers, (b"idempotency-key", ids("key-").encode())]}

        async def rename() -> Any:
            message = await receive()
            return {
                **message,
                "body": message["body"].replace(
                    b'"reference":"', f'"reference":"{ids("again-")}'.encode()
                ),
            }

        await app(scope, rename, send)

    return forget


async def orders(
    world: World,
    customer: str = "ada",
    country: str = "PT",
    workers: int = 1,
    inbox: bool = True,
    patience: float | None = None,
    retry: Retry | None = HASTY,
) -> dict[str, Any]:
    """One order, sent until it is answered, and driven by the workers; returns how it ended."""
    await open_everything(world.database())

    def orchestrator() -> Orchestrator:
        saga = order_saga(world.http(), clock=world.clock, retry=retry, timeout=1.0)
        owner = world.new_id("worker-")
        resources = {"clock": world.clock, "ids": world.new_id, "rng": world.rng}
        return Orchestrator(
            world.database(),
            [saga],
            owner=owner,
            lease=LEASE,
            within=1.0,
            observe=world.record,
            **resources,
        )

    async def serve(name: str, create: Any) -> None:
        app = telling(create(engine=world.database(), clock=world.clock, within=1.0), world)
        world.serve(name, app if inbox else without_inbox(app, world.new_id))

    async def serve_orders() -> None:
        made = orchestrator()
        app = create_app(BySaga(made, patience), ids=world.new_id, claim_for=4.0)
        app.include_router(saga_routes(made))
        world.serve("orders", app)

    async def work() -> None:
        await orchestrator().work(poll=0.5)

    async def client() -> str:
        http = world.http(timeout=2.0)
        while True:
            try:
                body, key = cart(customer, country), {"Idempotency-Key": "one"}
                answer = await http.post("http://orders/orders", json=body, headers=key)
                if answer.status_code == 202:
                    return answer.headers["Location"]
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.5)

    for name, create in (
        ("warehouse", create_warehouse_app),
        ("payments", create_payments_app),
        ("shipping", create_shipping_app),
    ):
        world.node(name).boot(serve, name, create)
    world.node("orders").boot(serve_orders)
    await asyncio.sleep(0.01)
    for number in range(workers):
        world.node(f"worker{number}").boot(work)
    (location,) = await world.join(world.node("client").start(client))
    status: dict[str, Any] = {"status": "never looked"}
    while status["status"] not in RESTING and world.now() < 120:
        await asyncio.sleep(1.0)
        async with world.http(timeout=2.0) as http:
            status = (await http.get(f"http://orders{saga_of(location)}")).json()
    await asyncio.sleep(4.0)  # what is late arrives
    async with world.http(timeout=2.0) as http:
        order = (await http.get(f"http://orders{location}")).json()
    return {**status, "order": order["status"], **await books(world.database())}


def saga_of(location: str) -> str:
    """The path of an order's saga, which has the order's id."""
    return location.replace("/orders/", "/sagas/")


async def books(engine: AsyncEngine) -> dict[str, Any]:
    """What really happened, counted with plain SQL."""
    queries = {
        "stock": "SELECT sku, stock FROM inventory ORDER BY sku",
        "accounts": "SELECT charged_cents, refunded_cents FROM accounts ORDER BY customer",
        "parcels": "SELECT state, count(*) FROM parcels GROUP BY state ORDER BY state",
        "orders": "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status",
    }
    async with engine.connect() as connection:
        return {
            name: [tuple(row) for row in await connection.execute(text(query))]
            for name, query in queries.items()
        }


def all_or_nothing(end: dict[str, Any]) -> str:
    """What is wrong with how it ended; nothing is "" ."""
    total = PRICES["tent"] + 2 * PRICES["mat"]
    (charged, refunded), _ = end["accounts"]
    stock, parcels, orders = dict(end["stock"]), dict(end["parcels"]), dict(end["orders"])
    if end["status"] == "completed":
        right = (charged, refunded, stock) == (total, 0, {**STOCK, "tent": 2, "mat": 3})
        right = right and parcels == {"booked": 1} and orders == {"completed": 1}
    elif end["status"] == "compensated":
        right = charged == refunded and charged in (0, total) and stock == STOCK
        right = right and "booked" not in parcels and orders.keys() == {"cancelled"}
    else:
        right = False
    if "order" in end:  # what GET /orders/{id} answers
        right = right and ENDS[end["status"]] == end["order"]
    if right:
        return ""
    why = f"{end['status']} ({end.get('reason')}): {end.get('order')} "
    return why + f"{charged=} {refunded=} {stock=} {parcels=} {orders=}"
