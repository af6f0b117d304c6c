"""The sagas over HTTP: the status of one, a list by status, and an operator's requests.

Shows: `app.include_router(saga_routes(orchestrator))`. A service that starts a saga answers 202
with a Location, `/sagas/{id}`, and does not drive it while the client waits: `orchestrator.work()`
does, in whichever process it runs.

Guarantees: `GET /sagas/{id}` answers in the shape of the source document, with the names and
statuses of steps and compensations, from the database alone.

Leaves out: authorisation, for operators and for readers (they see the errors of the steps: a few
lines, no SQL); problem details, which the app that includes the routes installs
(`labkit.shop.problems` does).

Source: RFC 9110, 15.3.3 (202 Accepted)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from labkit.sagas.orchestrator import Orchestrator
from labkit.sagas.state import Status

ID = r"^[A-Za-z0-9._:-]{1,64}$"
SagaId = Annotated[str, Path(pattern=ID)]


class Resolution(BaseModel):
    """What the operator did by hand."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    note: Annotated[
        str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")
    ]


def saga_routes(orchestrator: Orchestrator) -> APIRouter:
    """The routes below `/sagas`. Their errors are `UnknownSaga`, `UnknownDefinition`,
    `WrongStatus`, `DatabaseUnavailable`.
    """
    routes = APIRouter(prefix="/sagas", tags=["sagas"])

    @routes.get("")
    async def find(
        status: Annotated[Status | None, Query()] = None,
        after: Annotated[
            str | None, Query(pattern=ID, description="The last id of the page before")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[dict[str, Any]]:
        """The sagas in a status, the oldest first."""
        return await orchestrator.find(status, after=after, limit=limit)

    @routes.get("/{saga_id}")
    async def status(saga_id: SagaId) -> dict[str, Any]:
        """How far the saga has come, and why it turned back, if it did."""
        return await orchestrator.status(saga_id)

    @routes.get("/{saga_id}/timeline")
    async def timeline(saga_id: SagaId) -> list[dict[str, Any]]:
        """The saga's log, in order."""
        return await orchestrator.timeline(saga_id)

    @routes.post("/{saga_id}/cancel", status_code=202)
    async def cancel(saga_id: SagaId) -> dict[str, Any]:
        """Ask the saga to turn back. Past its pivot it continues."""
        return {"saga_id": saga_id, "status": await orchestrator.cancel(saga_id)}

    @routes.post("/{saga_id}/retry", status_code=202)
    async def retry(saga_id: SagaId) -> dict[str, Any]:
        """Make the failed calls again."""
        return {"saga_id": saga_id, "status": await orchestrator.retry(saga_id)}

    @routes.post("/{saga_id}/resolve", status_code=202)
    async def resolve(saga_id: SagaId, resolution: Resolution) -> dict[str, Any]:
        """Record that what failed was done by hand."""
        return {"saga_id": saga_id, "status": await orchestrator.resolve(saga_id, resolution.note)}

    return routes
