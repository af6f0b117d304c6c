"""1.1 Locks: leases, fencing tokens, and stores that refuse a stale holder."""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.locks.errors import LeaseLost as LeaseLost
    from labkit.locks.errors import LockError as LockError
    from labkit.locks.errors import LockTimeout as LockTimeout
    from labkit.locks.errors import LockUnknown as LockUnknown
    from labkit.locks.fenced_stores import RedisFencedStore as RedisFencedStore
    from labkit.locks.fenced_stores import SqlFencedStore as SqlFencedStore
    from labkit.locks.fenced_stores import StaleToken as StaleToken
    from labkit.locks.lease import Lease as Lease
    from labkit.locks.lease import RenewedLease as RenewedLease
    from labkit.locks.lock import Lock as Lock
    from labkit.locks.manager import Holder as Holder
    from labkit.locks.manager import LockManager as LockManager
    from labkit.locks.redlock import Majority as Majority
    from labkit.locks.redlock import RedlockExperiment as RedlockExperiment
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        errors="LeaseLost LockError LockTimeout LockUnknown",
        fenced_stores="RedisFencedStore SqlFencedStore StaleToken",
        lease="Lease RenewedLease",
        lock="Lock",
        manager="Holder LockManager",
        redlock="Majority RedlockExperiment",
    )
