"""1.1 Locks: leases, fencing tokens, and stores that refuse a stale holder."""

from labkit.base.errors import StaleToken
from labkit.locks.errors import LeaseLost, LockError, LockTimeout, LockUnknown
from labkit.locks.fencing import RedisFencedStore, SqlFencedStore
from labkit.locks.lease import Lease
from labkit.locks.lock import Lock
from labkit.locks.manager import Holder, LockManager
from labkit.locks.redlock import Majority, RedlockExperiment

__all__ = [
    "Holder",
    "Lease",
    "LeaseLost",
    "Lock",
    "LockError",
    "LockManager",
    "LockTimeout",
    "LockUnknown",
    "Majority",
    "RedisFencedStore",
    "RedlockExperiment",
    "SqlFencedStore",
    "StaleToken",
]
