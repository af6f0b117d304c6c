"""What every pattern needs: errors that answer "did it happen?", transactions, the SQLite engine,
claims, the loop of a worker, idempotency keys, retry and validation.
"""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.base.claims import Claim as Claim
    from labkit.base.claims import Turn as Turn
    from labkit.base.claims import create_turns as create_turns
    from labkit.base.errors import ClaimLost as ClaimLost
    from labkit.base.errors import DatabaseUnavailable as DatabaseUnavailable
    from labkit.base.errors import KeyInProgress as KeyInProgress
    from labkit.base.errors import KeyReused as KeyReused
    from labkit.base.errors import Refused as Refused
    from labkit.base.errors import StaleToken as StaleToken
    from labkit.base.fencing import fenced_update as fenced_update
    from labkit.base.idempotency import Answer as Answer
    from labkit.base.idempotency import IdempotencyKeys as IdempotencyKeys
    from labkit.base.retry import Retry as Retry
    from labkit.base.sqlite import sqlite_engine as sqlite_engine
    from labkit.base.transactions import begin_immediate as begin_immediate
    from labkit.base.transactions import reading as reading
    from labkit.base.working import TRANSIENT as TRANSIENT
    from labkit.base.working import work as work
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        claims="Claim Turn create_turns",
        errors="ClaimLost DatabaseUnavailable KeyInProgress KeyReused Refused StaleToken",
        fencing="fenced_update",
        idempotency="Answer IdempotencyKeys",
        retry="Retry",
        sqlite="sqlite_engine",
        transactions="begin_immediate reading",
        working="TRANSIENT work",
    )
