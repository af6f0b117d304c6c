"""The shop of lesson 1.1c on labkit's own tables: products, holds and a ledger."""

from __future__ import annotations

from labkit import inventory
from labkit.inventory import Holds, Ledger
from labkit.lessons.l1_1c.shop import Shop
from labkit.shop import Product, open_shop


class LabkitTables(Shop):
    """Opens the tables of `labkit.inventory`, and does the books from its ledger."""

    def holds(self) -> Holds:
        """The holds of this shop, which end after `ttl` seconds."""
        return Holds(self.db, ttl=self.ttl, clock=self.world.clock, ids=self.world.new_id)

    async def open(self, stoves: int) -> None:
        """Make the tables, with this many stoves on hand."""
        await open_shop(self.db, [Product("stove", "Gas stove", 4500, stoves)])
        await inventory.create_reservations(self.db, clock=self.world.clock)

    async def books(self) -> dict[str, int]:
        """Where the stoves are, and how many inconsistencies were found ("wrong"). The movements
        in the ledger are recorded, with seconds since the first.
        """
        there = await self.holds().available("stove")
        rows = await Ledger(self.db).entries("stove")
        self.world.record("ledger", rows=[(row.at - rows[0].at, row.delta) for row in rows])
        found = await inventory.reconcile(self.db, clock=self.world.clock, grace=self.ttl)
        return {
            "on_hand": there.on_hand,
            "held": there.held,
            "sold": there.sold,
            "wrong": len(found),
        }
