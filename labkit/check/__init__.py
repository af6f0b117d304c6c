"""Checkers. A verdict is a value with its evidence."""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.check.evidence import Search as Search
    from labkit.check.linearizability import check as check
    from labkit.check.linearizability import linearizable as linearizable
    from labkit.check.models import Model as Model
    from labkit.check.models import cas_register as cas_register
    from labkit.check.models import counter as counter
    from labkit.check.models import fenced_register as fenced_register
    from labkit.check.models import key_value_store as key_value_store
    from labkit.check.models import mutex as mutex
    from labkit.check.models import register as register
    from labkit.check.models import stock as stock
    from labkit.check.verdict import Invariant as Invariant
    from labkit.check.verdict import Status as Status
    from labkit.check.verdict import Verdict as Verdict
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        evidence="Search",
        linearizability="check linearizable",
        models="Model cas_register counter fenced_register key_value_store mutex register stock",
        verdict="Invariant Status Verdict",
    )
