"""1.2 Orchestrated sagas: definition, log, driver, orchestrator, HTTP routes."""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.sagas.definition import Context as Context
    from labkit.sagas.definition import SagaDefinition as SagaDefinition
    from labkit.sagas.definition import Step as Step
    from labkit.sagas.errors import ClaimedElsewhere as ClaimedElsewhere
    from labkit.sagas.errors import SagaExists as SagaExists
    from labkit.sagas.errors import UnknownDefinition as UnknownDefinition
    from labkit.sagas.errors import UnknownSaga as UnknownSaga
    from labkit.sagas.errors import WrongStatus as WrongStatus
    from labkit.sagas.orchestrator import Orchestrator as Orchestrator
    from labkit.sagas.routes import saga_routes as saga_routes
    from labkit.sagas.store import create_sagas as create_sagas
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        definition="Context SagaDefinition Step",
        errors="ClaimedElsewhere SagaExists UnknownDefinition UnknownSaga WrongStatus",
        orchestrator="Orchestrator",
        routes="saga_routes",
        store="create_sagas",
    )
