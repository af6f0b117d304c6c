"""The plumbing of lesson 1.2c's own shop."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from labkit.lessons.l1_2c.small_shop import (
    SERVICES,
    handlers,
    hears,
    open_tables,
    sql,
    table_of,
)
from labkit.lessons.shared.four_stores import End
from labkit.sim import run
from labkit.world import Crash, World


class Charging:
    @hears("OrderCreated")
    def charge(self) -> str:
        return "charged"


class Refunding:
    @hears("InventoryReservationFailed")
    def refund(self) -> str:
        return "refunded"


class Both(Charging, Refunding):
    pass


def test_a_class_hears_what_its_methods_and_those_of_its_parents_are_marked_for() -> None:
    assert list(handlers(Charging)) == ["OrderCreated"] and list(handlers(Refunding)) == [
        "InventoryReservationFailed"
    ]
    assert {kind: method() for kind, method in handlers(Both()).items()} == {
        "OrderCreated": "charged",
        "InventoryReservationFailed": "refunded",
    }


class Shipping:
    @hears("PaymentProcessed")
    def book(self) -> str:
        """Not an event's name: Parcel."""
        said = "SELECT units"
        return "ParcelBooked" if said else "ParcelRefused"


def test_the_graph_of_classes_is_read_from_their_code() -> None:
    table = table_of({"payments": Charging, "shipping": Shipping})
    assert [(one.event, one.service, one.emits, one.does) for one in table] == [
        ("OrderCreated", "payments", (), "charge"),
        ("PaymentProcessed", "shipping", ("ParcelBooked", "ParcelRefused"), "book"),
    ]


async def counting(
    world: World, statements: tuple[str, ...], seconds: float = 1.0
) -> tuple[End, dict[str, int]]:
    started: dict[str, int] = dict.fromkeys(SERVICES, 0)

    async def serve() -> None:
        started[world.here()] += 1
        await asyncio.sleep(3600)

    end = await open_tables(world, 5, serve)
    for statement in statements:
        await sql(world.database(), statement)
    await asyncio.sleep(seconds)
    return await end(), started


def test_nothing_is_counted_in_a_shop_that_nobody_came_to() -> None:
    end, started = run(counting, args={"statements": ()}).result
    assert end == End("never placed", 0, 0, 0) and started == dict.fromkeys(SERVICES, 1)


def test_charges_refunds_and_what_is_missing_from_the_shelf_are_counted() -> None:
    statements = (
        "INSERT INTO orders VALUES ('order-1', 'paid'), ('order-2', 'pending')",
        "INSERT INTO charges VALUES ('order-1', 4500), ('order-1', 4500), ('order-1', -4500)",
        "UPDATE stock SET units = 2",
    )
    assert run(counting, args={"statements": statements}).result[0] == End("paid, pending", 2, 1, 3)


def test_a_service_is_started_again_after_a_crash() -> None:
    made = run(
        counting, args={"statements": ()}, faults=[Crash("payments", at=0.1, restart_after=0.2)]
    )
    assert made.result[1] == {"orders": 1, "payments": 2, "warehouse": 1}


def test_a_statement_returns_its_rows_or_how_many_it_changed_and_commits_alone() -> None:
    async def scenario(world: World) -> None:
        engine = world.database()
        await sql(engine, "CREATE TABLE things (name TEXT PRIMARY KEY)")
        assert (
            await sql(engine, "INSERT INTO things VALUES (:one), (:other)", one="a", other="b") == 2
        )
        assert [row.name for row in await sql(engine, "SELECT name FROM things ORDER BY name")] == [
            "a",
            "b",
        ]
        assert await sql(engine, "DELETE FROM things WHERE name = :name", name="c") == 0
        with pytest.raises(IntegrityError):
            await sql(engine, "INSERT INTO things VALUES ('c'), ('a')")
        assert len(await sql(engine, "SELECT name FROM things")) == 2

    run(scenario)
