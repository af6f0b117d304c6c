"""The order as an orchestrated saga: four steps that can be refused, one that cannot, and what
undoes each.

| step | who | kind | undone by |
|---|---|---|---|
| `create_order` | this service's own database | local | `cancel_order` |
| `reserve_stock` | warehouse | compensatable | `release_stock` |
| `charge_payment` | payments | compensatable | `refund_payment` |
| `schedule_shipping` | shipping | **pivot** | `cancel_shipping`, only while nobody knows |
| `complete_order` | this service's own database | local, retriable | never |

Shows: charging comes late, after what is easy to undo, and the parcel is the point of no return.
The order's id is the saga's; the total that is charged is the result of the first step.

Guarantees, with participants that keep an inbox: all four effects or none of them, each at most
once, on any schedule; or, when an undo gives up or what follows the pivot does, it waits for an
operator and says which.

Leaves out: authorise and capture (then the capture would be the pivot, and shipping retriable).

Source: Richardson, "Microservices Patterns" (the order saga: compensatable, pivot, retriable).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.errors import Refused
from labkit.base.retry import Retry
from labkit.inventory.errors import UnknownSku
from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.shop import purchases

NAME = "order"
PATIENT = Retry(attempts=30, most=60.0)
"""For an undo: a participant may be away for a while, and until it is back the customer's money is
not where it should be.
"""
_TRY_AGAIN = (408, 425, 429)


class TurnedDown(Refused):
    """A participant answered with a definite no (status 4xx); `kind` is the problem's, such as
    "declined".
    """

    def __init__(self, kind: str, detail: str) -> None:
        self.kind = kind
        super().__init__(detail)


class NotDone(Exception):
    """A participant could not; `outcome` of the command: "failed" (definitely not done) or
    "unknown".
    """

    def __init__(self, status: int, outcome: Literal["failed", "unknown"]) -> None:
        self.status, self.outcome = status, outcome
        super().__init__(f"answered {status}")


def order_saga(
    http: httpx.AsyncClient,
    *,
    prices: Mapping[str, int],
    clock: Callable[[], float],
    retry: Retry | None = None,
    timeout: float = 5.0,
) -> SagaDefinition:
    """The definition. `http` reaches the hosts `warehouse`, `payments` and `shipping`; `prices` are
    cents for each SKU.

    The saga's input: `{"customer": …, "items": [{"sku": …, "quantity": …}], "address": {"country":
    …}}`. `timeout` seconds and `retry` are those of every call; without `retry`, a step is asked
    five times and its undo for a quarter of an hour."""
    ask = partial(_ask, http)

    async def create_order(context: Context, connection: AsyncConnection) -> dict[str, Any]:
        total = 0
        for item in context.input["items"]:
            if item["sku"] not in prices:
                raise UnknownSku(item["sku"])
            total += item["quantity"] * prices[item["sku"]]
        order = await purchases.place(
            connection, context.saga_id, context.input["customer"], total, clock()
        )
        return {**order, "total_cents": total}

    async def cancel_order(context: Context, connection: AsyncConnection) -> dict[str, Any]:
        return await purchases.cancel(connection, context.saga_id, context.reason or "", clock())

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
        return await ask("http://shipping/parcels/book", context, address=context.input["address"])

    async def cancel_shipping(context: Context) -> Any:
        return await ask("http://shipping/parcels/cancel", context)

    async def complete_order(context: Context, connection: AsyncConnection) -> dict[str, Any]:
        return await purchases.complete(connection, context.saga_id)

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


async def _ask(http: httpx.AsyncClient, url: str, context: Context, **facts: Any) -> Any:
    """Send a command under the step's key. No answer at all stays what it is: an error that does
    not say what happened.
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
