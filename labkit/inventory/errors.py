"""Definite refusals of stock and reservations: nothing was changed."""

from __future__ import annotations

from labkit.base.errors import Refused


class UnknownSku(Refused):
    """There is no such SKU."""

    def __init__(self, sku: str) -> None:
        self.sku = sku
        super().__init__(f"no SKU {sku!r}")


class OutOfStock(Refused):
    """Less is available than was wanted. `available` was read right after the refusal."""

    def __init__(self, sku: str, wanted: int, available: int) -> None:
        self.sku, self.wanted, self.available = sku, wanted, available
        super().__init__(f"{wanted} of {sku!r} wanted, {available} available")


class QuotaSpent(OutOfStock):
    """The site has too few rights left. Other sites may have more."""

    def __init__(self, sku: str, wanted: int, available: int, site: str) -> None:
        super().__init__(sku, wanted, available)
        self.site = site
        self.args = (f"{wanted} of {sku!r} wanted, {available} left of the quota of {site!r}",)


class UnknownHold(Refused):
    """There is no such hold."""

    def __init__(self, hold_id: str) -> None:
        self.hold_id = hold_id
        super().__init__(f"no hold {hold_id!r}")


class NotHeld(Refused):
    """The hold has ended or was only accepted, as `status` says. Nothing was changed."""

    def __init__(self, hold_id: str, status: str) -> None:
        self.hold_id, self.status = hold_id, status
        super().__init__(f"hold {hold_id!r} is not held, it is {status}")
