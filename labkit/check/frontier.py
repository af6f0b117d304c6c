"""Which calls may come next: the part of a linearizability search that depends on time only,
prepared once.

A call may come next when no call that is still to be placed had returned before it was made. Number
the calls by the time they returned; then the lowest that is not placed decides alone: what may come
next was called no later than that one returned. Call number i is bit i of an integer, so a set of
calls is an integer, and what may come next takes one `&`.

A call without an answer forces nothing: it is numbered after all others, may be placed once it was
called, and may be left out. Of two such calls that do the same the earlier goes first, as swapping
them explains nothing new."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter, or_

from labkit.check.models import Model
from labkit.world.history import Operation


@dataclass(slots=True)
class Frontier:
    """The calls by their bit, and sets of them as bits.

    `every` is all of them. `certain` were answered and must be placed; theirs are the lowest bits.
    `pure` change nothing. `open_until` gives for each certain call those made before it returned;
    `twin`, for a call without an answer, the earlier one that does the same (0: none)."""

    calls: Mapping[int, Operation]
    every: int
    certain: int
    pure: int
    open_until: Mapping[int, int]
    twin: Mapping[int, int]

    def due(self, placed: int) -> int:
        """The answered calls one of which must come next, after these."""
        missing = self.certain & ~placed
        return self.open_until[missing & -missing] & missing if missing else 0

    def among(self, bits: int) -> list[Operation]:
        """The calls of a set, in the order of their numbers."""
        found = []
        while bits:
            found.append(self.calls[bits & -bits])
            bits &= bits - 1
        return found


def frontier(operations: Sequence[Operation], model: Model) -> Frontier:
    """Number the calls and prepare the sets."""
    answered = sorted(
        [call for call in operations if call.outcome == "ok"], key=attrgetter("returned")
    )
    unknown = sorted(
        [call for call in operations if call.outcome == "unknown"], key=attrgetter("called")
    )
    calls = {1 << number: call for number, call in enumerate(answered + unknown)}
    made = sorted([(call.called, bit) for bit, call in calls.items()])
    times, first = [time for time, _ in made], [0, *accumulate((bit for _, bit in made), or_)]
    open_until = {
        1 << number: first[bisect_right(times, call.returned or 0)]
        for number, call in enumerate(answered)
    }
    pure = sum(bit for bit, call in calls.items() if model.pure(call))
    every, certain = (1 << len(calls)) - 1, (1 << len(answered)) - 1
    return Frontier(calls, every, certain, pure, open_until, _twins(unknown, len(answered), model))


def _twins(unknown: Sequence[Operation], first: int, model: Model) -> dict[int, int]:
    twins: dict[int, int] = {}
    latest: dict[Hashable, int] = {}
    for number, call in enumerate(unknown, first):
        does = (call.name, call.argument, call.process if model.by_caller else None)
        twins[1 << number] = latest.get(does, 0)
        latest[does] = 1 << number
    return twins
