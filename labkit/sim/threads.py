"""Work that a library sends to a thread runs in line in the simulated world.

`asyncio.to_thread` goes through the loop, which sees to it. Starlette's synchronous endpoints go
through anyio, which starts threads of its own: its one function for that is taught to call in line
when the running loop is a simulated one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyio._backends._asyncio import AsyncIOBackend

from labkit.sim.clock import current_world

_MARK = "_labkit_runs_in_line"


def install() -> None:
    """Teach anyio. Safe to call again; other loops keep their threads."""
    real = AsyncIOBackend.run_sync_in_worker_thread
    if hasattr(real, _MARK):
        return

    async def run_sync_in_worker_thread(
        func: Callable[..., Any], args: Any, *rest: Any, **options: Any
    ) -> Any:
        if current_world() is not None:
            return func(*args)
        return await real(func, args, *rest, **options)

    setattr(run_sync_in_worker_thread, _MARK, True)
    AsyncIOBackend.run_sync_in_worker_thread = staticmethod(run_sync_in_worker_thread)  # type: ignore[method-assign]
