"""The order service: `POST /orders`, `GET /orders/{id}`, `GET /products/{sku}`.

Shows: one service and one model of an order, however orders are carried out. That is a parameter,
`create_app(fulfilment, ids=…)`:

| fulfilment | `POST /orders` | the order then |
|---|---|---|
| `AtOnce`, with or without locks | 201 | is completed |
| `BySaga` | 202 | is pending; poll its Location |
| `ByEvents` | 202 | is pending; poll its Location |

The app owns nothing: database, locks, orchestrator, clock and id factory are handed in and closed
by whoever made them.

Guarantees: a repeated `Idempotency-Key` places one order and replays the first answer, refusals
(404, 409) included; an answer of 503 or 422 is never stored, so the key can be used again. The
answer is stored in the transaction that places the order. An order that was answered 202 is
completed or cancelled in the end, as its fulfilment says. Without a key, a lost answer cannot be
told from a lost request.

Leaves out: authentication (so keys are not scoped by account), rate limits, and telling the
customer (the client polls).

Sources: Stripe API, "Idempotent requests"; RFC 9110 (201 and 202, Location, Retry-After); RFC 9457
(problem details)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Header, Path, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import DatabaseUnavailable
from labkit.base.idempotency import Answer, IdempotencyKeys
from labkit.base.transactions import begin_immediate, reading
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.shop import catalogue, orders
from labkit.shop.orders import InTheSameTransaction, Order, OrderId, OrderRequest, Sku
from labkit.shop.problems import (
    PROBLEM_JSON,
    IdempotencyKey,
    NotFound,
    Problem,
    install,
    problem_of,
    to_response,
)

Key = Annotated[
    IdempotencyKey | None,
    Header(
        alias="Idempotency-Key",
        description="Chosen by the client, one for each order it means to place; "
        "repeat it when the answer was lost.",
    ),
]
OrderPath = Annotated[OrderId, Path()]
SkuPath = Annotated[Sku, Path()]


class Fulfilment(Protocol):
    """How orders are carried out: `AtOnce`, `BySaga` or `ByEvents`."""

    @property
    def engine(self) -> AsyncEngine:
        """The database of the orders."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since 1970."""

    @property
    def within(self) -> float | None:
        """Seconds for a transaction."""

    async def place(
        self, order_id: str, request: OrderRequest, also: InTheSameTransaction | None = None
    ) -> Order:
        """Place the order in one transaction, in which `also` runs too. An order that has been
        placed under this id before is returned as it is.
        """

    async def stock(self, connection: AsyncConnection, sku: str) -> int | None:
        """Units of this product on the shelf; None where only the warehouse knows."""


class ProductView(BaseModel):
    """A product, and how many are in stock at this moment (null: the warehouse has a database of
    its own).
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sku: str
    name: str
    price_cents: int
    stock: int | None


def create_app(
    fulfilment: Fulfilment, *, ids: Callable[[str], str], claim_for: float = 60.0
) -> FastAPI:
    """The service. `ids("order-")` gives a fresh id with that prefix; `claim_for` is how many
    seconds a request with an Idempotency-Key may take, the wait for a lock included.
    """
    app = FastAPI(
        title="Orders", description="Sells the catalogue, never more than there is.", version="3"
    )
    engine, within = fulfilment.engine, fulfilment.within
    keys = IdempotencyKeys(engine, fulfilment.clock, claim_for=claim_for, within=within)
    install(app)

    async def once(key: str, order_id: str, request: OrderRequest) -> tuple[Answer, bool]:
        """The answer to a request with a key, and whether it is a replay."""
        with _nothing_was_placed():
            stored = await keys.claim(key, _fingerprint(request), order_id)
        if stored is not None:
            return stored, True

        async def store(connection: AsyncConnection, order: Order) -> None:
            await keys.complete(connection, key, order_id, _accepted(order))

        try:
            try:
                return _accepted(await fulfilment.place(order_id, request, also=store)), False
            except (UnknownSku, OutOfStock) as refusal:
                answer = problem_of(refusal)
                with _nothing_was_placed():
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
        responses={
            202: {"description": "Accepted; its Location says what became of it", "model": Order},
            **_problems(
                _400="The body is no JSON",
                _404="A SKU is unknown; nothing was ordered",
                _409="Not enough stock; or a request with this key is in progress",
                _422="A field is out of bounds, or the key was used with another payload",
                _503="No lock or no database; `outcome` says whether it happened",
            ),
        },
    )
    async def place_order(request: OrderRequest, idempotency_key: Key = None) -> Response:
        """Place an order: as a whole, or not at all. A replayed answer carries
        `Idempotent-Replayed: true`.
        """
        order_id = ids("order-")
        if idempotency_key is None:
            return _respond(_accepted(await fulfilment.place(order_id, request)), replayed=False)
        answer, replayed = await once(idempotency_key, order_id, request)
        return _respond(answer, replayed)

    @app.get(
        "/orders/{order_id}",
        response_model=Order,
        responses=_problems(_404="No such order", _422="No order id", _503="No database"),
    )
    async def get_order(order_id: OrderPath) -> Response:
        """An order as it is now: pending, completed, or cancelled with a reason."""
        async with reading(engine, within=within) as connection:
            order = await orders.find(connection, order_id)
        if order is None:
            raise NotFound(f"There is no order {order_id!r}.")
        return to_response(Answer(200, order.model_dump_json()))

    @app.get(
        "/products/{sku}",
        response_model=ProductView,
        responses=_problems(_404="No such product", _422="No SKU", _503="No database"),
    )
    async def get_product(sku: SkuPath) -> ProductView:
        """A product, its price and its stock at this moment."""
        async with reading(engine, within=within) as connection:
            found = await catalogue.product(connection, sku)
            if found is None:
                raise NotFound(f"There is no product {sku!r}.")
            stock = await fulfilment.stock(connection, sku)
        return ProductView(sku=sku, name=found.name, price_cents=found.price_cents, stock=stock)

    return app


def _problems(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    content = {PROBLEM_JSON: {"schema": Problem.model_json_schema()}}
    return {
        int(name.lstrip("_")): {"description": text, "content": content}
        for name, text in descriptions.items()
    }


@contextmanager
def _nothing_was_placed() -> Iterator[None]:
    """Whatever becomes of the commit in the block: the order did not happen."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable("failed", error.why) from error


def _accepted(order: Order) -> Answer:
    return Answer(202 if order.status == "pending" else 201, order.model_dump_json())


def _respond(answer: Answer, replayed: bool) -> Response:
    headers = {}
    if answer.status < 300:
        headers["Location"] = f"/orders/{json.loads(answer.body)['id']}"
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return to_response(answer, headers)


def _fingerprint(request: OrderRequest) -> str:
    return hashlib.sha256(f"POST /orders {request.model_dump_json()}".encode()).hexdigest()
