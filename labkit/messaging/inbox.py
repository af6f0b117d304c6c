"""The inbox: a message that is delivered twice takes effect once.

Shows: one table whose primary key is (consumer, message id), written **in the transaction of the
effect**.
- For an event: `first` says whether this is its first delivery. If not, the handler has nothing
  left to do.
- For a command, whose sender waits for an answer: `once` runs the work and stores its answer, or
  replays the stored one. A refusal is an answer too: what the work had written is undone (a
  savepoint), and the refusal is stored instead.

Guarantees: effect and entry are committed together or not at all, whatever crashes. Of two
concurrent deliveries one waits for the other (PostgreSQL: for its row; SQLite: for the write lock)
and then sees what it did.

Leaves out: effects outside this database (a mail, another service's table): the inbox cannot undo
those, they need an idempotency key of their own. Entries stay until `prune`, which must keep them
for longer than a message can be on its way.

Sources: Richardson, "Microservices Patterns", 2018, ch. 3 (idempotent consumer); Helland 2012,
"Idempotence Is Not a Medical Condition"; Stripe API, "Idempotent requests" (the stored answer)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy import (
    Column,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import KeyReused
from labkit.base.idempotency import Answer
from labkit.base.transactions import begin_immediate, create_tables, insert_if_new

metadata = MetaData()
inbox = Table(
    "inbox",
    metadata,
    Column("consumer", String(64), primary_key=True),
    Column("message_id", String(255), primary_key=True),
    Column("received_at", Double, nullable=False),
    Column("fingerprint", String(64), nullable=False, server_default=""),
    Column("status", Integer),  # NULL for an event: nobody waits for its answer
    Column("body", Text),
)

_MAX_ID = 255


def _no_refusals(error: Exception) -> Answer | None:
    return None


class Inbox:
    """The messages that one consumer has received, in the table `inbox` of the database that its
    effects are in.

    `clock` gives seconds since 1970. Consumers of one database share the table, not its rows."""

    def __init__(self, consumer: str, clock: Callable[[], float]) -> None:
        if not isinstance(consumer, str) or not 1 <= len(consumer) <= 64:
            raise ValueError(f"consumer must be a name of 1 to 64 characters, got {consumer!r}")
        self.consumer = consumer
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Inbox of {self.consumer}>"

    async def first(self, connection: AsyncConnection, message_id: str) -> bool:
        """Enter the message in the caller's transaction; False if it was there before, and its
        effect is committed already.
        """
        return await self._enter(connection, message_id, "")

    async def once(
        self,
        connection: AsyncConnection,
        message_id: str,
        work: Callable[[], Awaitable[Answer]],
        *,
        fingerprint: str = "",
        refusal: Callable[[Exception], Answer | None] = _no_refusals,
    ) -> tuple[Answer, bool]:
        """The answer to a command, and whether it is a replay. `work` runs at most once per
        message, in this transaction.

        `refusal` turns an exception of `work` into the answer to store. If it returns None, the
        exception is raised and the entry is rolled back with the caller's transaction: the command
        may be sent again. `fingerprint` (at most 64 characters) stands for the payload; a message
        id that comes with another fingerprint raises `KeyReused`."""
        if await self._enter(connection, message_id, fingerprint):
            try:
                async with connection.begin_nested():
                    answer = await work()
            except Exception as error:
                refused = refusal(error)
                if refused is None:
                    raise
                answer = refused
            entry = update(inbox).where(
                inbox.c.consumer == self.consumer, inbox.c.message_id == message_id
            )
            await connection.execute(entry.values(status=answer.status, body=answer.body))
            return answer, False
        entered = select(inbox).where(
            inbox.c.consumer == self.consumer, inbox.c.message_id == message_id
        )
        row = (await connection.execute(entered)).one()
        if row.fingerprint != fingerprint or row.status is None:
            raise KeyReused(
                f"message {message_id!r} was received by {self.consumer!r} with another payload"
            )
        return Answer(row.status, row.body), True

    async def prune(self, connection: AsyncConnection, before: float) -> int:
        """Delete the entries received before this time (seconds since 1970); returns how many. A
        message whose entry is deleted and that is delivered again takes effect again."""
        old = delete(inbox).where(inbox.c.consumer == self.consumer, inbox.c.received_at < before)
        return (await connection.execute(old)).rowcount

    async def _enter(self, connection: AsyncConnection, message_id: str, fingerprint: str) -> bool:
        if not isinstance(message_id, str) or not 1 <= len(message_id) <= _MAX_ID:
            raise ValueError(
                f"message_id must be a text of 1 to {_MAX_ID} characters, got {message_id!r}"
            )
        row = {
            "consumer": self.consumer,
            "message_id": message_id,
            "received_at": self._clock(),
            "fingerprint": fingerprint,
        }
        entered = await connection.execute(insert_if_new(inbox).values(row))
        return entered.rowcount == 1


async def create_inbox(engine: AsyncEngine) -> None:
    """Create the table `inbox` where it is missing."""
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)
