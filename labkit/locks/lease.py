"""A lease: a lock that is held, for how long, and with which fencing token.

Guarantees: `remaining` never says more than the server grants, as long as both clocks run equally
fast: the lease is counted from before the request was sent. `release` answers whether the lock was
the holder's until then; it frees nobody else's lock, may be called twice, and is finished even when
its caller is cancelled.

Leaves out: knowing for sure. Between a look at `remaining` and the next line the process may stop
for a minute, which no lock can prevent; only the resource can, by refusing an old fencing token
(`fencing.py`).

Follows: the lease of Gray and Cheriton 1989; names of `redis.asyncio.lock.Lock`.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from labkit.locks.errors import LeaseLost, LockError, LockUnknown
from labkit.locks.scripts import FENCED
from labkit.locks.server import LockServer, Unanswered
from labkit.locks.settle import settle
from labkit.locks.validation import lease_seconds, milliseconds

LeaseState = Literal["held", "released", "lost", "unknown"]


class Lease:
    """`keys` held by `owner` under the fencing `token`, until loop time `deadline` unless extended.

    `state`: held; released (and it was ours until then); lost; unknown (the release was not
    answered: it ends by itself)."""

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
        """Whether the lock ended before it was released, as far as is known here."""
        return self.state == "lost"

    def remaining(self) -> float:
        """Seconds for which the lock is surely held, at least 0."""
        if self.state != "held":
            return 0.0
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def require(self, seconds: float = 0.0) -> None:
        """Raise `LeaseLost` unless more than `seconds` remain: ask before a step that takes that
        long, such as a commit.
        """
        if not self.remaining() > seconds:
            raise LeaseLost(
                self._why
                or f"{self.remaining():.3f} s of the lease on {self._names()} remain, not {seconds:g}"
            )

    async def owned(self) -> bool:
        """Ask the server whether every key is still this lease's. `LockUnknown` without an answer."""
        try:
            return all(
                [(await self._server.look(key))[0] == self._value.encode() for key in self.keys]
            )
        except Unanswered as error:
            raise LockUnknown(f"no answer about {self._names()}") from error

    async def extend(self, additional_time: float, replace_ttl: bool = False) -> Literal[True]:
        """Add seconds to the lease, or let it end `additional_time` seconds from now. `LeaseLost`
        when it is ours no more.
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
        if (
            self.state != "held"
        ):  # it was released, or given up for lost, while the server was asked
            raise self._error("extend")
        if not left:
            raise self.lose(f"the lease on {self._names()} ended before it was extended")
        self.deadline = asked_at + left / 1000
        return True

    async def reacquire(self) -> Literal[True]:
        """Let the lease begin anew, with the seconds it had at first."""
        return await self.extend(self.seconds, replace_ttl=True)

    async def release(self) -> bool:
        """Let go. True: it was ours until now; False: it had been lost.

        `LockUnknown` without an answer; it ends by itself then. A second call asks nobody and
        repeats what is known."""
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
        """Note that the lease is lost, and the error that says so."""
        self.state, self._why = "lost", why
        return LeaseLost(why)

    async def _release_for_sure(self) -> None:
        """The cancelled release may have been done or not. Do it again: only the owner's lock is
        ever released.

        When nothing is left to release, the first one did it or the lease had been lost: that is
        unknown."""
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
