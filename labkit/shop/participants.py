"""The shop's participants over HTTP: payments, warehouse, shipping. Every command needs an
Idempotency-Key.

Shows: a participant's inbox. Key, effect and answer are committed in one transaction, so a command
that comes twice, at the same moment or a day later, takes effect once and gets the same answer; a
refusal is an answer too. The key is the sender's (saga, step, direction), the `reference` is the
order's id: the first makes a *message* safe to repeat, the second makes *undo before do* safe.

| | 200 | refused |
|---|---|---|
| `POST /payments/charge` | payment, cents | 402 declined, 410 withdrawn |
| `POST /payments/refund` | payment, refunded_cents | |
| `POST /allocations/reserve` | allocation, lines | 404 unknown SKU, 409 stock, 410 withdrawn |
| `POST /allocations/release` | allocation, released | |
| `POST /parcels/book` | parcel | 409 not served, 410 withdrawn |
| `POST /parcels/cancel` | parcel, state | |

422: no key, a field out of bounds, or a key or reference used for something else.

Leaves out: authentication. Sources: Stripe API, "Idempotent requests"; RFC 9457.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import Refused
from labkit.base.idempotency import Answer
from labkit.base.transactions import begin_immediate
from labkit.messaging.inbox import Inbox
from labkit.shop import payments, shipping, warehouse
from labkit.shop.orders import MAX_LINES, Cents, Country, Customer, OrderId, OrderItem
from labkit.shop.problems import IdempotencyKey, install, problem_of, to_response

Key = Annotated[IdempotencyKey, Header(alias="Idempotency-Key")]


class Command(BaseModel):
    """What every command says: which order it is for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    reference: OrderId


class Charge(Command):
    """Charge a customer."""

    customer: Customer
    cents: Cents


class Reserve(Command):
    """Set goods aside."""

    items: Annotated[list[OrderItem], Field(min_length=1, max_length=MAX_LINES)]


Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")]


class Address(BaseModel):
    """Where a parcel goes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    country: Country
    name: Line | None = None
    street: Line | None = None
    postcode: Line | None = None
    city: Line | None = None


class Book(Command):
    """Book a parcel."""

    address: Address


class _Commands:
    """Carries out commands, each in one transaction with its entry in the inbox."""

    def __init__(
        self, consumer: str, engine: AsyncEngine, clock: Callable[[], float], within: float
    ) -> None:
        self._inbox, self._engine, self._within = Inbox(consumer, clock), engine, within

    async def answer(
        self,
        key: str,
        command: Command,
        work: Callable[[AsyncConnection], Awaitable[dict[str, Any]]],
    ) -> Response:
        """The answer of `work`: of this call, or the stored one of the first."""
        what = f"{type(command).__name__} {command.model_dump_json()}"
        async with begin_immediate(self._engine, within=self._within) as connection:

            async def do() -> Answer:
                return Answer(200, json.dumps(await work(connection)))

            fingerprint = hashlib.sha256(what.encode()).hexdigest()
            answer, replayed = await self._inbox.once(
                connection, key, do, fingerprint=fingerprint, refusal=_refusal
            )
        return to_response(answer, {"Idempotent-Replayed": "true"} if replayed else None)


def create_payments_app(
    *, engine: AsyncEngine, clock: Callable[[], float], within: float = 5.0
) -> FastAPI:
    """Payments on this database; `within` bounds each command's transaction, in seconds."""
    app, commands = _service("Payments"), _Commands("payments", engine, clock, within)

    @app.post("/payments/charge")
    async def charge(command: Charge, key: Key) -> Response:
        work = payments.charge
        return await commands.answer(
            key, command, lambda c: work(c, command.reference, command.customer, command.cents)
        )

    @app.post("/payments/refund")
    async def refund(command: Command, key: Key) -> Response:
        return await commands.answer(key, command, lambda c: payments.refund(c, command.reference))

    return app


def create_warehouse_app(
    *, engine: AsyncEngine, clock: Callable[[], float], within: float = 5.0
) -> FastAPI:
    """The warehouse on this database; `within` bounds each command's transaction, in seconds."""
    app, commands = _service("Warehouse"), _Commands("warehouse", engine, clock, within)

    @app.post("/allocations/reserve")
    async def reserve(command: Reserve, key: Key) -> Response:
        lines = [(item.sku, item.quantity) for item in command.items]
        return await commands.answer(
            key, command, lambda c: warehouse.reserve(c, command.reference, lines)
        )

    @app.post("/allocations/release")
    async def release(command: Command, key: Key) -> Response:
        return await commands.answer(
            key, command, lambda c: warehouse.release(c, command.reference)
        )

    return app


def create_shipping_app(
    *, engine: AsyncEngine, clock: Callable[[], float], within: float = 5.0
) -> FastAPI:
    """Shipping on this database; `within` bounds each command's transaction, in seconds."""
    app, commands = _service("Shipping"), _Commands("shipping", engine, clock, within)

    @app.post("/parcels/book")
    async def book(command: Book, key: Key) -> Response:
        return await commands.answer(
            key,
            command,
            lambda c: shipping.book(c, command.reference, command.address.model_dump()),
        )

    @app.post("/parcels/cancel")
    async def cancel(command: Command, key: Key) -> Response:
        return await commands.answer(key, command, lambda c: shipping.cancel(c, command.reference))

    return app


def _service(title: str) -> FastAPI:
    app = FastAPI(title=title, version="1")
    install(app)
    return app


def _refusal(error: Exception) -> Answer | None:
    return problem_of(error) if isinstance(error, Refused) else None
