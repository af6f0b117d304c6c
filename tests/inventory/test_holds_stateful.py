"""Any history of holds against a plain model in memory: the same answers, the same books, after
every single step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from labkit.base.errors import KeyReused
from labkit.base.transactions import reading
from labkit.inventory import Sweeper
from labkit.inventory.errors import NotHeld, OutOfStock, UnknownSku
from labkit.inventory.ledger import balances
from tests.inventory.shelf import Shelf, filled
from tests.support.depth import of_a_machine

STOCK = {"a": 4, "b": 2}
TTL = 10.0
Lines = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Held:
    key: str
    customer: str
    demand: dict[str, int]
    ends: float
    status: str = "held"


class Plain:
    """Holds as a dictionary would have them: the oracle. Knows nothing of SQL, transactions or
    ledgers.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.left = dict(STOCK)
        self.holds: dict[str, Held] = {}

    def status(self, hold_id: str) -> str:
        hold = self.holds[hold_id]
        return "expired" if hold.status == "held" and hold.ends <= self.now else hold.status

    def expire(self, hold_id: str) -> None:
        for sku, quantity in self.holds[hold_id].demand.items():
            self.left[sku] += quantity
        self.holds[hold_id] = replace(self.holds[hold_id], status="expired")

    def overdue(self) -> list[str]:
        return [
            name
            for name, hold in self.holds.items()
            if hold.status == "held" and hold.ends <= self.now
        ]

    def hold(self, name: str, lines: Lines, key: str, customer: str) -> str | type[Exception]:
        demand: dict[str, int] = {}
        for sku, quantity in lines:
            demand[sku] = demand.get(sku, 0) + quantity
        for first, hold in self.holds.items():
            if hold.key == key:
                return first if (hold.customer, hold.demand) == (customer, demand) else KeyReused
        back = [late for late in self.overdue() if set(self.holds[late].demand) & set(demand)]
        free = dict(self.left)
        for late in back:
            for sku, quantity in self.holds[late].demand.items():
                free[sku] += quantity
        for sku in sorted(demand):
            if sku not in free:
                return UnknownSku
            if free[sku] < demand[sku]:
                return OutOfStock
        for late in back:
            self.expire(late)
        for sku, quantity in demand.items():
            self.left[sku] -= quantity
        self.holds[name] = Held(key, customer, demand, self.now + TTL)
        return name

    def end(self, hold_id: str, status: str) -> str | type[Exception]:
        now = self.status(hold_id)
        if now == status:
            return status
        if now != "held":
            return NotHeld
        if status == "released":
            self.expire(hold_id)
        self.holds[hold_id] = replace(self.holds[hold_id], status=status)
        return status

    def books(self, sku: str) -> tuple[int, int, int]:
        def units(status: str) -> int:
            return sum(
                hold.demand.get(sku, 0) for hold in self.holds.values() if hold.status == status
            )

        return self.left[sku], units("held"), units("confirmed")


carts = st.lists(
    st.tuples(st.sampled_from(["a", "b", "b", "nothing"]), st.integers(1, 2)),
    min_size=1,
    max_size=3,
).map(tuple)


class AgainstThePlainModel(RuleBasedStateMachine):
    """Each rule does one thing to both and compares the answers; the invariant compares books."""

    known = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        self.shelf: Shelf = self.do(filled(self.engine, STOCK, ttl=TTL))
        self.plain = Plain()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def answer(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What it returned, or the type of what it raised."""
        try:
            return self.do(work)
        except (KeyReused, NotHeld, OutOfStock, UnknownSku) as refusal:
            return type(refusal)

    @rule(
        target=known,
        lines=carts,
        key=st.sampled_from(["k1", "k2", "k3", "k4", "k5"]),
        customer=st.sampled_from(["ada", "bob"]),
    )
    def hold(self, lines: Lines, key: str, customer: str) -> Any:
        came = self.answer(self.shelf.holds.hold(lines, key=key, customer=customer))
        name = getattr(came, "id", came)
        expected = self.plain.hold(name if isinstance(name, str) else "none", lines, key, customer)
        assert name == expected
        return name if isinstance(name, str) else multiple()

    @rule(hold_id=known, seconds=st.sampled_from([1.0, TTL, 25.0]))
    def extend(self, hold_id: str, seconds: float) -> None:
        came = self.answer(self.shelf.holds.extend(hold_id, seconds))
        if self.plain.status(hold_id) != "held":
            assert came is NotHeld
            return
        held = self.plain.holds[hold_id]
        self.plain.holds[hold_id] = replace(held, ends=max(held.ends, self.plain.now + seconds))
        assert came.expires_at == self.plain.holds[hold_id].ends

    @rule(hold_id=known)
    def confirm(self, hold_id: str) -> None:
        came = self.answer(self.shelf.holds.confirm(hold_id))
        assert getattr(came, "status", came) == self.plain.end(hold_id, "confirmed")

    @rule(hold_id=consumes(known))
    def release(self, hold_id: str) -> None:
        came = self.answer(self.shelf.holds.release(hold_id))
        assert getattr(came, "status", came) == self.plain.end(hold_id, "released")

    @rule(seconds=st.sampled_from([1.0, 5.0, TTL]))
    def time_passes(self, seconds: float) -> None:
        self.shelf.now += seconds
        self.plain.now += seconds

    @rule(batch=st.integers(1, 3))
    def sweep(self, batch: int) -> None:
        late = self.plain.overdue()
        assert self.do(Sweeper(self.shelf.holds, owner="sweeper", batch=batch).sweep()) == len(late)
        for hold_id in late:
            self.plain.expire(hold_id)

    @invariant()
    def the_books_are_right(self) -> None:
        shelf, plain = self.do(self.shelf.everything()), self.plain
        ledger = self.do(self.sums())
        for sku, units in STOCK.items():
            found, books = shelf[sku], plain.books(sku)
            assert (found.on_hand, found.held, found.sold) == books
            assert (ledger[sku].on_hand, ledger[sku].held, ledger[sku].sold) == books, (
                "the ledger alone says the same"
            )
            assert sum(books) == units == ledger[sku].total
            late = sum(plain.holds[name].demand.get(sku, 0) for name in plain.overdue())
            assert found.available == found.on_hand + late
        for name in plain.holds:
            assert self.do(self.shelf.holds.get(name)).status == plain.status(name)

    async def sums(self) -> Any:
        async with reading(self.engine) as connection:
            return await balances(connection)

    def teardown(self) -> None:
        self.do(self.engine.dispose())
        self.loop.close()


TestAgainstThePlainModel = AgainstThePlainModel.TestCase
TestAgainstThePlainModel.settings = of_a_machine("dear")
