"""The guard of a fenced row: an UPDATE that refuses a token older than the newest one the row has
seen.

Source: Kleppmann 2016, "How to do distributed locking".
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Update

MAX_TOKEN = 2**53 - 1
"""Lua compares numbers as doubles, which are exact up to there."""


def fenced_update(statement: Update, column: Column[Any], token: int) -> Update:
    """The UPDATE, for rows whose `column` has seen no newer token than `token`; it also notes the
    token there.

    When it then changes no row, the row does not exist or the token is stale: look which, and raise
    `StaleToken`."""
    return statement.where(column <= valid_token(token)).values({column: token})


def valid_token(token: int) -> int:
    """The token, if it is a whole number from 1 to `MAX_TOKEN`."""
    if isinstance(token, bool) or not isinstance(token, int):
        raise TypeError(f"token must be an int, got {token!r}")
    if not 0 < token <= MAX_TOKEN:
        raise ValueError(f"token must be between 1 and {MAX_TOKEN}, got {token!r}")
    return token
