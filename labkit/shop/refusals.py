"""The definite noes of the shop's participants: what was asked did not happen, and nothing of it is
left in the transaction.

`OutOfStock` and `UnknownSku`, the warehouse's, are `labkit.inventory`'s. Left out: mistakes of the
caller (`ValueError`)."""

from __future__ import annotations

from labkit.base.errors import Refused


class Declined(Refused):
    """The customer may not spend that much, or is not known."""

    def __init__(self, customer: str, cents: int) -> None:
        self.customer, self.cents = customer, cents
        super().__init__(f"{cents} cents declined for {customer!r}")


class NotServed(Refused):
    """No parcel can be sent to that country."""

    def __init__(self, country: str) -> None:
        self.country = country
        super().__init__(f"no parcels to {country!r}")


class Withdrawn(Refused):
    """The undo came first: whatever arrives under this reference now arrives too late."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(f"{reference!r} was withdrawn")
