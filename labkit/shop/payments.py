"""Payments: charge a customer once for an order, and refund it once.

Shows: what a participant of a saga must be able to do. Both functions run in the caller's
transaction and know an order by its `reference`:
- `charge` repeated answers as it did the first time; a refusal leaves nothing behind, so the caller
  may go on and commit;
- `refund` of what was never charged leaves a **tombstone** (state "void"), and a charge that
  arrives after it is `Withdrawn`. So a caller that does not know whether its charge happened can
  refund it safely.

Guarantees, on any schedule: one charge and at most one refund for a reference, and no customer
beyond the limit. The primary key, the guarded UPDATEs and the CHECKs behind them enforce it.

Leaves out: authorise and capture, partial refunds, currencies, pruning the tombstones.

Source: Richardson, "Microservices Patterns", 2nd ed. (compensatable transactions); Stripe API,
"Idempotent requests"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import BigInteger, CheckConstraint, Column, MetaData, String, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import KeyReused, Refused, Withdrawn
from labkit.base.transactions import (
    begin_immediate,
    create_tables,
    insert_if_new,
    use_write_ahead_log,
)
from labkit.base.validation import whole
from labkit.messaging import inbox

metadata = MetaData()
accounts = Table(
    "accounts",
    metadata,
    Column("customer", String(64), primary_key=True),
    Column("limit_cents", BigInteger, nullable=False),
    Column(
        "charged_cents", BigInteger, nullable=False, server_default="0"
    ),  # these two only ever grow
    Column("refunded_cents", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("charged_cents - refunded_cents <= limit_cents", name="within_limit"),
    CheckConstraint("refunded_cents <= charged_cents", name="no_more_refunded_than_charged"),
)
payments = Table(
    "payments",
    metadata,
    Column("reference", String(64), primary_key=True),
    Column("customer", String(64)),
    Column("cents", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    CheckConstraint("state IN ('charged', 'refunded', 'void')", name="payment_state"),
)


class Declined(Refused):
    """The customer may not spend that much, or is not known."""

    def __init__(self, customer: str, cents: int) -> None:
        self.customer, self.cents = customer, cents
        super().__init__(f"{cents} cents declined for {customer!r}")


class Money(Protocol):
    """What a service needs to charge and refund. This module is one; another gateway is handed in
    as an object with the same functions.
    """

    async def charge(
        self, connection: AsyncConnection, reference: str, customer: str, cents: int, /
    ) -> Mapping[str, Any]:
        """Charge, or raise `Declined` or `Withdrawn`."""

    async def refund(self, connection: AsyncConnection, reference: str, /) -> Mapping[str, Any]:
        """Refund; the answer says how much as `refunded_cents`."""


async def charge(
    connection: AsyncConnection, reference: str, customer: str, cents: int
) -> dict[str, Any]:
    """Charge `cents` (at least 1) to the customer's account. Raises `Declined` or `Withdrawn`:
    nothing was charged.

    `KeyReused`: the reference is that of another payment.
    """
    whole("cents", cents, 1)
    wanted = {"reference": reference, "customer": customer, "cents": cents, "state": "charged"}
    # A refusal takes back the row too, and the caller's transaction can go on.
    async with connection.begin_nested():
        new = await connection.execute(insert_if_new(payments).values(wanted))
        if not new.rowcount:
            found = (
                await connection.execute(select(payments).where(payments.c.reference == reference))
            ).one()
            if found.state != "charged":
                raise Withdrawn(reference)
            if (found.customer, found.cents) != (customer, cents):
                raise KeyReused(
                    f"payment {reference!r} is of {found.cents} cents by {found.customer!r}"
                )
        elif not await _spend(connection, customer, cents):
            raise Declined(customer, cents)
    return {"payment": reference, "cents": cents}


async def refund(connection: AsyncConnection, reference: str) -> dict[str, Any]:
    """Refund what was charged, which may be nothing; a charge that comes later is refused."""
    tombstone = insert_if_new(payments).values(reference=reference, cents=0, state="void")
    if (await connection.execute(tombstone)).rowcount:
        return {"payment": reference, "refunded_cents": 0}
    charged = update(payments).where(
        payments.c.reference == reference, payments.c.state == "charged"
    )
    turned = (
        await connection.execute(
            charged.values(state="refunded").returning(payments.c.customer, payments.c.cents)
        )
    ).first()
    if turned is not None:
        account = update(accounts).where(accounts.c.customer == turned.customer)
        await connection.execute(
            account.values(refunded_cents=accounts.c.refunded_cents + turned.cents)
        )
    given_back = await connection.scalar(
        select(payments.c.cents).where(payments.c.reference == reference)
    )
    return {"payment": reference, "refunded_cents": given_back}


async def open_payments(engine: AsyncEngine, limits: Mapping[str, int]) -> None:
    """Create the tables, the inbox too, if need be, with an account for each customer and the cents
    it may owe at most.

    Doing it again is harmless: an account that is there stays as it is, its limit too.
    `ValueError`: a limit is out of bounds, and nothing was made."""
    for customer, cents in limits.items():
        whole(f"limits[{customer!r}]", cents, 0)
    await use_write_ahead_log(engine)
    async with begin_immediate(engine) as connection:
        await create_tables(connection, metadata, inbox.metadata)
        if limits:
            rows = [
                {"customer": customer, "limit_cents": limits[customer]}
                for customer in sorted(limits)
            ]
            await connection.execute(insert_if_new(accounts), rows)


async def _spend(connection: AsyncConnection, customer: str, cents: int) -> bool:
    owed = accounts.c.charged_cents - accounts.c.refunded_cents
    account = update(accounts).where(
        accounts.c.customer == customer, owed + cents <= accounts.c.limit_cents
    )
    return bool(
        (
            await connection.execute(account.values(charged_cents=accounts.c.charged_cents + cents))
        ).rowcount
    )
