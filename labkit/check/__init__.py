"""Checkers. A verdict is a value with its evidence."""

from labkit.check.evidence import Search
from labkit.check.linearizability import check, linearizable
from labkit.check.models import (
    Model,
    cas_register,
    counter,
    fenced_register,
    key_value_store,
    mutex,
    register,
    stock,
)
from labkit.check.verdict import Invariant, Status, Verdict

__all__ = [
    "Invariant",
    "Model",
    "Search",
    "Status",
    "Verdict",
    "cas_register",
    "check",
    "counter",
    "fenced_register",
    "key_value_store",
    "linearizable",
    "mutex",
    "register",
    "stock",
]
