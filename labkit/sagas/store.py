"""Where sagas are stored: one head row for the claim and the queries, and the log, which is the
truth.

Shows: the one write of a driver. `claim` checks and renews the claim, `append` adds what is new to
the log: two statements in one transaction, between which a local step adds its own effect. The
claim is a compare-and-set on `revision`: a worker whose saga was taken over, however long it was
stopped, changes no row and gets `ClaimLost`, and its transaction is rolled back.

Guarantees: an event is in the log only if its writer held the claim at that commit. The events of a
saga are numbered without gaps, in one order.

Leaves out: deleting old sagas, and migrating tables (an existing table is used as it is)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    false,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.claims import UNCLAIMED, Claim
from labkit.base.errors import ClaimLost
from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    reading,
    use_write_ahead_log,
)
from labkit.sagas.errors import SagaExists, UnknownSaga
from labkit.sagas.state import ACTIVE, Saga

metadata = MetaData()
sagas = Table(
    "sagas",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("input", JSON, nullable=False),
    Column("status", String(32), nullable=False),
    Column("reason", Text),
    Column("deadline", Double),
    Column("created_at", Double, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("owner", String(64)),
    Column("lease_until", Double, nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Index("sagas_by_status", "status", "created_at", "id"),
)
saga_log = Table(
    "saga_log",
    metadata,
    Column("saga_id", String(64), ForeignKey("sagas.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("event", String(32), nullable=False),
    Column("step", String(64)),
    Column("direction", String(4)),
    Column("data", JSON(none_as_null=True)),
)
claims = Claim(sagas.c.owner, sagas.c.lease_until)
_HEAD = (
    "id",
    "name",
    "version",
    "input",
    "deadline",
    "created_at",
    "revision",
    "owner",
    "lease_until",
    "cancel_requested",
)
_FACT = ("seq", "at", "event", "step", "direction", "data")
_NEW, _APPEND = insert_if_new(sagas), insert(saga_log)
_CLAIM = (
    update(sagas)
    .where(sagas.c.id == bindparam("saga"), sagas.c.revision == bindparam("known"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in ("revision", "status", "reason", "owner", "lease_until")
        }
    )
    .returning(sagas.c.cancel_requested)
)


async def create_sagas(engine: AsyncEngine) -> None:
    """Create the tables that are missing."""
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata)


async def claim(
    connection: AsyncConnection,
    saga: Saga,
    *,
    owner: str | None,
    lease_until: float,
    status: str,
    reason: str | None,
) -> bool:
    """Write the head row: the first statement of every save. Returns whether cancellation was
    requested. Raises `ClaimLost`.

    A saga that is not stored yet (revision 0) gets its row here, or `SagaExists` is raised.
    """
    new = {
        "revision": saga.revision + 1,
        "status": status,
        "reason": reason,
        "owner": owner,
        "lease_until": lease_until,
    }
    if saga.revision == 0:
        head = {
            name: getattr(saga, name)
            for name in ("id", "name", "version", "input", "deadline", "created_at")
        }
        made = await connection.execute(_NEW, head | new)
        if not made.rowcount:
            raise SagaExists(saga.id)
        return False
    values = {
        "saga": saga.id,
        "known": saga.revision,
        **{f"new_{name}": value for name, value in new.items()},
    }
    cancel: bool | None = (await connection.execute(_CLAIM, values)).scalar_one_or_none()
    if cancel is None:
        raise ClaimLost(
            f"saga {saga.id!r} has moved on from revision {saga.revision}; another worker drives it"
        )
    return cancel


async def append(connection: AsyncConnection, saga: Saga) -> None:
    """Write what is new in the log: the last statement of every save."""
    new = saga.log[saga.saved :]
    rows = [{"saga_id": saga.id, **{name: getattr(fact, name) for name in _FACT}} for fact in new]
    if rows:
        await connection.execute(_APPEND, rows)


async def write(connection: AsyncConnection, saga: Saga) -> None:
    """Save a saga without claiming it: a new one, or an operator's decision. Any worker may drive
    it then. Raises `ClaimLost`, `SagaExists`.
    """
    await claim(
        connection, saga, owner=None, lease_until=UNCLAIMED, status=saga.status, reason=saga.reason
    )
    await append(connection, saga)


async def request_cancel(connection: AsyncConnection, saga_id: str) -> str:
    """Set the flag that the driver reads with its next commit, unless the saga has ended or waits
    for an operator; returns its status. Raises `UnknownSaga`.
    """
    requested = or_(sagas.c.cancel_requested, sagas.c.status.in_(ACTIVE))
    flag = update(sagas).where(sagas.c.id == saga_id).values(cancel_requested=requested)
    found = await connection.execute(flag.returning(sagas.c.status))
    status: str | None = found.scalar_one_or_none()
    if status is None:
        raise UnknownSaga(saga_id)
    return status


async def load(engine: AsyncEngine, saga_id: str, within: float | None) -> Saga:
    """The saga, from the database alone. Raises `UnknownSaga`."""
    async with reading(engine, within=within) as connection:
        head = (
            (await connection.execute(select(sagas).where(sagas.c.id == saga_id)))
            .mappings()
            .one_or_none()
        )
        if head is None:
            raise UnknownSaga(saga_id)
        log = (
            await connection.execute(
                select(saga_log).where(saga_log.c.saga_id == saga_id).order_by(saga_log.c.seq)
            )
        ).all()
    saga = Saga(**{name: head[name] for name in _HEAD})
    for fact in log:
        saga.note(fact.at, fact.event, fact.step, fact.direction, fact.data)
    saga.saved = len(saga.log)
    return saga


async def claimable(
    engine: AsyncEngine,
    owner: str,
    now: float,
    known: Iterable[tuple[str, int]],
    *,
    but: Collection[str],
    limit: int,
    within: float | None,
) -> list[str]:
    """The ids of sagas that have work left and no valid claim: new ones, those whose lease ended,
    and `owner`'s own; the oldest first.

    Only of `known` definitions (name, version), and without the ids in `but`.
    """
    mine = [and_(sagas.c.name == name, sagas.c.version == version) for name, version in known]
    free = claims.free(now, owner)
    found = select(sagas.c.id).where(sagas.c.status.in_(ACTIVE), free, or_(false(), *mine))
    if but:
        found = found.where(sagas.c.id.not_in(sorted(but)))
    async with reading(engine, within=within) as connection:
        return [
            row.id
            for row in await connection.execute(
                found.order_by(sagas.c.created_at, sagas.c.id).limit(limit)
            )
        ]


async def find(
    engine: AsyncEngine,
    status: str | None,
    *,
    after: str | None,
    limit: int,
    within: float | None,
) -> list[dict[str, Any]]:
    """One page of sagas, from their head rows. See `Orchestrator.find`."""
    columns = sagas.c
    found = select(
        columns.id.label("saga_id"),
        columns.name.label("saga"),
        columns.version,
        columns.status,
        columns.reason,
        columns.created_at,
    )
    if status is not None:
        found = found.where(columns.status == status)
    async with reading(engine, within=within) as connection:
        if after is not None:
            last = select(columns.created_at).where(columns.id == after)
            created_at = (await connection.execute(last)).scalar_one_or_none()
            if created_at is None:
                raise UnknownSaga(after)
            found = found.where(
                or_(
                    columns.created_at > created_at,
                    and_(columns.created_at == created_at, columns.id > after),
                )
            )
        rows = await connection.execute(found.order_by(columns.created_at, columns.id).limit(limit))
        return [dict(row) for row in rows.mappings()]
