"""Did it happen? What an exception says about the call that raised it.

`failed`: definitely not. `unknown`: no answer came, so it may have happened, or may yet.

Leaves out: errors of libraries that labkit does not use; an error that is not known here counts as
a refusal."""

from __future__ import annotations

import asyncio

import httpx
from redis import exceptions as redis_errors
from sqlalchemy.exc import DBAPIError

from labkit.world.history import Outcome

_NEVER_SENT = (
    ConnectionRefusedError,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    redis_errors.BusyLoadingError,
)
_NO_ANSWER = (TimeoutError, asyncio.CancelledError, httpx.TransportError, redis_errors.TimeoutError)
_BROKEN_CONNECTION = (ConnectionError, redis_errors.ConnectionError)


def outcome_of(error: BaseException) -> Outcome:
    """What became of the call that ended with this error. An error with an attribute `outcome` of
    its own says so itself.
    """
    match getattr(error, "outcome", None):
        case "failed":
            return "failed"
        case "unknown":
            return "unknown"
    if isinstance(error, _NEVER_SENT):
        return "failed"
    if isinstance(error, _BROKEN_CONNECTION):
        # redis-py wraps a refusal, and has it as context only.
        refused = isinstance(error.__cause__ or error.__context__, ConnectionRefusedError)
        return "failed" if refused else "unknown"
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return "unknown"
    return "unknown" if isinstance(error, _NO_ANSWER) else "failed"
