"""The order service: `POST /orders`, `GET /orders/{id}`, `GET /products/{sku}`.

Shows: `create_app(engine=…, clock=…, ids=…, locks=…)` makes a FastAPI app that owns nothing: its
database, lock manager, clock and id factory are handed in and closed by whoever made them. With
`locks` it is the CP service (no lock server, no sale); without, the database alone decides.

Guarantees: a repeated `Idempotency-Key` sells once and replays the first answer, refusals (404,
409) included; an answer of 503 or 422 is never stored, so the key can be used again. Without a key,
a lost answer cannot be told from a lost request.

Leaves out: authentication (so keys are not scoped by account), rate limits, payment.

Source: Stripe API, "Idempotent requests"; RFC 9110 (201 and Location, Retry-After); RFC 9457
(problem details)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import DatabaseUnavailable
from labkit.base.idempotency import Answer, IdempotencyKeys
from labkit.base.transactions import begin_immediate
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.shop.models import (
    IdempotencyKey,
    Order,
    OrderId,
    OrderRequest,
    Problem,
    ProductView,
    Sku,
)
from labkit.shop.orders import Locks, OrderDesk
from labkit.shop.problems import PROBLEM_JSON, NotFound, install, problem_of, to_response

Key = Annotated[
    IdempotencyKey | None,
    Header(
        alias="Idempotency-Key",
        description="Chosen by the client, one per order it means to place; repeat it when the answer was lost.",
    ),
]
OrderPath = Annotated[OrderId, Path()]
SkuPath = Annotated[Sku, Path()]


def _problems(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    content = {PROBLEM_JSON: {"schema": Problem.model_json_schema()}}
    return {
        int(name.lstrip("_")): {"description": text, "content": content}
        for name, text in descriptions.items()
    }


def create_app(
    *,
    engine: AsyncEngine,
    clock: Callable[[], float],
    ids: Callable[[str], str],
    locks: Locks | None = None,
    within: float = 5.0,
    claim_for: float = 60.0,
) -> FastAPI:
    """The service on these resources.

    `clock` gives seconds since 1970; `ids("order-")` gives a fresh id with that prefix. Seconds:
    `within` for a transaction, `claim_for` for a whole order with an Idempotency-Key, the wait for
    the lock included."""
    app = FastAPI(
        title="Orders", description="Sells the catalogue, never more than there is.", version="1"
    )
    desk = OrderDesk(engine, clock, locks, within)
    keys = IdempotencyKeys(engine, clock, claim_for=claim_for, within=within)
    install(app)

    async def once(key: str, order_id: str, request: OrderRequest) -> tuple[Answer, bool]:
        """The answer to a request with a key, and whether it is a replay."""
        with _nothing_is_sold():
            stored = await keys.claim(key, _fingerprint(request), order_id)
        if stored is not None:
            return stored, True

        async def store(connection: AsyncConnection, order: Order) -> None:
            await keys.complete(connection, key, order_id, _created(order))

        try:
            try:
                return _created(await desk.place(order_id, request, also=store)), False
            except (UnknownSku, OutOfStock) as refusal:
                answer = problem_of(refusal)
                with _nothing_is_sold():
                    async with begin_immediate(engine, within=within) as connection:
                        await keys.complete(connection, key, order_id, answer)
                return answer, False
        except Exception:
            with suppress(DatabaseUnavailable):
                await keys.release(key, order_id)
            raise

    @app.post(
        "/orders",
        status_code=201,
        response_model=Order,
        responses=_problems(
            _400="The body is no JSON",
            _404="A SKU is unknown; nothing was sold",
            _409="Not enough stock, with what is available; or a request with this key is in progress",
            _422="A field is out of bounds, or the key was used with another payload",
            _503="No lease or no database; `outcome` says whether the sale happened",
        ),
    )
    async def place_order(request: OrderRequest, idempotency_key: Key = None) -> Response:
        """Sell a cart as a whole, or not at all. A replayed answer carries `Idempotent-Replayed:
        true`.
        """
        order_id = ids("order-")
        if idempotency_key is None:
            return _respond(_created(await desk.place(order_id, request)), replayed=False)
        answer, replayed = await once(idempotency_key, order_id, request)
        return _respond(answer, replayed)

    @app.get(
        "/orders/{order_id}",
        response_model=Order,
        responses=_problems(_404="No such order", _422="No order id", _503="No database"),
    )
    async def get_order(order_id: OrderPath) -> Response:
        """An order as it was placed: the same body that placing it answered."""
        order = await desk.order(order_id)
        if order is None:
            raise NotFound(f"There is no order {order_id!r}.")
        return to_response(Answer(200, _created(order).body))

    @app.get(
        "/products/{sku}",
        response_model=ProductView,
        responses=_problems(_404="No such product", _422="No SKU", _503="No database"),
    )
    async def get_product(sku: SkuPath) -> ProductView:
        """A product, its price and its stock at this moment."""
        product = await desk.product(sku)
        if product is None:
            raise NotFound(f"There is no product {sku!r}.")
        return product

    return app


@contextmanager
def _nothing_is_sold() -> Iterator[None]:
    """Whatever becomes of the commit in the block: the order did not happen."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable("failed", error.why) from error


def _created(order: Order) -> Answer:
    return Answer(201, order.model_dump_json())


def _respond(answer: Answer, replayed: bool) -> Response:
    headers = (
        {"Location": f"/orders/{json.loads(answer.body)['id']}"} if answer.status == 201 else {}
    )
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return to_response(answer, headers)


def _fingerprint(request: OrderRequest) -> str:
    return hashlib.sha256(f"POST /orders {request.model_dump_json()}".encode()).hexdigest()
