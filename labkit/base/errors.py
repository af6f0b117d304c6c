"""Errors that every pattern shares: each answers "did it happen?".

- `Refused`: it did not happen, and a retry will not help. The refusals of the inventory and of the
  shop are subclasses.
- `StaleToken`: a fenced resource refused an old token. Nothing was read or written.
- `KeyReused` and `KeyInProgress`: the request was not started.
- `ClaimLost`: the work was taken over by another worker, and the transaction must not commit.
- `DatabaseUnavailable`: its `outcome` says whether the transaction definitely failed or its outcome
  is unknown.

Leaves out: mistakes of the caller. Those are a `ValueError` or `TypeError`, raised before anything
is sent."""

from __future__ import annotations

from typing import Literal


class Refused(Exception):
    """A definite refusal: it did not happen, and a retry will not help."""

    outcome: Literal["failed"] = "failed"


class Withdrawn(Refused):
    """The undo came first: whatever arrives under this reference now arrives too late."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(f"{reference!r} was withdrawn")


class StaleToken(Exception):
    """A fenced resource has `seen` a newer token than `given`. Nothing was read or written."""

    def __init__(self, key: str, *, seen: int, given: int) -> None:
        self.key, self.seen, self.given = key, seen, given
        super().__init__(f"{key!r} has seen token {seen}, so the older token {given} is refused")


class KeyReused(Exception):
    """The idempotency key was used before, with another payload."""


class KeyInProgress(Exception):
    """The first request with this key is still running. Its claim ends in `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"a request with this key is in progress; try again within {retry_after:g} seconds"
        )


class ClaimLost(Exception):
    """The claim ended before the work did, and may have been taken over. The transaction must be
    rolled back.
    """


class DatabaseUnavailable(Exception):
    """The database could not be reached or did not answer. `outcome` is "failed" (definitely not
    committed) or "unknown".
    """

    def __init__(self, outcome: Literal["failed", "unknown"], why: str) -> None:
        self.outcome: Literal["failed", "unknown"] = outcome
        self.why = why
        failed = outcome == "failed"
        what = "nothing was committed" if failed else "the commit may have happened or not"
        super().__init__(f"{why}; {what}")
