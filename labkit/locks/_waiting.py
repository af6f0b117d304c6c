"""Waiting for a lock: in line, woken by the one who lets go, with a deadline.

Who finds a lock taken stands in a queue on the server and blocks on a list of its own. The release
reserves the lock for the first in line and pushes to its list: a hand-over takes one and a half
round trips, no poll interval, and nobody is passed over.

Guarantees: `None` means definitely not held and no longer queued. An error or a cancellation undoes
the attempt first, as far as the server can be reached. Lost notes, holders that died and waiters
that died cost time only: each waiter looks again when the lease it waits for ends (with jitter, so
that not all look at once), and at least every `look_every` seconds.

Leaves out: priorities; fairness between waiters for one key and for several (each key's queue is
fair by itself)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from labkit.locks.errors import LockUnknown
from labkit.locks.server import Bytes, LockServer, Otherwise, Unanswered, settle

LOOK_EVERY = 0.5
"""Seconds after which a waiter looks by itself; well below the time after which its place lapses.
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """The lock was had: its fencing token, and when (loop time) it was asked for, the earliest its
    lease can have begun.
    """

    token: int
    asked_at: float


async def take(
    server: LockServer,
    keys: Sequence[Bytes],
    owner: Bytes,
    ttl_ms: int,
    *,
    wait: float,
    jitter: Callable[[], float],
    bare: str | bytes | None = None,
    look_every: float = LOOK_EVERY,
) -> Grant | None:
    """Take all keys for `owner`, waiting at most `wait` seconds; None when that was too short.

    `owner` is new each time, or `bare` is: then the locks' value is the owner alone, and the
    attempt waits under that name. `jitter` draws from 0 to 1. `LockUnknown` when the server does
    not answer."""
    now = asyncio.get_running_loop().time
    asked_at = now()
    give_up = asked_at + wait
    waiter = owner if bare is None else bare
    otherwise: Otherwise = "queue" if wait > 0 else "leave"
    try:
        while (
            answer := await server.acquire(
                keys, owner, ttl_ms, otherwise, () if bare is None else (bare,)
            )
        ) <= 0:
            left = give_up - now()
            if left <= 0:
                break
            otherwise = "stay"
            look_again = look_every if answer == 0 else min(look_every, (-1 - answer) / 1000)
            await _wake_up(
                server, waiter, min(left, look_again + jitter() * look_every / 10), jitter
            )
            asked_at = now()
    except Unanswered as error:
        await _undo(server, keys, waiter, (owner,))
        raise LockUnknown(
            f"no answer from the lock server ({type(error).__name__}): "
            f"the lock may be held, by nobody who knows of it, for {f'{ttl_ms / 1000:g} s' if ttl_ms else 'ever'}"
        ) from error
    except BaseException:
        await _undo(server, keys, waiter, (owner,))
        raise
    if answer > 0:
        return Grant(answer, asked_at)
    if wait > 0:
        await _undo(server, keys, waiter, ())
    return None


async def _wake_up(
    server: LockServer, waiter: Bytes, seconds: float, jitter: Callable[[], float]
) -> None:
    now = asyncio.get_running_loop().time
    until = now() + seconds
    try:
        await server.listen(waiter, seconds)
    except Unanswered:  # then ask the lock itself, which tells more; but never in a tight loop
        await asyncio.sleep(max(0.0, until - now()) * (0.5 + jitter() / 2))


async def _undo(
    server: LockServer, keys: Sequence[Bytes], waiter: Bytes, granted_to: Sequence[Bytes]
) -> None:
    with suppress(
        *Unanswered
    ):  # then the lease, the reservation and the place in the queue lapse by themselves
        await settle(server.abandon(keys, waiter, granted_to), server.within)
