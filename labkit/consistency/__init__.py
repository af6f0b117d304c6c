"""Data consistency: locks with leases and fencing tokens, the resources they protect, and an inventory."""

from labkit.consistency.errors import LeaseLost, LockError, LockTimeout, LockUnknown, StaleToken
from labkit.consistency.fencing import RedisFencedStore, SqlFencedStore, fenced_update
from labkit.consistency.lease import Lease
from labkit.consistency.lock import Lock
from labkit.consistency.manager import Holder, LockManager
from labkit.consistency.redlock import RedlockExperiment

__all__ = [
    "Holder",
    "Lease",
    "LeaseLost",
    "Lock",
    "LockError",
    "LockManager",
    "LockTimeout",
    "LockUnknown",
    "RedisFencedStore",
    "RedlockExperiment",
    "SqlFencedStore",
    "StaleToken",
    "fenced_update",
]
