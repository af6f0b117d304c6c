"""Many customers at the same moment, on a real PostgreSQL and on an SQLite file: no unit is
promised twice, none gets lost.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from sqlalchemy import Update, event, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.base.errors import Refused
from labkit.base.transactions import begin_immediate, reading
from labkit.inventory import Hold, Sweeper, transitions
from labkit.inventory.errors import NotHeld, OutOfStock
from labkit.inventory.stock import guarded, inventory
from labkit.inventory.tables import hold_lines, holds
from tests.inventory.shelf import Shelf, on
from tests.support.servers import eventually


def test_forty_customers_for_ten_units_ten_are_served(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        async def customer(number: int) -> str:
            try:
                hold = await shelf.holds.hold(
                    [("tent", 1)], key=f"cart-{number}", customer=f"c{number}"
                )
                return (await shelf.holds.confirm(hold.id)).status
            except OutOfStock:
                return "refused"

        ends = await asyncio.gather(*map(customer, range(40)))
        assert Counter(ends) == {"confirmed": 10, "refused": 30}
        await shelf.adds_up(tent=10)

    on(database, {"tent": 10}, scenario)


def test_carts_in_every_order_transitions_of_every_kind_and_two_sweepers(database: str) -> None:
    """Whatever mixture comes out: nothing deadlocks, and the books are right after each round."""

    async def scenario(shelf: Shelf) -> None:
        rng = random.Random(7)
        sweepers = [Sweeper(shelf.holds, owner=f"sweeper-{number}", batch=2) for number in range(2)]

        async def customer(name: str, cart: list[tuple[str, int]], then: str) -> str:
            try:
                hold = await shelf.holds.hold(cart, key=name, customer=name, ttl=1.0)
                if then == "extend":
                    hold = await shelf.holds.extend(hold.id, 2.0)
                elif then != "leave":
                    hold = await (
                        shelf.holds.confirm if then == "confirm" else shelf.holds.release
                    )(hold.id)
                return hold.status
            except Refused as refusal:
                return type(refusal).__name__

        ends: Counter[str] = Counter()
        for round_ in range(4):
            carts = [
                [(sku, rng.randint(1, 2)) for sku in rng.sample("abc", rng.randint(1, 3))]
                for _ in range(12)
            ]
            thens = [rng.choice(["confirm", "release", "leave", "extend"]) for _ in carts]
            tasks = [
                customer(f"{round_}-{i}", *pair)
                for i, pair in enumerate(zip(carts, thens, strict=True))
            ]
            came = await asyncio.gather(*tasks, *(sweeper.sweep() for sweeper in sweepers))
            ends.update(came[: len(tasks)])
            await shelf.adds_up(a=12, b=12, c=12)
            shelf.now += 1.0
        assert {"confirmed", "released", "held", "OutOfStock"} <= set(ends)

    on(database, {"a": 12, "b": 12, "c": 12}, scenario)


def test_one_key_from_ten_places_at_once_is_one_hold(database: str) -> None:
    async def scenario(shelf: Shelf) -> None:
        tasks = [shelf.holds.hold([("tent", 2)], key="k", customer="ada") for _ in range(10)]
        assert len(set(await asyncio.gather(*tasks))) == 1
        assert (await shelf.holds.available("tent")).held == 2
        await shelf.adds_up(tent=10)

    on(database, {"tent": 10}, scenario)


def test_confirm_release_and_expiry_of_one_hold_at_once_have_one_winner(database: str) -> None:
    """Each with a clock of its own: the customer's says that there is time left, the sweeper's that
    there is none.
    """

    async def scenario(shelf: Shelf) -> None:
        ends: Counter[str] = Counter()
        late = shelf.again(clock=lambda: shelf.now + 10.0)
        for number in range(12):
            hold = await shelf.holds.hold([("tent", 1)], key=f"k{number}", customer="ada")
            racers = [
                shelf.holds.confirm(hold.id),
                shelf.holds.release(hold.id),
                Sweeper(late, owner="s").sweep(),
            ]
            turn = number % 3
            came = await asyncio.gather(*racers[turn:], *racers[:turn], return_exceptions=True)
            assert all(isinstance(end, Hold | NotHeld | int) for end in came), came
            (won,) = [entry.kind for entry in (await shelf.ledger.entries(hold_id=hold.id))[1:]]
            assert sum(isinstance(end, Hold) or end == 1 for end in came) == 1
            assert (await shelf.holds.get(hold.id)).status == won
            ends[won] += 1
            await shelf.adds_up(tent=12)
        assert len(ends) >= 2, "the race is none"

    on(database, {"tent": 12}, scenario)


def test_what_comes_back_and_what_is_taken_is_locked_in_one_order(postgres_url: str) -> None:
    """An overdue hold gives b and c back to somebody who wants a and b; another sells a and then b.
    None waits in a circle.
    """

    async def scenario(shelf: Shelf) -> None:
        await shelf.holds.hold([("b", 1), ("c", 1)], key="abandoned", customer="eve")
        shelf.now += 10.0
        async with begin_immediate(shelf.engine) as seller:
            await guarded(seller, "a", 1)
            holding = asyncio.create_task(
                shelf.holds.hold([("a", 1), ("b", 1)], key="k", customer="ada")
            )
            await eventually(lambda: somebody_waits(shelf))
            await guarded(seller, "b", 1)
        assert (await holding).status == "held"

    on(postgres_url, {"a": 2, "b": 3, "c": 1}, scenario)


async def somebody_waits(shelf: Shelf) -> bool:
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    async with reading(shelf.engine) as connection:
        return bool(await connection.scalar(waiting))


async def check_then_write(connection: AsyncConnection, hold: Hold, **_: object) -> Hold:
    """What `transitions` warns of: leave the stock alone, and compare it with the sum of the live
    holds.
    """
    live = (
        select(hold_lines.c.quantity)
        .join(holds, holds.c.id == hold_lines.c.hold_id)
        .where(holds.c.status == "held")
    )
    taken = sum((await connection.scalars(live)).all())
    stock = await connection.scalar(select(inventory.c.stock))
    if stock is None or taken + 1 > stock:
        raise OutOfStock("tent", 1, 0)
    await transitions.enter(connection, hold, now=0.0)
    return hold


def test_the_sum_of_live_holds_is_no_guard_on_postgresql(postgres_url: str) -> None:
    """Two transactions of READ COMMITTED sum up before either writes: this is why a hold takes its
    units out of the stock.
    """

    async def scenario(shelf: Shelf) -> int:
        both_have_written = asyncio.Barrier(2)

        async def customer(number: int) -> str:
            async with begin_immediate(shelf.engine) as connection:
                fresh = Hold(f"h{number}", f"k{number}", "ada", "held", (("tent", 1),), 0.0, 9.0)
                await check_then_write(connection, fresh)
                await both_have_written.wait()
            return "held"

        return len(await asyncio.gather(customer(1), customer(2)))

    assert on(postgres_url, {"tent": 1}, scenario) == 2, "one tent, held twice"


def test_no_update_of_the_stock_is_without_its_guard(sqlite_url: str) -> None:
    """Each statement that lowers the stock says in its own WHERE that enough is there."""

    async def scenario(shelf: Shelf) -> list[Update]:
        seen: list[Update] = []

        @event.listens_for(shelf.engine.sync_engine, "before_execute")
        def note(_: object, statement: object, *__: object) -> None:
            if isinstance(statement, Update) and statement.table is inventory:
                seen.append(statement)

        hold = await shelf.holds.hold([("tent", 1)], key="k", customer="ada")
        await shelf.holds.confirm(hold.id)
        return seen

    (only,) = on(sqlite_url, {"tent": 1}, scenario)
    assert "inventory.stock >= " in str(only)
