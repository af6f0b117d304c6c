"""The tables of the reservations, beside the table `inventory` (`stock.py`).

The database itself enforces these rules:

| rule | purpose |
|---|---|
| `inventory.stock >= 0` (the inventory's own) | nothing is promised twice |
| a hold's key is unique | a repeated request is one hold |
| `status` is one of six, and a held hold has an end | there is no state without a way out |
| a ledger row's deltas sum to 0, unless goods came or went | a transition makes no units |
| one end per hold and SKU, of four kinds | no hold ends twice |
| the ledger refuses UPDATE, DELETE and TRUNCATE (triggers) | history does not change |

Units are in one of three places: on hand (`inventory.stock`, nobody has a claim on them), held (the
lines of held holds) and sold (the lines of confirmed ones). The last two are not stored a second
time, so they cannot drift from the holds.

Leaves out: migrations (an existing table is used as it is); DROP TABLE; and INSERT OR REPLACE on
SQLite, which fires no DELETE trigger (unless `PRAGMA recursive_triggers` is on). The database
users' permissions must prevent those.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    event,
)

from labkit.base.claims import Claim

metadata = MetaData()

holds = Table(
    "holds",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("key", String(255), nullable=False, unique=True),
    Column("customer", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),  # NULL for an accepted hold, which waits for a decision
    Column("reason", String(255), nullable=False, server_default=""),
    CheckConstraint(
        "status IN ('held', 'confirmed', 'released', 'expired', 'accepted', 'cancelled')",
        name="hold_status",
    ),
    CheckConstraint("status != 'held' OR expires_at IS NOT NULL", name="a_held_hold_ends"),
)
Index("holds_by_end", holds.c.status, holds.c.expires_at, holds.c.id)

hold_lines = Table(
    "hold_lines",
    metadata,
    Column("hold_id", String(64), ForeignKey("holds.id"), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("quantity", Integer, nullable=False),
    CheckConstraint("quantity > 0", name="held_quantity_positive"),
)
Index("hold_lines_by_sku", hold_lines.c.sku)

stock_ledger = Table(
    "stock_ledger",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False),
    Column("hold_id", String(64)),  # NULL if goods came, went or were counted
    Column("sku", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("delta_on_hand", Integer, nullable=False),
    Column("delta_held", Integer, nullable=False),
    Column("delta_sold", Integer, nullable=False),
    Column("reason", String(255), nullable=False, server_default=""),
    CheckConstraint(
        "delta_on_hand + delta_held + delta_sold = 0 OR kind IN ('opened', 'adjusted')",
        name="a_transition_makes_no_units",
    ),
)
_ends = stock_ledger.c.kind.in_(("confirmed", "released", "expired", "cancelled"))
Index(
    "a_hold_ends_once",
    stock_ledger.c.hold_id,
    stock_ledger.c.sku,
    unique=True,
    sqlite_where=_ends,
    postgresql_where=_ends,
)
Index("ledger_by_sku", stock_ledger.c.sku)

undecided = Table(
    "undecided_holds",
    metadata,
    Column("hold_id", String(64), ForeignKey("holds.id"), primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("claimed_by", String(64), nullable=False, server_default=""),
    Column("claimed_until", Double, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("forwarded", Integer, nullable=False, server_default="0"),
)
claims = Claim(undecided.c.claimed_by, undecided.c.claimed_until)
Index("undecided_in_order", undecided.c.created_at, undecided.c.hold_id)


def _append_only(table: Table) -> None:
    """Create, with the table, triggers that refuse UPDATE, DELETE and (on PostgreSQL) TRUNCATE."""
    refusal = f"{table.name} is append-only"
    for what in ("UPDATE", "DELETE"):
        trigger = f"CREATE TRIGGER {table.name}_no_{what.lower()} BEFORE {what} ON {table.name}"
        _after_create(table, "sqlite", f"{trigger} BEGIN SELECT RAISE(ABORT, '{refusal}'); END")
    body = f"RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '{refusal}'; END $$"
    _after_create(table, "postgresql", f"CREATE OR REPLACE FUNCTION {table.name}_refuse() {body}")
    trigger = (
        f"CREATE TRIGGER {table.name}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name}"
    )
    _after_create(
        table, "postgresql", f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION {table.name}_refuse()"
    )


def _after_create(table: Table, dialect: str, statement: str) -> None:
    made = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    event.listen(table, "after_create", made.execute_if(dialect=dialect))


_append_only(stock_ledger)
