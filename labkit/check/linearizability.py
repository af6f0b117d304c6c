"""Is a history linearizable? Can every call be given one instant between its start and its end,
such that one object used by one caller at a time would have given the same answers?

Shows the search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's
memory ("Testing for linearizability", 2017): depth first over the calls that may come next, and
never twice on from the same pair of (set of calls placed, state). Keys are checked one by one (Horn
and Kroening, "Faster linearizability checking via P-compositionality", 2015).

Guarantees: *holds* comes with a valid order, *broken* with the point at which no order is left, and
*unknown* when the budget ran out first. The problem is NP-complete: some histories of fifty calls
are out of reach of every checker.

Leaves out: weaker conditions (sequential, causal consistency), and transactions over several
keys."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter, or_
from typing import Any

from labkit.check.evidence import Search, evidence
from labkit.check.models import Model
from labkit.check.verdict import Invariant, Status, Verdict
from labkit.world.history import Operation

BUDGET = 500_000  # states


def check(operations: Sequence[Operation], model: Model, *, budget: int = BUDGET) -> Verdict:
    """Whether the history is linearizable for this model.

    A *failed* operation did not happen and is dropped. An *unknown* one may take effect at any time
    after its call, or never; its result is ignored. `budget` bounds the states searched, at a few
    microseconds and about 200 bytes each. The verdict's `data` is a tuple of `Search`, one for each
    key; of a broken history, the one of the key that is broken. Raises ValueError for an operation
    that makes no sense: unknown to the model, returned before it was called."""
    if budget < 1:
        raise ValueError(f"budget must be at least 1 state, got {budget!r}")
    objects: dict[Hashable, list[Operation]] = defaultdict(list)
    for operation in operations:
        if wrong := _wrong(operation, model):
            raise ValueError(
                f"{operation.process}'s {operation.name}, called at {operation.called}: {wrong}"
            )
        if operation.outcome != "failed":
            objects[model.key(operation)].append(operation)
    claim = f"linearizable as a {model.name}"
    searches: list[Search] = []
    for key, calls in objects.items():
        searches.append(_search(key, calls, model, budget))
        budget -= searches[-1].states
        if searches[-1].status == "broken":
            return Verdict("broken", claim, evidence(searches[-1:], model), (searches[-1],))
    undecided = [search for search in searches if search.status == "unknown"]
    return Verdict(
        "unknown" if undecided else "holds",
        claim,
        evidence(undecided or searches, model),
        tuple(searches),
    )


def linearizable(model: Model, *names: str, budget: int = BUDGET) -> Invariant:
    """The invariant that a run's operations (of these names, or all) are linearizable for this
    model.
    """

    def test(run: Any) -> Verdict:
        return check(
            [call for call in run.history.operations if not names or call.name in names],
            model,
            budget=budget,
        )

    return Invariant(f"linearizable as a {model.name}", test)


def _wrong(operation: Operation, model: Model) -> str:
    if operation.name not in model.operations:
        return f"name must be one of {', '.join(model.operations)} for a {model.name}"
    if operation.outcome == "ok" and (
        operation.returned is None or operation.returned < operation.called
    ):
        return (
            f"returned must be a later position when the outcome is ok, got {operation.returned!r}"
        )
    try:
        hash(operation.argument)
    except TypeError:
        return (
            "argument must be hashable (a number, a string, a tuple of them), "
            f"got {operation.argument!r}"
        )
    return ""


_Frame = tuple[int, Any, int, int]
"""The calls placed and the state before a move, the moves not yet tried there, and the move."""


def _search(key: Hashable, operations: Sequence[Operation], model: Model, budget: int) -> Search:
    ahead = _frontier(operations, model)
    calls, certain, pure, open_until = ahead.calls, ahead.certain, ahead.pure, ahead.open_until
    step = model.step

    def settle(placed: int, state: Any) -> tuple[int, int]:
        """Place every read that fits, for good: it changes nothing, so later is never better. Then,
        what may come next.
        """
        while missing := certain & ~placed:
            following = open_until[missing & -missing] & ~placed
            fits, reads = 0, following & pure & certain
            while reads:
                bit = reads & -reads
                reads ^= bit
                if step(state, calls[bit]) is not None:
                    fits |= bit
            if not fits:
                return placed, following & ~pure
            placed |= fits
        return placed, 0

    def length(placed: int) -> tuple[int, int]:
        """What makes an order the longest: the answered calls in it, then the fewest others."""
        return (placed & certain).bit_count(), -placed.bit_count()

    state: Any = model.initial(key)
    placed, untried = settle(0, state)
    seen = {(0, state)}
    path: list[_Frame] = []
    longest: tuple[tuple[int, int], list[_Frame], int] = (length(placed), [], placed)
    while certain & ~placed:
        while untried:
            bit = untried & -untried
            untried ^= bit
            after = step(state, calls[bit])
            if after is None:
                continue
            # A call without an answer that does nothing here, or whose twin goes first.
            if bit > certain and (after == state or ahead.twin[bit] & ~placed):
                continue
            if (reached := (placed | bit, after)) not in seen:
                seen.add(reached)
                path.append((placed, state, untried, bit))
                state = after
                placed, untried = settle(placed | bit, after)
                break
        else:
            if (reach := length(placed)) > longest[0]:
                longest = (reach, [*path], placed)
            if not path:
                return _found("broken", key, ahead, longest[1], longest[2], len(seen))
            placed, state, untried, _ = path.pop()
        if len(seen) > budget:
            _, path, placed = max(
                longest, (length(placed), path, placed), key=lambda order: order[0]
            )
            return _found("unknown", key, ahead, path, placed, len(seen))
    return _found("holds", key, ahead, path, placed, len(seen))


def _found(
    status: Status,
    key: Hashable,
    ahead: _Frontier,
    path: Sequence[_Frame],
    placed: int,
    states: int,
) -> Search:
    settled = [*(frame[0] for frame in path), placed]
    order = ahead.among(settled[0])
    for (before, _, _, bit), after in zip(path, settled[1:], strict=True):
        order.append(ahead.calls[bit])
        if reads := after & ~before & ~bit:
            order += ahead.among(reads)
    stuck = ahead.due(placed) if status == "broken" else 0
    left = ahead.every & ~placed & ~stuck
    return Search(
        status, key, tuple(order), tuple(ahead.among(stuck)), tuple(ahead.among(left)), states
    )


# -- which calls may come next: what depends on time only, prepared once


@dataclass(slots=True)
class _Frontier:
    """Which calls may come next: those that were called before any call that is still to be placed
    had returned.

    Number the calls by the time they returned; then the lowest that is not placed decides alone:
    what may come next was called no later than that one returned. Call number i is bit i of an
    integer, so a set of calls is an integer, and what may come next takes one `&`. A call without
    an answer forces nothing: it is numbered after all others, may be placed once it was called, and
    may be left out. Of two such calls that do the same the earlier goes first, as swapping them
    explains nothing new.

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


def _frontier(operations: Sequence[Operation], model: Model) -> _Frontier:
    answered = sorted(
        [call for call in operations if call.outcome == "ok"], key=attrgetter("returned")
    )
    unknown = sorted(
        [call for call in operations if call.outcome == "unknown"], key=attrgetter("called")
    )
    calls = {1 << number: call for number, call in enumerate(answered + unknown)}
    made = sorted([(call.called, bit) for bit, call in calls.items()])
    times = [time for time, _ in made]
    first = [0, *accumulate((bit for _, bit in made), or_)]
    open_until = {
        1 << number: first[bisect_right(times, call.returned or 0)]
        for number, call in enumerate(answered)
    }
    pure = sum(bit for bit, call in calls.items() if model.pure(call))
    every, certain = (1 << len(calls)) - 1, (1 << len(answered)) - 1
    return _Frontier(calls, every, certain, pure, open_until, _twins(unknown, len(answered), model))


def _twins(unknown: Sequence[Operation], first: int, model: Model) -> dict[int, int]:
    twins: dict[int, int] = {}
    latest: dict[Hashable, int] = {}
    for number, call in enumerate(unknown, first):
        does = (call.name, call.argument, call.process if model.by_caller else None)
        twins[1 << number] = latest.get(does, 0)
        latest[does] = 1 << number
    return twins
