"""Did it happen? A refusal means no; silence means nobody knows; and an error may say so itself."""

from __future__ import annotations

import asyncio
from typing import Literal

import httpx
import pytest
from redis import exceptions as redis_errors
from sqlalchemy.exc import OperationalError

from labkit.locks.errors import LockTimeout, LockUnknown
from labkit.world._outcome import outcome_of


def refused_by_redis() -> BaseException:
    """As redis-py raises it: the refusal is only in the context."""
    try:
        try:
            raise ConnectionRefusedError
        except OSError:
            raise redis_errors.ConnectionError("Error 111 connecting")  # noqa: B904  # as redis-py does
    except redis_errors.ConnectionError as error:
        return error


def silence_after_a_refusal() -> BaseException:
    """The second attempt, made while the first's refusal is handled, is not answered."""
    try:
        try:
            raise ConnectionRefusedError
        except OSError:
            raise TimeoutError  # noqa: B904  # the context is the point
    except TimeoutError as error:
        return error


def statement(*, invalidated: bool) -> BaseException:
    return OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(), "failed"),
        (refused_by_redis(), "failed"),
        (httpx.ConnectError("refused"), "failed"),
        (redis_errors.BusyLoadingError(), "failed"),
        (redis_errors.ResponseError("WRONGTYPE"), "failed"),
        (ValueError("quantity"), "failed"),
        (statement(invalidated=False), "failed"),
        (LockTimeout("not had"), "failed"),
        (TimeoutError(), "unknown"),
        (silence_after_a_refusal(), "unknown"),
        (asyncio.CancelledError(), "unknown"),
        (ConnectionResetError(), "unknown"),
        (redis_errors.TimeoutError(), "unknown"),
        (redis_errors.ConnectionError("closed by server"), "unknown"),
        (httpx.ReadTimeout("no answer"), "unknown"),
        (statement(invalidated=True), "unknown"),
        (LockUnknown("no answer"), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_says_whether_the_call_happened(
    error: BaseException, outcome: Literal["failed", "unknown"]
) -> None:
    assert outcome_of(error) == outcome
