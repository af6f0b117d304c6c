"""Errors that every pattern shares: each answers "did it happen?".

- `Refused`: definitely not, and asking again will not help. The refusals of stock and shop are
  kinds of it.
- `StaleToken`: a fenced resource refused an old token; nothing was read or written.
- `KeyReused` and `KeyInProgress`: nothing of the request was begun. `ClaimLost`: nothing of it may
  be committed.
- `DatabaseUnavailable`: its `outcome` says whether the transaction definitely failed, or nobody
  knows.

Leaves out: mistakes of the caller. Those are `ValueError` and `TypeError`, raised before anything
is sent."""

from __future__ import annotations

from typing import Literal


class Refused(Exception):
    """A definite no: it did not happen, and asking again will not help. The inventory's and the
    shop's are kinds of it.
    """

    outcome: Literal["failed"] = "failed"


class StaleToken(Exception):
    """A fenced resource refused: it has `seen` a newer token than the one `given`. Nothing was read
    or written.
    """

    def __init__(self, key: str, *, seen: int, given: int) -> None:
        self.key, self.seen, self.given = key, seen, given
        super().__init__(f"{key!r} has seen token {seen}, so the older token {given} is refused")


class KeyReused(Exception):
    """The key was used before, for another payload."""


class KeyInProgress(Exception):
    """The first request with this key has not ended; it has `retry_after` seconds left to."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"a request with this key is in progress; try again within {retry_after:g} seconds"
        )


class ClaimLost(Exception):
    """The claim ran out and another request took the key over; nothing of this one may be
    committed.
    """


class DatabaseUnavailable(Exception):
    """The database did not do it, or did not say. `outcome`: "failed" (definitely not committed) or
    "unknown".
    """

    def __init__(self, outcome: Literal["failed", "unknown"], why: str) -> None:
        self.outcome: Literal["failed", "unknown"] = outcome
        self.why = why
        super().__init__(
            f"{why}; {'nothing was committed' if outcome == 'failed' else 'the commit may have happened or not'}"
        )
