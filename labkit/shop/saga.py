"""An order carried out by a saga: an orchestrator calls the participants one after the other, and
undoes what was done when one of them refuses.

| step | who | kind | undone by |
|---|---|---|---|
| `create_order` | the order service's own database | local | `cancel_order` |
| `reserve_stock` | warehouse | compensatable | `release_stock` |
| `charge_payment` | payments | compensatable | `refund_payment` |
| `schedule_shipping` | shipping | **pivot** | `cancel_shipping`, while its outcome is unknown |
| `complete_order` | the order service's own database | local, retriable | never |

Shows: charging comes late, after what is easy to undo, and the parcel is the point of no return.
`BySaga.place` commits the first step together with the saga's own row, so an order that was
accepted is there, pending, and has a saga that will end it. The saga has the order's id.

Guarantees, with participants that keep an inbox: all four effects or none of them, each at most
once, on any schedule of crashes; an order is completed or cancelled in the end, as long as the
participants come back before the retries of an undo end (`PATIENT`). When an undo or a step after
the pivot gives up, the saga waits for an operator and names the step.

Leaves out: authorise and capture (then the capture would be the pivot, and shipping retriable).

Sources: Richardson, "Microservices Patterns" (the order saga: compensatable, pivot, retriable);
RFC 9110, 15.3.3 (202 Accepted).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import Refused
from labkit.base.retry import Retry
from labkit.base.transactions import begin_immediate
from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.sagas.errors import SagaExists
from labkit.sagas.orchestrator import Orchestrator
from labkit.shop import orders
from labkit.shop.orders import InTheSameTransaction, Order, OrderRequest

NAME = "order"
PATIENT = Retry(attempts=30, most=60.0)
"""For an undo: a participant may be down for a while, and until it is back the customer's money or
the goods are not where they belong.
"""
_TRY_AGAIN = (408, 425, 429)


class TurnedDown(Refused):
    """A participant refused for good (status 4xx); `kind` is the problem's, such as "declined"."""

    def __init__(self, kind: str, detail: str) -> None:
        self.kind = kind
        super().__init__(detail)


class NotDone(Exception):
    """A participant could not do it; `outcome` of the command: "failed" (definitely not done) or
    "unknown".
    """

    def __init__(self, status: int, outcome: Literal["failed", "unknown"]) -> None:
        self.status, self.outcome = status, outcome
        super().__init__(f"answered {status}")


def order_saga(
    http: httpx.AsyncClient,
    *,
    clock: Callable[[], float],
    retry: Retry | None = None,
    timeout: float = 5.0,
) -> SagaDefinition:
    """The definition. `http` reaches the hosts `warehouse`, `payments` and `shipping`; `clock`
    dates the order.

    The saga's input is an `OrderRequest` as JSON; the result of `create_order` is the `Order`.
    `timeout` (seconds) and `retry` apply to every call; without `retry`, a step is called up to
    five times and its undo for a quarter of an hour."""
    ask = partial(_ask, http)

    async def create_order(context: Context, connection: AsyncConnection) -> dict[str, Any]:
        request = OrderRequest.model_validate(context.input)
        order, _ = await orders.create(connection, context.saga_id, request, clock())
        return order.model_dump(mode="json")

    async def cancel_order(context: Context, connection: AsyncConnection) -> dict[str, Any]:
        return await orders.cancel(connection, context.saga_id, context.reason or "")

    async def reserve_stock(context: Context) -> Any:
        return await ask(
            "http://warehouse/allocations/reserve", context, items=context.input["items"]
        )

    async def release_stock(context: Context) -> Any:
        return await ask("http://warehouse/allocations/release", context)

    async def charge_payment(context: Context) -> Any:
        cents = context.results["create_order"]["total_cents"]
        if cents == 0:
            return {"payment": None, "cents": 0}
        return await ask(
            "http://payments/payments/charge",
            context,
            customer=context.input["customer"],
            cents=cents,
        )

    async def refund_payment(context: Context) -> Any:
        return await ask("http://payments/payments/refund", context)

    async def schedule_shipping(context: Context) -> Any:
        return await ask(
            "http://shipping/parcels/book", context, address={"country": context.input["country"]}
        )

    async def cancel_shipping(context: Context) -> Any:
        return await ask("http://shipping/parcels/cancel", context)

    async def complete_order(context: Context, connection: AsyncConnection) -> dict[str, Any]:
        return await orders.complete(connection, context.saga_id)

    step = partial(Step, retry=retry or Retry(), undo_retry=retry or PATIENT, timeout=timeout)
    return SagaDefinition(
        NAME,
        1,
        (
            step("create_order", create_order, cancel_order, local=True),
            step("reserve_stock", reserve_stock, release_stock),
            step("charge_payment", charge_payment, refund_payment),
            step("schedule_shipping", schedule_shipping, cancel_shipping, kind="pivot"),
            step("complete_order", complete_order, kind="retriable", local=True),
        ),
    )


@dataclass(frozen=True, repr=False)
class BySaga:
    """Carries out orders by the saga of this orchestrator, in its database: 202, pending.

    Placing an order is one commit, and calls nobody: `orchestrator.work()` does, in this process or
    in another. `patience`: seconds from acceptance, after which an order without a parcel turns
    back (None: never)."""

    orchestrator: Orchestrator
    patience: float | None = None

    def __repr__(self) -> str:
        return f"<BySaga of {self.orchestrator!r}>"

    @property
    def engine(self) -> AsyncEngine:
        """The database of the sagas and the orders."""
        return self.orchestrator.runtime.engine

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since 1970."""
        return self.orchestrator.runtime.clock

    @property
    def within(self) -> float | None:
        """Seconds for a transaction."""
        return self.orchestrator.runtime.within

    async def place(
        self, order_id: str, request: OrderRequest, also: InTheSameTransaction | None = None
    ) -> Order:
        """Write down the order, pending, and its saga, for any worker to drive. `also` runs in the
        same transaction, before its commit.

        Raises `UnknownSku` or `KeyReused` (nothing was placed), `DatabaseUnavailable` (see its
        `outcome`)."""
        wanted = request.model_dump(mode="json")
        deadline = None if self.patience is None else self.clock() + self.patience
        async with begin_immediate(self.engine, within=self.within) as connection:
            try:
                made = await self.orchestrator.begin(
                    connection, NAME, wanted, saga_id=order_id, deadline=deadline
                )
                order = Order.model_validate(made, strict=False)
            except SagaExists:
                order, _ = await orders.create(connection, order_id, request, self.clock())
            if also is not None:
                await also(connection, order)
        return order

    async def stock(self, connection: AsyncConnection, sku: str) -> int | None:
        """None: only the warehouse knows."""
        return None


async def _ask(http: httpx.AsyncClient, url: str, context: Context, **facts: Any) -> Any:
    """Send a command under the step's key. When no answer comes, the transport's error goes on: it
    does not say what happened.
    """
    body = {"reference": context.saga_id, **facts}
    answer = await http.post(url, json=body, headers={"Idempotency-Key": context.key})
    if answer.is_success:
        return answer.json()
    said = answer.json() if answer.headers.get("content-type", "").endswith("json") else {}
    if answer.is_client_error and answer.status_code not in _TRY_AGAIN:
        raise TurnedDown(
            str(said.get("type", "")).removeprefix("/problems/"),
            str(said.get("detail", answer.status_code)).rstrip("."),
        )
    raise NotDone(answer.status_code, "failed" if said.get("outcome") == "failed" else "unknown")
