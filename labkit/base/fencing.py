"""The guard of a fenced row: an UPDATE that refuses a token older than the newest one that row has
seen.

Source: Kleppmann 2016, "How to do distributed locking".
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Update

MAX_TOKEN = 2**53 - 1
"""The largest token. Lua compares numbers as doubles, which are exact up to here."""


def fenced_update(statement: Update, column: Column[Any], token: int) -> Update:
    """`statement`, restricted to rows whose `column` holds no newer token than `token`. It also
    writes the token into that column.

    If it changes no row, either the row does not exist or the token is stale: read the row to tell,
    and raise `StaleToken`."""
    return statement.where(column <= valid_token(token)).values({column: token})


def valid_token(token: int) -> int:
    """`token` if it is a whole number from 1 to `MAX_TOKEN`; else a `TypeError` or `ValueError`."""
    if isinstance(token, bool) or not isinstance(token, int):
        raise TypeError(f"token must be an int, got {token!r}")
    if not 0 < token <= MAX_TOKEN:
        raise ValueError(f"token must be between 1 and {MAX_TOKEN}, got {token!r}")
    return token
