"""Errors of orchestrated sagas, apart from those of the steps. Each means that nothing was begun or
changed.

A lost claim is `ClaimLost` of `labkit.base`; a saga id that is used again with another input is its
`KeyReused`.

Leaves out: what a step raises. It becomes part of the saga's status and reason."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.base.errors import ClaimLost


class ClaimedElsewhere(ClaimLost):
    """Another worker drives this saga, and its lease has not ended."""

    def __init__(self, saga_id: str, owner: str, left: float) -> None:
        self.saga_id, self.owner, self.left = saga_id, owner, left
        super().__init__(
            f"saga {saga_id!r} is driven by {owner!r}, whose lease has {left:g} s left"
        )


class SagaExists(ClaimLost):
    """A saga with this id exists already."""

    def __init__(self, saga_id: str) -> None:
        self.saga_id = saga_id
        super().__init__(f"there is a saga {saga_id!r} already")


class UnknownSaga(LookupError):
    """No saga has this id."""

    def __init__(self, saga_id: str) -> None:
        self.saga_id = saga_id
        super().__init__(f"no saga {saga_id!r}")


class UnknownDefinition(LookupError):
    """This worker does not have the definition, or not the version the saga was started with.
    Another worker may.
    """

    def __init__(self, name: str, version: int | None, known: Iterable[str]) -> None:
        self.name, self.version = name, version
        wanted = name if version is None else f"{name} version {version}"
        super().__init__(f"no definition of {wanted}; known here: {', '.join(known) or 'none'}")


class WrongStatus(Exception):
    """The operator's request does not apply to a saga in this status."""

    def __init__(self, saga_id: str, status: str, allowed: Iterable[str]) -> None:
        self.saga_id, self.status, self.allowed = saga_id, status, tuple(allowed)
        super().__init__(
            f"saga {saga_id!r} is {status}; this needs it to be {' or '.join(self.allowed)}"
        )
