"""Holding a lock over a block of code: renewed while the block runs, the block cancelled when the
lock is lost.

    async with locks.hold("product:1") as lease:
        ...

Guarantees:
- a third of a lease after it began it is renewed, and so on, for at most `max_hold` seconds in all:
  a block that hangs does not hold the lock for ever;
- when the lease is lost (the server says so, or its deadline passes without an answer) the block is
  cancelled at its next await and the `async with` raises `LeaseLost`. A cancellation from outside
  stays a `CancelledError`;
- leaving never masks what the block returned or raised. Whether the lock was held to the end is in
  `lease.state`.

Leaves out: stopping a block that does not await, or a process that does not run. That is the
fencing token's part.

Follows: the watchdog of Redisson; `asyncio.timeout` for the cancellation and `Task.uncancel`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType

from labkit.locks.errors import LeaseLost, LockError, LockUnknown
from labkit.locks.lease import Lease
from labkit.locks.settle import settle
from labkit.locks.validation import MIN_LEASE

RENEW_AFTER = 1 / 3
RETRY_AFTER = 1 / 12


class Hold:
    """An async context manager for one block, made by `LockManager.hold`."""

    __slots__ = (
        "_acquire",
        "_entered",
        "_keys",
        "_lease",
        "_max_hold",
        "_renewal",
        "_seconds",
        "_wait",
    )

    def __init__(
        self,
        acquire: Callable[..., Awaitable[Lease]],
        keys: tuple[str, ...],
        seconds: float,
        wait: float | None,
        max_hold: float,
    ) -> None:
        self._acquire, self._keys, self._seconds, self._wait = acquire, keys, seconds, wait
        self._max_hold = max_hold
        self._entered = False

    async def __aenter__(self) -> Lease:
        if self._entered:
            raise RuntimeError("a hold is for one block: ask the manager for another")
        self._entered = True
        self._lease = await self._acquire(*self._keys, lease=self._seconds, wait=self._wait)
        task = asyncio.current_task()
        assert task is not None  # a coroutine of asyncio always runs in a task
        self._renewal = Renewal(self._lease, task, self._max_hold)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        only_by_us = self._renewal.stop()
        try:
            if self._lease.state == "held":
                with suppress(LockUnknown):  # it ends with its lease; `lease.state` says so
                    await self._lease.release()
        finally:
            if self._renewal.under_way():
                await self._renewal.ended()
        if only_by_us and isinstance(error, asyncio.CancelledError):
            raise LeaseLost(self._renewal.why) from error


class Renewal:
    """Renews a lease until stopped, and cancels the body when the lease is lost. One timer, and no
    task until it fires.
    """

    __slots__ = (
        "_body",
        "_cancelled_body",
        "_cancelling",
        "_ends_at",
        "_lease",
        "_loop",
        "_max_hold",
        "_renewing",
        "_timer",
        "why",
    )

    def __init__(self, lease: Lease, body: asyncio.Task[object], max_hold: float) -> None:
        self.why = ""
        self._lease = lease
        self._body = body
        self._ends_at = lease.asked_at + max_hold
        self._max_hold = max_hold
        self._loop = asyncio.get_running_loop()
        self._cancelling = body.cancelling()
        self._cancelled_body = False
        self._renewing: asyncio.Task[None] | None = None
        self._timer = self._loop.call_at(lease.asked_at + lease.seconds * RENEW_AFTER, self._start)

    def stop(self) -> bool:
        """End the renewal; True when the body was cancelled by it and by nobody else."""
        self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
        return self._cancelled_body and self._body.uncancel() <= self._cancelling

    def under_way(self) -> bool:
        """Whether a renewal was under way when it was stopped, and still is."""
        return self._renewing is not None and not self._renewing.done()

    async def ended(self) -> None:
        """Wait until that renewal has ended."""
        if self._renewing is not None:
            with suppress(TimeoutError):
                await settle(_over(self._renewing), self._lease.seconds)

    def _start(self) -> None:
        if self._lease.state != "held":  # the block let go by itself
            return
        self._timer = self._loop.call_at(self._lease.deadline, self._expire)
        self._renewing = self._loop.create_task(self._renew())

    async def _renew(self) -> None:
        least = MIN_LEASE  # the server takes no shorter one
        while (seconds := min(self._lease.seconds, self._ends_at - self._loop.time())) > max(
            least, self._lease.remaining()
        ):
            try:
                await self._lease.extend(seconds, replace_ttl=True)
            except LeaseLost as lost:
                self._lose(str(lost))
                return
            except LockUnknown:
                await asyncio.sleep(self._lease.seconds * RETRY_AFTER)
                continue
            except LockError:  # the block let go meanwhile
                return
            self._timer.cancel()
            self._timer = self._loop.call_at(
                self._lease.deadline - self._lease.seconds * (1 - RENEW_AFTER), self._start
            )
            return

    def _expire(self) -> None:
        if self._lease.state != "held":
            return
        if self._loop.time() >= self._ends_at:
            self._lose(f"{self._lease!r} was held for the {self._max_hold:g} s it may be held")
        else:
            self._lose(f"{self._lease!r} could not be renewed in time")

    def _lose(self, why: str) -> None:
        if self._cancelled_body:
            return
        self.why = why
        self._timer.cancel()
        self._lease.lose(why)
        self._cancelled_body = True
        self._body.cancel(why)


async def _over(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
