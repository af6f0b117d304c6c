"""Escrow: the stock is divided beforehand, and each site sells its part without asking anybody.

Shows: a bounded counter, as a value. What is known is a table of numbers that only grow: how many
units `giver` has ever passed on to `receiver`. A site's own units are those it gave itself; a sale
is units given to the customers ("").

    rights of a site = what it gave itself + what others gave it - what it gave to others and to
    customers

A site writes only its own row, and never gives more than its rights. Two sites that meet take the
larger of each number.

Guarantees: all sales together never exceed the stock, in any order of events; merging is
commutative, associative and idempotent, so a state that comes late, twice or never does no harm: it
creates no right and loses none. A site that knows less of the others sees fewer rights than it has,
never more.

Leaves out: a site that forgets its own row (its database comes back from a backup): it must hear of
it from another before it sells again. Who should have how many rights, and when to move them, is a
policy of its own.

Sources: Balegas et al. 2015, "Extending Eventually Consistent Cloud Databases for Enforcing Numeric
Invariants" (the bounded counter); O'Neil 1986, "The Escrow Transactional Method"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labkit.base.validation import text, whole
from labkit.inventory.errors import QuotaSpent

CUSTOMERS = ""
"""The receiver of what is sold."""

Move = tuple[str, str, int]
"""Giver, receiver, and how many units in all since the beginning."""


@dataclass(frozen=True)
class Escrow:
    """What somebody knows of one SKU: units given so far, by (giver, receiver)."""

    given: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def split(cls, quotas: Mapping[str, int]) -> Escrow:
        """The beginning: so many units for each site."""
        return cls.of((site, site, units) for site, units in quotas.items())

    @classmethod
    def of(cls, moves: Iterable[Move]) -> Escrow:
        """What these moves say, the larger of two about the same. Raises `ValueError` or
        `TypeError` for what is no move.
        """
        given: dict[tuple[str, str], int] = {}
        for giver, receiver, units in moves:
            _check(giver, receiver, units, least=0)
            if units:
                given[giver, receiver] = max(units, given.get((giver, receiver), 0))
        return cls(given)

    @property
    def moves(self) -> tuple[Move, ...]:
        """All that is known, sorted."""
        return tuple((*pair, self.given[pair]) for pair in sorted(self.given))

    def rights(self, site: str) -> int:
        """How many units the site may sell or give, as far as is known here."""
        received = sum(units for (_, receiver), units in self.given.items() if receiver == site)
        passed_on = sum(
            units for (giver, receiver), units in self.given.items() if giver == site != receiver
        )
        return received - passed_on

    def sold(self, site: str | None = None) -> int:
        """How many units went to customers, from one site or from all, as far as is known here."""
        sales = (
            units
            for (giver, to), units in self.given.items()
            if to == CUSTOMERS and site in (None, giver)
        )
        return sum(sales)

    def give(self, giver: str, receiver: str, quantity: int, *, sku: str = "") -> Escrow:
        """Pass rights on to another site, or units to customers. Only `giver` itself may do this.
        Raises `QuotaSpent`.
        """
        if giver == receiver:
            raise ValueError(f"receiver must be another than the giver, got {receiver!r}")
        _check(giver, receiver, quantity, least=1)
        if (left := self.rights(giver)) < quantity:
            raise QuotaSpent(sku, quantity, left, giver)
        return self._more(giver, receiver, quantity)

    def take(self, site: str, quantity: int, *, sku: str = "") -> Escrow:
        """Sell so many. Raises `QuotaSpent` when the site has not so many rights: others may have
        some.
        """
        return self.give(site, CUSTOMERS, quantity, sku=sku)

    def add(self, site: str, quantity: int) -> Escrow:
        """New units at a site: a delivery, or a sale that was undone there."""
        _check(site, site, quantity, least=1)
        return self._more(site, site, quantity)

    def merge(self, other: Escrow) -> Escrow:
        """What both know together."""
        return Escrow.of((*self.moves, *other.moves))

    def _more(self, giver: str, receiver: str, quantity: int) -> Escrow:
        now = Counter(self.given)
        now[giver, receiver] += quantity
        return Escrow(dict(now))

    def __repr__(self) -> str:
        sites = sorted(
            {giver for giver, _ in self.given}
            | {receiver for _, receiver in self.given if receiver}
        )
        return f"<Escrow, {', '.join(f'{site} may sell {self.rights(site)}' for site in sites)}, {self.sold()} sold>"


def _check(giver: str, receiver: str, units: int, *, least: int) -> None:
    """Refuse what would make rights or lose them: customers give nothing back (`add` is for that),
    units are whole numbers.
    """
    text("giver", giver, 64)
    if receiver != CUSTOMERS:
        text("receiver", receiver, 64)
    whole("units", units, least)
