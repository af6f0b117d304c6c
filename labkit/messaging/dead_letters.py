"""Dead letters: what a group could not handle, kept with the reason until somebody looks.

Shows: a second stream, `<stream>.dead`. `bury` takes a message off what is pending and adds a
letter there; `redrive` publishes it once more, when the mistake that killed it has been mended.
Each is a script, which the server runs as a whole, and each is done by whoever takes the entry
away.

Guarantees: a message becomes one letter, whoever else tries to bury it. Leaves out: telling anybody
(watch the stream's length; beyond about 100,000 letters the oldest go), and sorting by reason.

Source: Hohpe and Woolf, "Enterprise Integration Patterns", 2003 (Dead Letter Channel, Invalid
Message Channel)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from labkit.messaging.bus import DeadLetter

Fields = Mapping[Any, Any]

_KEPT = 100_000

_BURY = """
local entry, most, wire, group, reason, deliveries = unpack(ARGV)
if redis.call('XACK', KEYS[1], group, entry) == 0 then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', most, '*', 'wire', wire, 'group', group, 'reason', reason, 'deliveries', deliveries)
return 1
"""
_REDRIVE = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'wire', ARGV[2])
return 1
"""


class DeadLetters:
    """The dead letters of the stream `stream`."""

    def __init__(self, redis: Redis, stream: str) -> None:
        self._redis = redis
        self._stream = stream
        self._dead = f"{stream}.dead"

    def __repr__(self) -> str:
        return f"<DeadLetters of {self._stream}>"

    async def bury(
        self, group: str, entry: str, fields: Fields, reason: str, deliveries: int
    ) -> None:
        """Take the entry from what is pending in the group and put it here; leave one that is not
        pending any more.
        """
        letter = field(fields, "wire") or "", group, reason, deliveries
        await self._redis.eval(_BURY, 2, self._stream, self._dead, entry, _KEPT, *letter)

    async def read(self, count: int = 100) -> list[DeadLetter]:
        """The oldest `count` letters of all groups."""
        return [
            _letter(entry, fields)
            for entry, fields in await self._redis.xrange(self._dead, count=count) or ()
        ]

    async def redrive(self, letter: DeadLetter) -> bool:
        """Publish it once more, to all groups: for the others it is a duplicate. False when it is
        not here any more.
        """
        return bool(
            await self._redis.eval(_REDRIVE, 2, self._dead, self._stream, letter.id, letter.wire)
        )


def field(fields: Fields, name: str) -> Any:
    """A field of an entry, from a client that decodes what it reads or from one that does not; None
    when it is not there.
    """
    return fields.get(name.encode(), fields.get(name))


def text(value: Any) -> str:
    """What the client gave, as text; what is not UTF-8 in it is replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _letter(entry: Any, fields: Any) -> DeadLetter:
    group, wire, reason = (text(field(fields, name)) for name in ("group", "wire", "reason"))
    return DeadLetter(text(entry), group, wire, reason, int(field(fields, "deliveries")))
