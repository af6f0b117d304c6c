"""1.1 Stock and reservations: holds that end, the ledger that proves them, promises and quotas
across sites.
"""

from labkit.inventory.accepting import Accepts
from labkit.inventory.errors import NotHeld, OutOfStock, QuotaSpent, UnknownHold, UnknownSku
from labkit.inventory.escrow import Escrow
from labkit.inventory.events import (
    HoldCancelled,
    HoldConfirmed,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
)
from labkit.inventory.findings import Inconsistency
from labkit.inventory.forwarding import Forwarder
from labkit.inventory.holds import Holds, create_reservations
from labkit.inventory.ledger import Balance, Entry, Ledger, adjust
from labkit.inventory.model import Availability, Hold
from labkit.inventory.quotas import Quotas, create_quotas
from labkit.inventory.reconcile import reconcile, repair
from labkit.inventory.stock import Inventory, create_inventory, fenced, guarded, row_locked
from labkit.inventory.stock_cache import StockCache
from labkit.inventory.sweeper import Sweeper
from labkit.inventory.validation import Validator

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
    "Inventory",
    "Ledger",
    "NotHeld",
    "OutOfStock",
    "QuotaSpent",
    "Quotas",
    "StockCache",
    "Sweeper",
    "UnknownHold",
    "UnknownSku",
    "Validator",
    "adjust",
    "create_inventory",
    "create_quotas",
    "create_reservations",
    "fenced",
    "guarded",
    "reconcile",
    "repair",
    "row_locked",
]
