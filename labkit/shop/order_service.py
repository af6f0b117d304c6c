"""The order service with a saga behind it: `POST /orders` is 202 and a Location, `GET /sagas/{id}`
says what became of it.

Shows: accepting an order is one commit, the row of its saga; a worker does the rest
(`orchestrator.work()`), in this process or in another. The client chooses the id: with an
Idempotency-Key, the order of that key is the same one however often it is sent.

Guarantees: an order that was answered 202 is completed or cancelled in the end, whoever crashes, as
long as the participants come back before the retries of an undo end (`order_saga.PATIENT`); else it
waits for an operator, and says so. A repeated request starts nothing new; the same key with another
order is 422.

Leaves out: authentication, and telling the client by itself (it polls the Location).

Source: RFC 9110, 15.3.3 (202 Accepted); Stripe API, "Idempotent requests".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from labkit.sagas.orchestrator import Orchestrator
from labkit.sagas.routes import saga_routes
from labkit.shop.models import MAX_LINES, Customer, IdempotencyKey, OrderItem
from labkit.shop.order_saga import NAME
from labkit.shop.participants import Address
from labkit.shop.problems import install

Key = Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")]


class SagaOrder(BaseModel):
    """A cart and where to send it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    items: Annotated[list[OrderItem], Field(min_length=1, max_length=MAX_LINES)]
    customer: Customer
    address: Address


def create_order_service(
    *,
    orchestrator: Orchestrator,
    clock: Callable[[], float],
    ids: Callable[[str], str],
    patience: float | None = None,
) -> FastAPI:
    """The service. An order that has no parcel `patience` seconds after it was accepted turns back
    (None: never).
    """
    app = FastAPI(
        title="Orders", description="Accepts orders; their sagas do the rest.", version="2"
    )
    install(app)
    app.include_router(saga_routes(orchestrator))

    @app.post("/orders", status_code=202)
    async def accept(order: SagaOrder, response: Response, key: Key = None) -> dict[str, Any]:
        """Accept an order. Its Location says what became of it."""
        order_id = (
            ids("order-")
            if key is None
            else f"order-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
        )
        deadline = None if patience is None else clock() + patience
        await orchestrator.start(
            NAME, order.model_dump(exclude_none=True), saga_id=order_id, deadline=deadline
        )
        response.headers["Location"] = f"/sagas/{order_id}"
        return {"saga_id": order_id, "status": "accepted"}

    return app
