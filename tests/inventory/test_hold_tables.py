"""What the database refuses by itself, whoever asks it."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.inventory.shelf import Shelf, on

LEDGER = (
    "INSERT INTO stock_ledger (at, hold_id, sku, kind, delta_on_hand, delta_held, delta_sold)"
    " VALUES "
)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE inventory SET stock = stock - 5", id="promise what is not there"),
        pytest.param("UPDATE holds SET status = 'pending'", id="a status that is none"),
        pytest.param("UPDATE holds SET expires_at = NULL", id="a held hold without an end"),
        pytest.param("UPDATE hold_lines SET quantity = 0", id="hold nothing"),
        pytest.param(
            "INSERT INTO holds (id, key, customer, status, created_at)"
            " VALUES ('x', 'k', 'bob', 'accepted', 0)",
            id="a second hold for a key",
        ),
        pytest.param(
            LEDGER + "(0, 'hold-001', 'tent', 'repaired', 1, 0, 0)",
            id="a transition that makes units",
        ),
        pytest.param(
            LEDGER + "(0, 'hold-002', 'tent', 'expired', 2, -2, 0)", id="end a hold twice"
        ),
        pytest.param(
            LEDGER + "(0, 'hold-002', 'tent', 'released', 2, -2, 0)", id="end a hold in two ways"
        ),
    ],
)
def test_it_refuses(database: str, statement: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 1)], key="k", customer="ada")
        sold = await shelf.holds.hold([("tent", 1)], key="l", customer="ada")
        await shelf.holds.confirm(sold.id)
        with pytest.raises(IntegrityError):
            await shelf.execute(statement)
        await shelf.adds_up(tent=5)

    on(database, {"tent": 5}, scenario)


def test_postgresql_refuses_a_line_without_a_hold(postgres_url: str) -> None:
    """SQLite does where it is asked to (PRAGMA foreign_keys)."""

    async def scenario(shelf: Shelf) -> None:
        with pytest.raises(IntegrityError):
            await shelf.execute(
                "INSERT INTO hold_lines (hold_id, sku, quantity) VALUES ('x', 'tent', 1)"
            )

    on(postgres_url, {"tent": 5}, scenario)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE stock_ledger SET delta_held = 0, delta_on_hand = 0", "DELETE FROM stock_ledger"],
)
def test_what_is_in_the_ledger_stays(database: str, statement: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("tent", 1)], key="k", customer="ada")
        before = await shelf.ledger.entries()
        with pytest.raises(DBAPIError, match="stock_ledger is append-only"):
            await shelf.execute(statement)
        assert await shelf.ledger.entries() == before

    on(database, {"tent": 5}, scenario)
