"""Argument checks. Each error names the field, the value and what is allowed."""

from __future__ import annotations


def between(value: float, field: str, low: float, high: float) -> float:
    """`value`, if it is a number of seconds from `low` to `high`. A NaN, a bool and a string are
    not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{field} must be a number of seconds, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{field} must be between {low:g} and {high:g} seconds, got {value!r}")
    return value


def whole(field: str, value: int, least: int, most: int | None = None) -> int:
    """`value`, if it is a whole number from `least` to `most` (None: no upper limit). A bool and a
    float are not.
    """
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
    """`value`, if it is a text of 1 to `most` printable characters."""
    if not isinstance(value, str):
        raise TypeError(f"{field} must be a str, got {value!r}")
    if (
        not 1 <= len(value) <= most or not value.isprintable()
    ):  # NUL, say, and half a surrogate pair
        raise ValueError(f"{field} must have 1 to {most} printable characters, got {value[:80]!r}")
    return value
