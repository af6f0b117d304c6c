"""Data consistency: locks with leases and fencing tokens, the resources they protect, an inventory, and idempotency keys.

Left out of this list: reservations (`labkit.consistency.reservations`), the tables (each is in the module of the class that
uses it), and what the modules use of each other.
"""

from labkit.consistency.errors import (
    ClaimLost,
    DatabaseUnavailable,
    KeyInProgress,
    KeyReused,
    LeaseLost,
    LockError,
    LockTimeout,
    LockUnknown,
    NotHeld,
    OutOfStock,
    QuotaSpent,
    Refused,
    StaleToken,
    UnknownHold,
    UnknownSku,
)
from labkit.consistency.fencing import RedisFencedStore, SqlFencedStore, fenced_update
from labkit.consistency.idempotency import Answer, IdempotencyKeys
from labkit.consistency.inventory import Inventory, create_inventory, fenced, guarded, row_locked
from labkit.consistency.lease import Lease
from labkit.consistency.lock import Lock
from labkit.consistency.manager import Holder, LockManager
from labkit.consistency.redlock import Majority, RedlockExperiment
from labkit.consistency.sqlite import sqlite_engine
from labkit.consistency.transactions import begin_immediate, reading

__all__ = [
    "Answer",
    "ClaimLost",
    "DatabaseUnavailable",
    "Holder",
    "IdempotencyKeys",
    "Inventory",
    "KeyInProgress",
    "KeyReused",
    "Lease",
    "LeaseLost",
    "Lock",
    "LockError",
    "LockManager",
    "LockTimeout",
    "LockUnknown",
    "Majority",
    "NotHeld",
    "OutOfStock",
    "QuotaSpent",
    "RedisFencedStore",
    "RedlockExperiment",
    "Refused",
    "SqlFencedStore",
    "StaleToken",
    "UnknownHold",
    "UnknownSku",
    "begin_immediate",
    "create_inventory",
    "fenced",
    "fenced_update",
    "guarded",
    "reading",
    "row_locked",
    "sqlite_engine",
]
