"""Idempotency keys: a request that is repeated with the same key has one effect and gets the first
answer again.

Three steps, on one table whose primary key is the client's key:
1. `claim` inserts the key for the first request, in a transaction of its own. Every other request
   with that key gets the stored answer to replay, `KeyInProgress` (HTTP 409, retry later) or
   `KeyReused` (HTTP 422, the payload differs).
2. `complete` stores the answer **in the transaction of the effect**: both commit, or neither does.
3. `release` deletes the key when nothing happened, so that a retry is a new attempt.

Guarantees: one effect per key, whatever is lost, repeated or crashes, as long as the client reuses
the key. If the owner of a claim dies, another request takes the claim over after `claim_for`
seconds. If the owner was only slow, its `complete` finds that the claim has changed hands and
raises `ClaimLost`, which rolls back its effect. A wrong clock can waste an attempt, but cannot
cause a second effect.

Leaves out: pruning (delete by `created_at`; Stripe keeps keys for at least 24 hours) and keys
scoped by account.

Sources: Stripe API, "Idempotent requests"; IETF draft-ietf-httpapi-idempotency-key-header; Brandur
Leach 2017, "Implementing Stripe-like idempotency keys in Postgres"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    and_,
    delete,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.claims import Claim
from labkit.base.errors import ClaimLost, KeyInProgress, KeyReused
from labkit.base.transactions import begin_immediate, insert_if_new, reading

metadata = MetaData()
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("claimed_until", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("status", Integer),  # NULL while the first request is in progress
    Column("body", Text),
)
_CLAIM = Claim(idempotency_keys.c.owner, idempotency_keys.c.claimed_until)


@dataclass(frozen=True)
class Answer:
    """An answer as it is stored and replayed: an HTTP status, and the body as text."""

    status: int
    body: str


@dataclass(frozen=True, repr=False)
class IdempotencyKeys:
    """The keys of one database, in the table `idempotency_keys` (create it from this module's
    `metadata`).

    `clock` returns seconds since 1970. `within` limits each of its own transactions, in seconds.
    `claim_for` must be longer than the slowest request: a request that takes longer can lose its
    claim and be refused at its commit."""

    engine: AsyncEngine
    clock: Callable[[], float]
    claim_for: float = 60.0
    within: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.claim_for < math.inf:
            raise ValueError(
                f"claim_for must be more than 0 seconds and finite, got {self.claim_for!r}"
            )

    async def claim(self, key: str, fingerprint: str, owner: str) -> Answer | None:
        """Claim `key` for `owner` and return None; or return the stored answer, to be replayed.

        Raises `KeyReused`, `KeyInProgress`, `DatabaseUnavailable`.
        """
        now = self.clock()
        claimed = _CLAIM.taken(owner, now + self.claim_for)
        row = {"key": key, "fingerprint": fingerprint, "created_at": now, **claimed}
        async with begin_immediate(self.engine, within=self.within) as connection:
            new = await connection.execute(insert_if_new(idempotency_keys).values(row))
        if new.rowcount:
            return None
        first = await self._read(key)  # another request came first
        if first is None:  # and has released the key since
            raise KeyInProgress(0.0)
        if first.fingerprint != fingerprint:
            raise KeyReused(f"key {key!r} was used for another request")
        if first.status is not None:
            return Answer(first.status, first.body)
        if now < first.claimed_until:
            raise KeyInProgress(first.claimed_until - now)
        ended = _CLAIM.free(now)  # unless another request has taken it over since the read
        take_over = update(idempotency_keys).where(_pending(key, first.owner), ended)
        async with begin_immediate(self.engine, within=self.within) as connection:
            taken = await connection.execute(take_over.values(claimed))
        if taken.rowcount != 1:
            raise KeyInProgress(self.claim_for)
        return None

    async def complete(
        self, connection: AsyncConnection, key: str, owner: str, answer: Answer
    ) -> None:
        """Store the answer in the caller's transaction. Raises `ClaimLost`, which must roll that
        transaction back.
        """
        store = (
            update(idempotency_keys)
            .where(_pending(key, owner))
            .values(status=answer.status, body=answer.body)
        )
        if (await connection.execute(store)).rowcount != 1:
            raise ClaimLost(f"the claim of key {key!r} by {owner!r} has ended")

    async def release(self, key: str, owner: str) -> None:
        """Delete the key unless the request was completed. Safe at any time: if a commit is under
        way, this waits for it and sees its result.

        Raises `DatabaseUnavailable`; the claim then ends after `claim_for` seconds.
        """
        async with begin_immediate(self.engine, within=self.within) as connection:
            await connection.execute(delete(idempotency_keys).where(_pending(key, owner)))

    def __repr__(self) -> str:
        return f"<IdempotencyKeys, claimed for {self.claim_for:g} s>"

    async def _read(self, key: str) -> Row[tuple[str, ...]] | None:
        async with reading(self.engine, within=self.within) as connection:
            return (
                await connection.execute(
                    select(idempotency_keys).where(idempotency_keys.c.key == key)
                )
            ).one_or_none()


def _pending(key: str, owner: str) -> ColumnElement[bool]:
    table = idempotency_keys.c
    return and_(table.key == key, table.owner == owner, table.status.is_(None))
