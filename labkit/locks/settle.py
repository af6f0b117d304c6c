"""Finish a short piece of work even when the task that needs it is being cancelled.

Shows: why `asyncio.shield` alone is not enough. A shielded release goes on after its caller was
cancelled, but nobody waits for it: the loop may close under it. Here the caller stays until the
work is over, and is cancelled then.

Guarantees: returns when the work is over, at most `within` seconds later; a cancellation that came
meanwhile is raised after that, as the `CancelledError` it is. Leaves out: work that ignores its own
cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def settle(work: Coroutine[Any, Any, T], within: float) -> T:
    """The result of `work`; `TimeoutError` after `within` seconds; what `work` raises."""
    task = asyncio.ensure_future(asyncio.wait_for(work, within))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen, so that the loop does not report it: the cancellation is what the caller must know
        raise cancelled
    return task.result()
