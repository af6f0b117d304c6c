"""1.1 Stock and reservations: holds that end, a ledger that proves them, and promises and quotas
for sites that may be cut off.
"""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.inventory.errors import NotHeld as NotHeld
    from labkit.inventory.errors import OutOfStock as OutOfStock
    from labkit.inventory.errors import QuotaSpent as QuotaSpent
    from labkit.inventory.errors import UnknownHold as UnknownHold
    from labkit.inventory.errors import UnknownSku as UnknownSku
    from labkit.inventory.forwarding import Forwarder as Forwarder
    from labkit.inventory.holds import Holds as Holds
    from labkit.inventory.holds import create_reservations as create_reservations
    from labkit.inventory.ledger import Balance as Balance
    from labkit.inventory.ledger import Ledger as Ledger
    from labkit.inventory.ledger import LedgerEntry as LedgerEntry
    from labkit.inventory.ledger import adjust as adjust
    from labkit.inventory.model import Availability as Availability
    from labkit.inventory.model import Hold as Hold
    from labkit.inventory.model import HoldCancelled as HoldCancelled
    from labkit.inventory.model import HoldConfirmed as HoldConfirmed
    from labkit.inventory.model import HoldExpired as HoldExpired
    from labkit.inventory.model import HoldPlaced as HoldPlaced
    from labkit.inventory.model import HoldReleased as HoldReleased
    from labkit.inventory.promises import Accepts as Accepts
    from labkit.inventory.promises import Validator as Validator
    from labkit.inventory.quotas import Escrow as Escrow
    from labkit.inventory.quotas import Quotas as Quotas
    from labkit.inventory.quotas import create_quotas as create_quotas
    from labkit.inventory.reconciliation import Inconsistency as Inconsistency
    from labkit.inventory.reconciliation import reconcile as reconcile
    from labkit.inventory.reconciliation import repair as repair
    from labkit.inventory.stock import Inventory as Inventory
    from labkit.inventory.stock import create_inventory as create_inventory
    from labkit.inventory.stock import fenced as fenced
    from labkit.inventory.stock import guarded as guarded
    from labkit.inventory.stock import row_locked as row_locked
    from labkit.inventory.stock_cache import StockCache as StockCache
    from labkit.inventory.sweeper import Sweeper as Sweeper
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        errors="NotHeld OutOfStock QuotaSpent UnknownHold UnknownSku",
        forwarding="Forwarder",
        holds="Holds create_reservations",
        ledger="Balance Ledger LedgerEntry adjust",
        model="Availability Hold HoldCancelled HoldConfirmed HoldExpired HoldPlaced HoldReleased",
        promises="Accepts Validator",
        quotas="Escrow Quotas create_quotas",
        reconciliation="Inconsistency reconcile repair",
        stock="Inventory create_inventory fenced guarded row_locked",
        stock_cache="StockCache",
        sweeper="Sweeper",
    )
