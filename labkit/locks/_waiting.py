"""Waiting for a lock: in a queue, woken by the release, with a deadline.

A client that finds a lock taken joins a queue on the server and blocks on a list of its own. The
release reserves the lock for the first in the queue and pushes to that client's list. A hand-over
therefore takes one and a half round trips and no poll interval, and nobody is overtaken.

Guarantees: `None` means definitely not held and no longer queued. After an error or a cancellation
the attempt is undone first, as far as the server can be reached. Lost wake-ups, holders that died
and waiters that died cost time, but no correctness: each waiter checks the lock again when the
lease it waits for ends (with jitter, so that not all check at once), and at least every
`look_every` seconds.

Leaves out: priorities, and fairness between clients that wait for one key and for several (each
key's queue is fair by itself)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from labkit.locks.errors import LockUnknown
from labkit.locks.server import Bytes, LockServer, Otherwise, Unanswered, settle

LOOK_EVERY = 0.5
"""Seconds after which a waiter checks the lock without being woken. Well below the time after which
it loses its place in the queue.
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """An acquired lock: its fencing token, and the loop time of the request, which is the earliest
    moment at which the lease can have begun.
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
    """Acquire all keys for `owner`, waiting at most `wait` seconds; None if that was not enough.

    Either `owner` is unique to this attempt, or `bare` is: then the value of the locks is the owner
    alone, and the attempt queues under the name `bare`. `jitter` draws from 0 to 1. Raises
    `LockUnknown` if the server does not answer."""
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
        life = f"{ttl_ms / 1000:g} s" if ttl_ms else "ever"
        raise LockUnknown(
            f"no answer from the lock server ({type(error).__name__}): "
            f"the lock may be held for {life}, although no client knows of it"
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
    except Unanswered:  # the caller asks the lock itself next; the pause prevents a tight loop
        await asyncio.sleep(max(0.0, until - now()) * (0.5 + jitter() / 2))


async def _undo(
    server: LockServer, keys: Sequence[Bytes], waiter: Bytes, granted_to: Sequence[Bytes]
) -> None:
    with suppress(*Unanswered):  # the lease, the reservation and the place in the queue will lapse
        await settle(server.abandon(keys, waiter, granted_to), server.within)
