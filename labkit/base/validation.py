"""Checks of what a caller passes: each error names the field, the value and what is allowed."""

from __future__ import annotations


def between(value: float, field: str, low: float, high: float) -> float:
    """A number of seconds from `low` to `high`; not a NaN, not a bool, not a string."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{field} must be a number of seconds, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{field} must be between {low:g} and {high:g} seconds, got {value!r}")
    return value


def whole(field: str, value: int, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most` (None: however large); not a bool, not a float."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < least
        or (most is not None and value > most)
    ):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{field} must be a whole number {allowed}, got {value!r}")
    return value


def text(field: str, value: str, most: int) -> str:
    """A text of 1 to `most` printable characters."""
    if not isinstance(value, str):
        raise TypeError(f"{field} must be a str, got {value!r}")
    if (
        not 1 <= len(value) <= most or not value.isprintable()
    ):  # NUL, say, and half a surrogate pair
        raise ValueError(f"{field} must have 1 to {most} printable characters, got {value[:80]!r}")
    return value
