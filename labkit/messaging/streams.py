"""A bus on Redis Streams, which remembers what was delivered and not acknowledged.

Shows: what each command is for.
- XADD appends a message (MAXLEN bounds the stream).
- XREADGROUP gives each entry to one consumer of each group (a group is a service, a consumer one of
  its processes) and notes it as *pending* under that consumer's name.
- XACK removes it from there, after the consumer's transaction.
- XAUTOCLAIM takes over what has been pending for longer than `retry_after`: its consumer has
  crashed, or could not handle it.

A message that cannot be handled becomes a dead letter; the table in `labkit.messaging.bus` says
which error means what. So does a message that was delivered `deliveries` times and never finished:
it may be the reason why its consumers crash.

Guarantees: a message is delivered at least once to every group, as long as the server keeps its
data. A message that cannot be handled neither holds up the others nor ends a consumer.

Leaves out: order. A message that is delivered again comes after younger ones. The names of
consumers that have ended stay in the group. And there are two ways to lose a message: a server that
forgets (it crashes before it has written to disk, or fails over to a replica that lags), against
which the outbox can `republish`; and a stream that is trimmed. A trimmed entry that was pending is
reported to `observe` as "trimmed"; one that a group had not read yet is not reported at all.

Source: Redis documentation, "Redis Streams" (consumer groups, the pending entries list). Needs
Redis 7 or Valkey."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from labkit.base.observe import Observe, ignore
from labkit.base.validation import whole
from labkit.base.working import work
from labkit.messaging.bus import Receive, failure, reason
from labkit.messaging.dead_letters import DeadLetters, Fields, field, text
from labkit.messaging.envelope import BadMessage
from labkit.messaging.subscriber import Early, Later

_Entry = tuple[Any, Fields]


class NeverFinished(Exception):
    """Every consumer that had the message ended before it had handled it, perhaps because of the
    message.
    """


class RedisStreams:
    """The bus on the stream `stream` of one Redis, with its `dead` letters beside it. The client
    returns bytes, or text decoded with `encoding_errors="replace"`: a strict client would end every
    consumer at an entry that is not UTF-8.

    In seconds: an unacknowledged message is delivered again after `retry_after`, which must be
    longer than handling a batch takes; a message that is `Early` becomes a dead letter after
    `early_for`; a read blocks for `wait`, which must be shorter than the client's own time-out. The
    stream keeps about `max_length` messages, which must be more than any group may be behind."""

    def __init__(
        self,
        redis: Redis,
        stream: str = "events",
        *,
        deliveries: int = 5,
        retry_after: float = 10.0,
        early_for: float = 600.0,
        wait: float = 0.5,
        max_length: int = 100_000,
        observe: Observe = ignore,
    ) -> None:
        for name, seconds in (
            ("retry_after", retry_after),
            ("early_for", early_for),
            ("wait", wait),
        ):
            if not 0.001 <= seconds < math.inf:
                raise ValueError(
                    f"{name} must be at least 0.001 seconds and finite, got {seconds!r}"
                )
        whole("deliveries", deliveries, 1)
        whole("max_length", max_length, 1)
        self.dead = DeadLetters(redis, stream)
        self._redis = redis
        self._stream = stream
        self._deliveries = deliveries
        self._retry_after = retry_after
        self._early_for = early_for
        self._wait = wait
        self._max_length = max_length
        self._observe = observe
        self._look_again: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<RedisStreams {self._stream}>"

    async def publish(self, wire: str) -> None:
        """Append the message. After an error the outcome is unknown."""
        await self._redis.xadd(
            self._stream, {"wire": wire}, maxlen=self._max_length, approximate=True
        )

    async def subscribe(self, group: str) -> None:
        """Create the group if it is missing; it begins with the oldest message in the stream."""
        try:
            await self._redis.xgroup_create(self._stream, group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def deliver(self, group: str, consumer: str, receive: Receive, batch: int = 10) -> int:
        """Read messages for this consumer, handle and acknowledge each; returns how many are
        finished.

        First come those left pending, if it is time to look for them; then up to `batch` new ones,
        for which it waits `wait` seconds. Raises `redis.RedisError`."""
        whole("batch", batch, 1)
        try:
            return await self._again(group, consumer, receive, batch) + await self._fresh(
                group, consumer, receive, batch
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            self._observe(
                "group missing", group=group
            )  # never made, or the server has forgotten it
            await self.subscribe(group)
            return 0

    async def work(
        self, group: str, consumer: str, receive: Receive, *, poll: float = 0.5, batch: int = 10
    ) -> None:
        """Deliver for ever; ends by cancellation. Waits `poll` seconds when the server cannot be
        reached.
        """

        async def step() -> int:
            await self.deliver(group, consumer, receive, batch)
            return 1  # the read itself has waited for messages

        await work(step, poll=poll, observe=self._observe)

    async def pending(self, group: str) -> int:
        """How many messages the group's consumers have read and not acknowledged."""
        return int((await self._redis.xpending(self._stream, group))["pending"])

    async def _fresh(self, group: str, consumer: str, receive: Receive, batch: int) -> int:
        block = max(1, int(1000 * self._wait))
        answer = await self._redis.xreadgroup(
            group, consumer, {self._stream: ">"}, count=batch, block=block
        )
        return await self._handle(
            group, consumer, receive, [(entry, fields, 1) for entry, fields in _entries(answer)]
        )

    async def _again(self, group: str, consumer: str, receive: Receive, batch: int) -> int:
        """Take over what has been pending for too long, whichever consumer had it."""
        now = asyncio.get_running_loop().time()
        if now < self._look_again.get(group, 0.0):
            return 0
        self._look_again[group] = now + self._retry_after / 2
        idle, done, start = max(1, int(1000 * self._retry_after)), 0, "0-0"
        while True:
            answer = await self._redis.xautoclaim(
                self._stream, group, consumer, idle, start, count=batch
            )
            start, entries, trimmed = text(answer[0]), list(answer[1]), answer[2]
            for entry in trimmed:
                self._observe("trimmed", group=group, entry=text(entry))
            async with self._redis.pipeline(transaction=False) as counts:
                for entry, _ in entries:
                    counts.xpending_range(self._stream, group, entry, entry, 1)
                times = [
                    rows[0]["times_delivered"] if rows else 1 for rows in await counts.execute()
                ]
            taken = [
                (entry, fields, count)
                for (entry, fields), count in zip(entries, times, strict=True)
            ]
            done += await self._handle(group, consumer, receive, taken)
            if start == "0-0":
                return done

    async def _handle(
        self,
        group: str,
        consumer: str,
        receive: Receive,
        entries: Iterable[tuple[Any, Fields, int]],
    ) -> int:
        done = 0
        for identity, fields, times in entries:
            entry = text(identity)
            error = await failure(self._attempt(receive, fields, times))
            if error is None:
                await self._redis.xack(self._stream, group, entry)
                self._observe("acknowledged", group=group, entry=entry)
            elif await self._hopeless(error, entry, times):
                await self.dead.bury(group, entry, fields, reason(error), times)
                self._observe("dead", group=group, entry=entry, why=reason(error))
            else:
                await self._put_off(group, consumer, entry, times, error)
                continue
            done += 1
        return done

    async def _attempt(self, receive: Receive, fields: Fields, times: int) -> None:
        if times > self._deliveries:
            raise NeverFinished(
                f"delivered {times - 1} times, and each consumer ended before it had handled it"
            )
        await receive(_wire(fields))

    async def _put_off(
        self, group: str, consumer: str, entry: str, times: int, error: Exception
    ) -> None:
        if isinstance(error, Later):  # no failure of the message's: this delivery is not counted
            await self._redis.xclaim(
                self._stream, group, consumer, 0, [entry], retrycount=times - 1, justid=True
            )
        self._observe("put off", group=group, entry=entry, why=reason(error))

    async def _hopeless(self, error: Exception, entry: str, times: int) -> bool:
        if isinstance(
            error, Early
        ):  # both times are the server's: an entry's id begins with its milliseconds
            seconds, microseconds = await self._redis.time()
            return bool(
                seconds + microseconds / 1e6 - int(entry.partition("-")[0]) / 1e3 > self._early_for
            )
        return isinstance(error, BadMessage) or (
            not isinstance(error, Later) and times >= self._deliveries
        )


def _entries(answer: Any) -> list[_Entry]:
    """The entries of the one stream that was read: a list of pairs in RESP2, a dict in RESP3."""
    streams = (
        answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or ()]
    )
    items = [item for entries in streams for item in entries]
    return [entry for item in items for entry in (item if isinstance(item, list) else [item])]


def _wire(fields: Fields) -> str:
    wire = field(fields, "wire")
    if wire is None:
        raise BadMessage("wire", sorted(map(text, fields)), "a field of the entry")
    try:
        return wire.decode() if isinstance(wire, bytes) else str(wire)
    except UnicodeDecodeError as error:
        raise BadMessage("message", wire, "text in UTF-8") from error
