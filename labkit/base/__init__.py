"""What every pattern needs: errors, transactions, the SQLite engine, validation, idempotency keys."""

from labkit.base.errors import (
    ClaimLost,
    DatabaseUnavailable,
    KeyInProgress,
    KeyReused,
    Refused,
    StaleToken,
)
from labkit.base.fencing import fenced_update
from labkit.base.idempotency import Answer, IdempotencyKeys
from labkit.base.retry import Retry
from labkit.base.sqlite_engine import sqlite_engine
from labkit.base.transactions import begin_immediate, reading

__all__ = [
    "Answer",
    "ClaimLost",
    "DatabaseUnavailable",
    "IdempotencyKeys",
    "KeyInProgress",
    "KeyReused",
    "Refused",
    "Retry",
    "StaleToken",
    "begin_immediate",
    "fenced_update",
    "reading",
    "sqlite_engine",
]
