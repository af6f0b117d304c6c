"""What can go wrong with an orchestrated saga, apart from its steps: each says that nothing was
begun or changed.

A lost claim is `labkit.base`'s `ClaimLost`; a saga id used again with another input, its
`KeyReused`. Left out: what a step raises. That is the saga's business, and ends in its status and
reason."""

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
    """There is a saga of this id already."""

    def __init__(self, saga_id: str) -> None:
        self.saga_id = saga_id
        super().__init__(f"there is a saga {saga_id!r} already")


class UnknownSaga(LookupError):
    """There is no saga of this id."""

    def __init__(self, saga_id: str) -> None:
        self.saga_id = saga_id
        super().__init__(f"no saga {saga_id!r}")


class UnknownDefinition(LookupError):
    """This worker does not have the definition, or not the version that the saga is pinned to:
    another worker may.
    """

    def __init__(self, name: str, version: int | None, known: Iterable[str]) -> None:
        self.name, self.version = name, version
        wanted = name if version is None else f"{name} version {version}"
        super().__init__(f"no definition of {wanted}; known here: {', '.join(known) or 'none'}")


class WrongStatus(Exception):
    """What the operator asked for makes no sense in the saga's status."""

    def __init__(self, saga_id: str, status: str, allowed: Iterable[str]) -> None:
        self.saga_id, self.status, self.allowed = saga_id, status, tuple(allowed)
        super().__init__(
            f"saga {saga_id!r} is {status}; this needs it to be {' or '.join(self.allowed)}"
        )
