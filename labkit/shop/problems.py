"""Errors on the wire: RFC 9457 problem details for everything that can go wrong, without internals.

Shows: one function from a domain error to its problem, and one that teaches a FastAPI app to answer
with it.

| status | when | what the client can do |
|---|---|---|
| 400, 404, 405 | the body is no JSON; no such order, product, saga or path | correct the request |
| 402 | the payment is declined | pay otherwise |
| 409 | not enough stock | order less |
| 409 | a request with this Idempotency-Key is in progress | wait `Retry-After` |
| 409, 410 | country not served; saga in another status; the undo came first | give it up |
| 422 | a field out of bounds; an Idempotency-Key used for another payload | correct the request |
| 503 | no lock or no database; see `outcome` | wait `Retry-After`, repeat with the same key |
| 500 | a mistake of ours, logged and not described | report it |

Bodies are ASCII JSON: a client's lone surrogate or NaN, quoted back to it, cannot break the answer.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from labkit.base.errors import (
    ClaimLost,
    DatabaseUnavailable,
    KeyInProgress,
    KeyReused,
    Refused,
    StaleToken,
    Withdrawn,
)
from labkit.base.idempotency import Answer
from labkit.inventory.errors import OutOfStock, UnknownSku
from labkit.sagas.errors import UnknownDefinition, UnknownSaga, WrongStatus
from labkit.shop.at_once import LockUnavailable
from labkit.shop.payments import Declined
from labkit.shop.shipping import NotServed

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER = 1.0
"""Seconds after which a 503 is worth another try."""
IdempotencyKey = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")]


class Problem(BaseModel):
    """An error, as RFC 9457 has it. Members beyond these say what the client can do about it."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[
        str,
        Field(description="Names the kind of problem", examples=["/problems/insufficient-stock"]),
    ]
    title: str
    status: int
    detail: str
    sku: str | None = None
    wanted: int | None = None
    available: Annotated[
        int | None, Field(description="How many a read just after the refusal saw")
    ] = None
    outcome: Annotated[
        Literal["failed", "unknown"] | None,
        Field(
            description="Did it happen? failed: definitely not. "
            "unknown: repeat with the same Idempotency-Key to find out"
        ),
    ] = None
    errors: Annotated[
        list[dict[str, Any]] | None,
        Field(description="field, value and what is allowed, for each invalid field"),
    ] = None


class NotFound(Exception):
    """No such thing; the message names it."""


def problem(status: int, kind: str, title: str, detail: str, **members: Any) -> Answer:
    """A problem as an answer. `members` are extension members of RFC 9457."""
    body = {
        "type": f"/problems/{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        **members,
    }
    return Answer(status, json.dumps(body))


def problem_of(error: Exception) -> Answer:
    """How the client is told of this error."""
    match error:
        case UnknownSku():
            return problem(
                404, "unknown-sku", "Unknown SKU", f"There is no SKU {error.sku!r}.", sku=error.sku
            )
        case NotFound():
            return problem(404, "not-found", "Not found", str(error))
        case OutOfStock(sku=sku, wanted=wanted, available=available):
            detail = (
                f"{wanted} of {sku!r} wanted, {available} available; "
                "nothing of this order was sold."
            )
            facts = {"sku": sku, "wanted": wanted, "available": available}
            return problem(409, "insufficient-stock", "Insufficient stock", detail, **facts)
        case Declined():
            return problem(402, "declined", "Payment declined", f"{error}.")
        case NotServed():
            return problem(409, "not-served", "Country not served", f"{error}.")
        case Withdrawn():
            return problem(410, "withdrawn", "Withdrawn", f"{error}.")
        case UnknownSaga():
            return problem(404, "not-found", "Not found", f"There is {error}.")
        case WrongStatus():
            return problem(409, "wrong-status", "Not in this status", f"{error}.")
        case UnknownDefinition():
            return problem(503, "unavailable", "Temporarily unavailable", f"{error}.")
        case KeyInProgress() | ClaimLost():
            detail = "A request with this Idempotency-Key is in progress; repeat it later."
            return problem(409, "in-progress", "Request in progress", detail)
        case KeyReused():
            detail = (
                "This Idempotency-Key was used with another payload; "
                "use a fresh key for a new order."
            )
            return problem(422, "idempotency-key-reused", "Idempotency key reused", detail)
        case RequestValidationError():
            errors = [_invalid_field(item) for item in error.errors()]
            return problem(
                422,
                "invalid-request",
                "Invalid request",
                "; ".join(map(_sentence, errors)),
                errors=errors,
            )
        case StaleToken():
            return _unavailable("failed", "a newer lease on this stock exists")
        case LockUnavailable() | DatabaseUnavailable():
            return _unavailable(error.outcome, error.why)
        case HTTPException():
            return problem(error.status_code, "http", "Request not understood", str(error.detail))
        case _:
            return problem(
                500, "internal", "Internal error", "The server made a mistake. It has been logged."
            )


def to_response(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    """An answer as an HTTP response: problem details from status 400 on."""
    media_type = PROBLEM_JSON if answer.status >= 400 else "application/json"
    return Response(answer.body, status_code=answer.status, media_type=media_type, headers=headers)


def install(app: FastAPI) -> None:
    """Make `app` answer every error with its problem."""

    async def respond(request: Request, error: Exception) -> Response:
        headers: dict[str, str] = {}
        if isinstance(error, HTTPException) and error.headers:
            headers.update(error.headers)
        answer = problem_of(error)
        if answer.status == 503:
            headers["Retry-After"] = f"{math.ceil(RETRY_AFTER)}"
        elif isinstance(error, KeyInProgress):
            headers["Retry-After"] = f"{max(1, math.ceil(error.retry_after))}"
        return to_response(answer, headers)

    kinds = (
        Refused,
        StaleToken,
        KeyInProgress,
        KeyReused,
        ClaimLost,
        LockUnavailable,
        DatabaseUnavailable,
    )
    sagas = (UnknownSaga, UnknownDefinition, WrongStatus)
    for kind in (*kinds, *sagas, NotFound, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, respond)


def _unavailable(outcome: str, why: str) -> Answer:
    happened = "Nothing was sold." if outcome == "failed" else "The sale may have happened or not."
    advice = "Repeat the request with the same Idempotency-Key."
    detail = f"{why[:1].upper()}{why[1:]}. {happened} {advice}"
    return problem(503, "unavailable", "Temporarily unavailable", detail, outcome=outcome)


def _invalid_field(item: dict[str, Any]) -> dict[str, str]:
    field = ".".join(str(part) for part in item["loc"])
    return {"field": field, "value": _quoted(item.get("input")), "allowed": str(item["msg"])}


def _sentence(invalid: dict[str, str]) -> str:
    return f"{invalid['field']}: {invalid['allowed']}"


def _quoted(value: Any) -> str:
    quoted = ascii(value)
    return quoted if len(quoted) <= 80 else f"{quoted[:77]}..."
