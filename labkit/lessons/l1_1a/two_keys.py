"""What a fenced store owes to one client that calls it step by step: a refusal changes nothing, and
each key is its own.

A part of the judge of exercise 1.1a-2 (`last_stove`), which puts a store under concurrent sales.
Those show who is refused; this shows what is there afterwards, what the refusal says, and that
another key is not refused with it.

Guarantees: every sentence it returns names a call that was made, and what it should have done.
Leaves out: concurrency and faults, and whether a read's token counts: the sales look for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from redis.asyncio import Redis

from labkit.locks import StaleToken
from labkit.world import World

NEVER_GIVES_UP = 3600.0  # seconds for an answer: nothing is lost, so there always is one
TENT, LAMP = "tent", "lamp"


class Store(Protocol):
    """What the reader writes."""

    async def read(self, key: str, token: int) -> int: ...
    async def write(self, key: str, value: int, token: int) -> None: ...


async def two_keys(world: World, store: Callable[[Redis], Store], delivery: int) -> str | None:
    """The delivery counts tents and lamps, with tokens of its own above `delivery`; returns what
    the store did wrong.
    """
    older, newest = delivery + 1, delivery + 2

    async def counting() -> str | None:
        calls = _Calls(world, store(world.redis("stock", timeout=NEVER_GIVES_UP)))
        return (
            await _of_a_key_never_written(calls, newest)
            or await calls.accepted(
                TENT, newest, 7, unless=f"the newest token, {newest}, was refused a write to {TENT}"
            )
            or await calls.found(
                TENT, newest, 7, unless=f"7 was written to {TENT}, and a read of it returned {{}}"
            )
            or await calls.refused(TENT, older, newest, 3)
            or await calls.refused(TENT, older, newest)
            or await calls.refused(TENT, older, newest, 3)
            or await calls.refused(TENT, older, newest)
            or await calls.found(
                TENT, newest, 7, unless="a write that was refused changed the value from 7 to {}"
            )
            or await calls.accepted(
                LAMP, older, 5, unless=f"the token of {TENT} refused a write to {LAMP}"
            )
            or await calls.found(
                LAMP, older, 5, unless=f"5 was written to {LAMP}, and a read of it returned {{}}"
            )
            or await calls.found(
                TENT, newest, 7, unless=f"a write to {LAMP} changed {TENT} from 7 to {{}}"
            )
        )

    counted = world.node("delivery").start(counting)
    await world.join(counted)
    return counted.result()


async def _of_a_key_never_written(calls: _Calls, newest: int) -> str | None:
    what = f"a read of {TENT}, which was never written,"
    try:
        return await calls.found(TENT, newest, 0, unless=f"{what} returned {{}} instead of 0")
    except Exception as error:
        error.add_note(f"This was {what} and must return 0.")
        raise


class _Calls:
    """One client's calls of a store, one after the other. Each method makes one and returns what
    was wrong with it.
    """

    def __init__(self, world: World, store: Store) -> None:
        self._world, self._store = world, store
        self._refusals = 0

    async def accepted(self, key: str, token: int, value: int, *, unless: str) -> str | None:
        """A write that must not be refused."""
        _, refusal = await self._call(key, token, value)
        return unless if refusal else None

    async def found(self, key: str, token: int, value: int, *, unless: str) -> str | None:
        """A read that must return `value`; what it returned takes the place of the braces."""
        found, refusal = await self._call(key, token)
        if refusal:
            return f"token {token} was refused a read of {key}, and none is newer"
        return None if found == value else unless.format(repr(found))

    async def refused(
        self, key: str, token: int, seen: int, value: int | None = None
    ) -> str | None:
        """A call that must be refused, and say why."""
        _, refusal = await self._call(key, token, value)
        call = f"a {'read' if value is None else 'write'} with token {token}, when {key} had seen {seen}"
        if refusal is None:
            return f"{'after a refusal ' if self._refusals else ''}the older token was accepted: {call}"
        self._refusals += 1
        said, right = (
            (it.key, it.seen, it.given) for it in (refusal, StaleToken(key, seen=seen, given=token))
        )
        if said == right:
            return None
        return f"{call}, raised {_stale(*said)} instead of {_stale(*right)}"

    async def _call(
        self, key: str, token: int, value: int | None = None
    ) -> tuple[object, StaleToken | None]:
        try:
            if value is None:
                self._world.record(f"read {key}", token=token)
                found = await self._store.read(key, token)
                self._world.record("found", value=found)
                return found, None
            self._world.record(f"write {key}", value=value, token=token)
            await self._store.write(key, value, token)
            self._world.record("written")
        except StaleToken as refusal:
            self._world.record("refused", seen=refusal.seen)
            return None, refusal
        return None, None


def _stale(key: object, seen: object, given: object) -> str:
    return f"StaleToken({key!r}, seen={seen!r}, given={given!r})"
