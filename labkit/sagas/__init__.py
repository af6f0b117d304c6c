"""1.2 Orchestrated sagas: definition, log, driver, orchestrator, recovery, operator, routes."""

from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.sagas.errors import (
    ClaimedElsewhere,
    SagaExists,
    UnknownDefinition,
    UnknownSaga,
    WrongStatus,
)
from labkit.sagas.orchestrator import Orchestrator
from labkit.sagas.service import saga_routes
from labkit.sagas.store import create_sagas

__all__ = [
    "ClaimedElsewhere",
    "Context",
    "Orchestrator",
    "SagaDefinition",
    "SagaExists",
    "Step",
    "UnknownDefinition",
    "UnknownSaga",
    "WrongStatus",
    "create_sagas",
    "saga_routes",
]
