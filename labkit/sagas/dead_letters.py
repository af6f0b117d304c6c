"""Dead letters: what a group could not handle, kept with the reason until somebody looks.

Shows: a second stream, `<stream>.dead`. `bury` adds a letter there and acknowledges the message in one MULTI, so that it is in
exactly one of the two places; `redrive` publishes it once more, when the mistake that killed it has been mended, and whoever
takes the letter away is the one who publishes (a script, which the server runs as a whole).

Guarantees: nothing is dropped in silence. Leaves out: telling anybody (watch the stream's length), and sorting by reason.

Source: Hohpe and Woolf, "Enterprise Integration Patterns", 2003 (Dead Letter Channel, Invalid Message Channel).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from labkit.sagas.bus import DeadLetter

Fields = Mapping[Any, Any]

_REDRIVE = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'wire', ARGV[2])
return 1
"""


class DeadLetters:
    """The dead letters of the stream `stream`; about `max_length` of them are kept."""

    def __init__(self, redis: Redis, stream: str, *, max_length: int = 100_000) -> None:
        self._redis = redis
        self._stream = stream
        self._dead = f"{stream}.dead"
        self._max_length = max_length

    def __repr__(self) -> str:
        return f"<DeadLetters of {self._stream}>"

    async def bury(self, group: str, entry: str, fields: Fields, reason: str, deliveries: int) -> None:
        """Take the entry from what is pending in the group and put it here."""
        letter = {"wire": field(fields, "wire") or "", "group": group, "reason": reason, "deliveries": deliveries}
        async with self._redis.pipeline(transaction=True) as both:
            both.xadd(self._dead, letter, maxlen=self._max_length, approximate=True)  # type: ignore[arg-type]  # invariant dict
            both.xack(self._stream, group, entry)
            await both.execute()

    async def read(self, count: int = 100) -> list[DeadLetter]:
        """The oldest `count` letters of all groups."""
        return [_letter(entry, fields) for entry, fields in await self._redis.xrange(self._dead, count=count) or ()]

    async def redrive(self, letter: DeadLetter) -> bool:
        """Publish it once more, to all groups: for the others it is a duplicate. False when it is not here any more."""
        return bool(await self._redis.eval(_REDRIVE, 2, self._dead, self._stream, letter.id, letter.wire))


def field(fields: Fields, name: str) -> Any:
    """A field of an entry, from a client that decodes what it reads or from one that does not; None when it is not there."""
    return fields.get(name.encode(), fields.get(name))


def text(value: Any) -> str:
    """What the client gave, as text; what is not UTF-8 in it is replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _letter(entry: Any, fields: Any) -> DeadLetter:
    group, wire, reason = (text(field(fields, name)) for name in ("group", "wire", "reason"))
    return DeadLetter(text(entry), group, wire, reason, int(field(fields, "deliveries")))
