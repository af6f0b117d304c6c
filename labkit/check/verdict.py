"""A verdict: the value a checker returns. Three-valued, because a search can run out of budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any, Literal

Status = Literal["holds", "broken", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What was claimed, whether it holds, and the evidence: a sentence, or lines of text. Only
    `holds` is true.
    """

    status: Status
    claim: str
    evidence: str = ""
    data: Any = None

    def __bool__(self) -> bool:
        return self.status == "holds"

    def __repr__(self) -> str:
        told = f"{self.status.upper()}: {self.claim}"
        if "\n" in self.evidence:
            return f"{told}\n{indent(self.evidence, '  ')}"
        return f"{told} ({self.evidence})" if self.evidence else told


@dataclass(frozen=True)
class Invariant:
    """A claim that must hold on every run: a sum, a bound, an order.

    `test` takes a `labkit.world.Run` (or whatever `check` is given) and returns True or False, a
    sentence that says what is wrong, None when nothing is, or a `Verdict`."""

    claim: str
    test: Callable[[Any], bool | str | Verdict | None] = field(repr=False)

    def check(self, subject: Any) -> Verdict:
        """The verdict on one run."""
        found = self.test(subject)
        if isinstance(found, Verdict):
            return found
        if found is None or found is True:
            return Verdict("holds", self.claim)
        return Verdict("broken", self.claim, "" if found is False else str(found))
