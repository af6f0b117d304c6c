"""Dead letters: messages that a group could not handle, kept with the reason until somebody looks.

Shows: a second stream, `<stream>.dead`. `bury` acknowledges a message and adds a letter there;
`redrive` publishes it once more, after the mistake behind it has been fixed. Each is a Lua script,
which the server runs atomically, and only the caller that removes the entry writes the new one.

Guarantees: a message becomes one letter, even if several consumers try to bury it.

Leaves out: alerting (watch the stream's length; beyond about 100,000 letters the oldest are
dropped), and grouping by reason.

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
redis.call('XADD', KEYS[2], 'MAXLEN', '~', most, '*', 'wire', wire, 'group', group,
    'reason', reason, 'deliveries', deliveries)
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
        """Acknowledge the entry for the group and keep it as a letter; do nothing if it is not
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
        """Publish the letter once more, to all groups; the other groups see a duplicate. False when
        the letter is not here any more.
        """
        return bool(
            await self._redis.eval(_REDRIVE, 2, self._dead, self._stream, letter.id, letter.wire)
        )


def field(fields: Fields, name: str) -> Any:
    """A field of an entry, whether or not the client decodes its answers; None when it is
    missing."""
    return fields.get(name.encode(), fields.get(name))


def text(value: Any) -> str:
    """The client's value as text, with replacement characters for what is not UTF-8."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _letter(entry: Any, fields: Any) -> DeadLetter:
    group, wire, reason = (text(field(fields, name)) for name in ("group", "wire", "reason"))
    return DeadLetter(text(entry), group, wire, reason, int(field(fields, "deliveries")))
