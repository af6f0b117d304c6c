"""Argument checks of locks. Each error names the field, the value and what is allowed."""

from __future__ import annotations

import math

from labkit.base.validation import between
from labkit.locks.server import RESERVED

MAX_KEY_BYTES = 1_024
MAX_KEYS = 100
MIN_LEASE, MAX_LEASE = 0.001, 86_400.0


def lock_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys, sorted and without duplicates. All clients lock in this order, so that they cannot
    deadlock.
    """
    if not 1 <= len(keys) <= MAX_KEYS:
        raise ValueError(f"keys: between 1 and {MAX_KEYS} names are allowed, got {len(keys)}")
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"key must be a str, got {key!r}")
        lock_name(key)
    return keys if len(keys) == 1 else tuple(sorted(set(keys)))


def lock_name(name: str | bytes | memoryview) -> None:
    """Refuse a name that is empty, longer than `MAX_KEY_BYTES`, not UTF-8, or reserved."""
    if not isinstance(name, str | bytes | memoryview):
        raise TypeError(f"name of a lock must be str, bytes or memoryview, got {name!r}")
    try:
        encoded = name.encode() if isinstance(name, str) else bytes(name)
    except UnicodeEncodeError as error:
        raise ValueError(f"key {name!r} is not text that UTF-8 can encode") from error
    if not 1 <= len(encoded) <= MAX_KEY_BYTES:
        shown = f"{encoded[:20]!r}…" if len(encoded) > 20 else repr(name)
        raise ValueError(f"key must have 1 to {MAX_KEY_BYTES} bytes, got {len(encoded)}: {shown}")
    if encoded.startswith(RESERVED.encode()):
        raise ValueError(
            f"key {name!r} must not begin with {RESERVED!r}: those names are the lock's own"
        )


def lease_seconds(value: float, field: str = "lease") -> float:
    """A lease that Redis can keep, in seconds."""
    return between(value, field, MIN_LEASE, MAX_LEASE)


def wait_seconds(value: float, field: str = "wait") -> float:
    """Seconds to wait: 0 tries once, `math.inf` waits for ever."""
    return between(value, field, 0.0, math.inf)


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, at least one."""
    return max(1, int(seconds * 1000))
