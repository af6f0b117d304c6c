"""Reservations: holds on stock that end, the books that prove it, and two ways to sell through a partition.

| file | idea |
|---|---|
| `tables` | what the database itself refuses |
| `model`, `events` | a hold as a value, and what happened to it |
| `transitions`, `holds` | hold, extend, confirm, release, expire: each a compare-and-set and all that follows from it |
| `lookup` | what is there at an instant, swept or not |
| `sweeper` | abandoned units come back |
| `ledger` | every movement of stock, for ever |
| `findings`, `reconcile` | what to do when the books and the shelf disagree |
| `accepting`, `validation` | optimistic: say yes, decide in order, take back what cannot be kept |
| `forwarding` | accepting at a site that is cut off |
| `stock_cache` | a number that may be late, but not too late |
| `escrow`, `quotas` | each site sells its part without asking |
"""

from labkit.consistency.errors import NotHeld, QuotaSpent, UnknownHold
from labkit.consistency.reservations.accepting import Accepts
from labkit.consistency.reservations.escrow import Escrow
from labkit.consistency.reservations.events import HoldCancelled, HoldConfirmed, HoldExpired, HoldPlaced, HoldReleased
from labkit.consistency.reservations.findings import Inconsistency
from labkit.consistency.reservations.forwarding import Forwarder
from labkit.consistency.reservations.holds import Holds, create_reservations
from labkit.consistency.reservations.ledger import Balance, Entry, Ledger, adjust
from labkit.consistency.reservations.model import Availability, Hold
from labkit.consistency.reservations.quotas import Quotas, create_quotas
from labkit.consistency.reservations.reconcile import reconcile, repair
from labkit.consistency.reservations.stock_cache import StockCache
from labkit.consistency.reservations.sweeper import Sweeper
from labkit.consistency.reservations.validation import Validator

__all__ = [
    "Accepts",
    "Availability",
    "Balance",
    "Entry",
    "Escrow",
    "Forwarder",
    "Hold",
    "HoldCancelled",
    "HoldConfirmed",
    "HoldExpired",
    "HoldPlaced",
    "HoldReleased",
    "Holds",
    "Inconsistency",
    "Ledger",
    "NotHeld",
    "QuotaSpent",
    "Quotas",
    "StockCache",
    "Sweeper",
    "UnknownHold",
    "Validator",
    "adjust",
    "create_quotas",
    "create_reservations",
    "reconcile",
    "repair",
]
