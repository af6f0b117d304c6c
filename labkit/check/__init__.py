"""Checkers. A verdict is a value with its evidence."""

from labkit.check.verdict import Invariant, Status, Verdict

__all__ = ["Invariant", "Status", "Verdict"]
