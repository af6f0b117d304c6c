"""Checks of what a caller passes: each error names the field, the value and what is allowed.

Left out: fencing tokens and quantities, which the modules that take them check.
"""

from __future__ import annotations

import math

from labkit.consistency.scripts import RESERVED

MAX_KEY_BYTES = 1_024
MAX_KEYS = 100
MIN_LEASE, MAX_LEASE = 0.001, 86_400.0


def lock_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys sorted and without doubles: all who want several ask in this one order, so that they cannot deadlock."""
    if not 1 <= len(keys) <= MAX_KEYS:
        raise ValueError(f"keys: between 1 and {MAX_KEYS} names are allowed, got {len(keys)}")
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"key must be a str, got {key!r}")
        lock_name(key)
    return keys if len(keys) == 1 else tuple(sorted(set(keys)))


def lock_name(name: str | bytes | memoryview) -> None:
    """Refuse a name that is empty, longer than `MAX_KEY_BYTES`, not UTF-8, or within labkit's own names."""
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
        raise ValueError(f"key {name!r} must not begin with {RESERVED!r}: those names are the lock's own")


def lease_seconds(value: float, field: str = "lease") -> float:
    """A finite time to live that Redis can keep."""
    return between(value, field, MIN_LEASE, MAX_LEASE)


def wait_seconds(value: float, field: str = "wait") -> float:
    """A time to wait: 0 asks once, `math.inf` waits for ever."""
    return between(value, field, 0.0, math.inf)


def between(value: float, field: str, low: float, high: float) -> float:
    """A number of seconds from `low` to `high`; not a NaN, not a bool, not a string."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{field} must be a number of seconds, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{field} must be between {low:g} and {high:g} seconds, got {value!r}")
    return value


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, at least one."""
    return max(1, int(seconds * 1000))


def whole(field: str, value: int, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most` (None: however large); not a bool, not a float."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{field} must be a whole number {allowed}, got {value!r}")
    return value


def text(field: str, value: str, most: int) -> str:
    """A text of 1 to `most` printable characters."""
    if not isinstance(value, str):
        raise TypeError(f"{field} must be a str, got {value!r}")
    if not 1 <= len(value) <= most or not value.isprintable():  # NUL, say, and half a surrogate pair
        raise ValueError(f"{field} must have 1 to {most} printable characters, got {value[:80]!r}")
    return value
