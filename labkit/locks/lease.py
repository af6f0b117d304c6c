"""A lease: a lock that is held, until when, and with which fencing token. And a lease that is
renewed while a block runs:

    async with locks.hold("product:1") as lease:
        ...

Guarantees of `Lease`: `remaining` never reports more than the server grants, as long as both clocks
run at the same speed, because the lease is counted from before the request was sent. `release`
reports whether the lock was still held; it never releases another client's lock, may be called
twice, and is completed even if its caller is cancelled.

Guarantees of `RenewedLease`:
- it is renewed after a third of the lease, and again after each further third, for at most
  `max_hold` seconds in all, so that a block that hangs does not hold the lock for ever;
- if the lease is lost (the server says so, or its deadline passes without an answer), the block is
  cancelled at its next await and the `async with` raises `LeaseLost`. A cancellation from outside
  remains a `CancelledError`;
- leaving the block never replaces what the block returned or raised. `lease.state` says whether the
  lock was held to the end.

Leaves out: certainty. Between a check of `remaining` and the next line, the process may stop for a
minute, and a block that does not await cannot be cancelled. No lock can prevent that. Only the
resource can, by refusing an old fencing token (`fenced_stores.py`).

Sources: Gray and Cheriton 1989, "Leases"; `redis.asyncio.lock.Lock` for the names; Redisson's
watchdog for the renewal; `asyncio.timeout` for the use of `Task.uncancel`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal

from labkit.locks._validation import MIN_LEASE, lease_seconds, milliseconds
from labkit.locks.errors import LeaseLost, LockError, LockUnknown
from labkit.locks.server import FENCED, LockServer, Unanswered, settle

LeaseState = Literal["held", "released", "lost", "unknown"]


class Lease:
    """`keys` held by `owner` under the fencing `token`, until loop time `deadline` unless extended.

    `state`: "held", "released" (and held until then), "lost", or "unknown" (the release was not
    answered; the lock ends with its lease)."""

    __slots__ = (
        "_server",
        "_value",
        "_why",
        "asked_at",
        "deadline",
        "keys",
        "owner",
        "seconds",
        "state",
        "token",
    )

    def __init__(
        self,
        server: LockServer,
        keys: tuple[str, ...],
        owner: str,
        token: int,
        *,
        asked_at: float,
        seconds: float,
    ) -> None:
        self._server = server
        self.keys = keys
        self.owner = owner
        self.token = token
        self.seconds = seconds
        self.asked_at = asked_at
        self.deadline = asked_at + seconds
        self.state: LeaseState = "held"
        self._value = f"{owner}{FENCED}{token}"
        self._why = ""

    @property
    def lost(self) -> bool:
        """Whether the lock is known to have ended before it was released."""
        return self.state == "lost"

    def remaining(self) -> float:
        """Seconds for which the lock is certainly held; 0 if it is not."""
        if self.state != "held":
            return 0.0
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def require(self, seconds: float = 0.0) -> None:
        """Raise `LeaseLost` unless more than `seconds` remain. Call it before a step that takes
        that long, such as a commit.
        """
        if not self.remaining() > seconds:
            left = f"{self.remaining():.3f} s of the lease on {self._names()} remain"
            raise LeaseLost(self._why or f"{left}, not {seconds:g}")

    async def owned(self) -> bool:
        """Ask the server whether this lease still holds every key. Raises `LockUnknown`."""
        try:
            return all(
                [(await self._server.look(key))[0] == self._value.encode() for key in self.keys]
            )
        except Unanswered as error:
            raise LockUnknown(f"no answer about {self._names()}") from error

    async def extend(self, additional_time: float, replace_ttl: bool = False) -> Literal[True]:
        """Add seconds to the lease; with `replace_ttl`, let it end `additional_time` seconds from
        now. Raises `LeaseLost` or `LockUnknown`.
        """
        ms = milliseconds(lease_seconds(additional_time, "additional_time"))
        if self.state != "held":
            raise self._error("extend")
        asked_at = asyncio.get_running_loop().time()
        try:
            left = await self._server.extend(self.keys, self._value, ms, replace=replace_ttl)
        except Unanswered as error:
            raise LockUnknown(
                f"no answer to the extension of {self._names()}: it ends as before, or later"
            ) from error
        if self.state != "held":  # it was released or lost while the server was asked
            raise self._error("extend")
        if not left:
            raise self.lose(f"the lease on {self._names()} ended before it was extended")
        self.deadline = asked_at + left / 1000
        return True

    async def reacquire(self) -> Literal[True]:
        """Start the lease again, with its original number of seconds."""
        return await self.extend(self.seconds, replace_ttl=True)

    async def release(self) -> bool:
        """Release the lock. True: it was held until now. False: the lease had been lost.

        Raises `LockUnknown` if the server does not answer; the lock then ends with its lease. A
        second call sends nothing and repeats the first result."""
        if self.state != "held":
            return self.state == "released"
        self.state = "released"
        try:
            kept = await self._server.release(self.keys, self._value)
        except asyncio.CancelledError:
            await self._release_for_sure()
            raise
        except Unanswered as error:
            self.state = "unknown"
            raise LockUnknown(
                f"no answer to the release of {self._names()}: it ends with its lease at the latest"
            ) from error
        if kept < len(self.keys):
            self.lose(f"the lease on {self._names()} had ended before it was released")
        return self.state == "released"

    def lose(self, why: str) -> LeaseLost:
        """Mark the lease as lost, and return the error to raise."""
        self.state, self._why = "lost", why
        return LeaseLost(why)

    async def _release_for_sure(self) -> None:
        """Release again after a cancelled release, which may or may not have been executed. That is
        safe: only the owner's lock is ever released.

        If nothing is left to release, either the first release did it or the lease had been lost:
        the state is unknown."""
        try:
            kept = await settle(self._server.release(self.keys, self._value), self._server.within)
        except Unanswered:
            kept = 0
        if kept < len(self.keys):
            self.state = "unknown"

    def _error(self, action: str) -> LockError:
        if self.state == "lost":
            return LeaseLost(self._why)
        return LockError(f"cannot {action} {self._names()}: it is {self.state}")

    def _names(self) -> str:
        return ", ".join(map(repr, self.keys))

    def __repr__(self) -> str:
        return f"<Lease on {self._names()}, token {self.token}, {self.state}>"


RENEW_AFTER = 1 / 3
RETRY_AFTER = 1 / 12


class RenewedLease:
    """A lease that is renewed while one `async with` block runs. Made by `LockManager.hold`."""

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
        self._renewal = _Renewal(self._lease, task, self._max_hold)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        only_by_us = self._renewal.stop()
        try:
            if self._lease.state == "held":
                with suppress(LockUnknown):  # then `lease.state` is "unknown"
                    await self._lease.release()
        finally:
            if self._renewal.under_way():
                await self._renewal.ended()
        if only_by_us and isinstance(error, asyncio.CancelledError):
            raise LeaseLost(self._renewal.why) from error


class _Renewal:
    """Renews a lease until stopped, and cancels the body if the lease is lost. It has one timer,
    and no task until that fires.
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
        """End the renewal. True if the body was cancelled by it, and by nobody else."""
        self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
        return self._cancelled_body and self._body.uncancel() <= self._cancelling

    def under_way(self) -> bool:
        """Whether a renewal is still running after `stop`."""
        return self._renewing is not None and not self._renewing.done()

    async def ended(self) -> None:
        """Wait until that renewal has ended."""
        if self._renewing is not None:
            with suppress(TimeoutError):
                await settle(_over(self._renewing), self._lease.seconds)

    def _start(self) -> None:
        if self._lease.state != "held":  # the block released it
            return
        self._timer = self._loop.call_at(self._lease.deadline, self._expire)
        self._renewing = self._loop.create_task(self._renew())

    async def _renew(self) -> None:
        least = MIN_LEASE  # the server accepts no shorter one
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
            except LockError:  # the block has released it meanwhile
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
