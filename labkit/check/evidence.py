"""What a search for a linearization found, and its text for the reader.

The text of a broken history names the longest order that any search can build, the state it ends
in, each call one of which would have to come next, and the reason why none does."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from labkit.check.models import Model
from labkit.check.verdict import Status
from labkit.world.history import Operation

SHOWN = 8
"""How many calls of an order, calls that do not fit, and keys the text shows. The data has all."""
SHOWN_IN_LINE = 3


@dataclass(frozen=True)
class Search:
    """The outcome for one object: the whole history, or its calls on one key.

    `order` is a valid order of the calls when the status is holds, else the longest one found.
    `stuck` are the calls one of which would have to come next, `left` the others that are not in
    the order. `states` counts the states searched."""

    status: Status
    key: Hashable
    order: tuple[Operation, ...]
    stuck: tuple[Operation, ...]
    left: tuple[Operation, ...]
    states: int

    @property
    def calls(self) -> int:
        """How many calls there are, those without an answer too."""
        return len(self.order) + len(self.stuck) + len(self.left)

    def __repr__(self) -> str:
        placed = f"{len(self.order)} of {_calls(self.calls)} in order"
        return f"<Search {self.status}: {placed}, {_states(self.states)} searched>"


def evidence(searches: Sequence[Search], model: Model) -> str:
    """The outcome of the searches as text: a valid order; or where no order is left, and why; or
    how far the budget went.
    """
    if not searches:
        return "there are no calls"
    more = [f"… and {len(searches) - SHOWN} more keys"] if len(searches) > SHOWN else []
    return "\n".join([_evidence(search, model) for search in searches[:SHOWN]] + more)


def _evidence(search: Search, model: Model) -> str:
    where = "" if search.key is None else f"at {search.key!r}: "
    if search.status == "holds":
        more = f", … and {len(search.order) - SHOWN} more" if len(search.order) > SHOWN else ""
        order = ", ".join(told(call, model) for call in search.order[:SHOWN])
        return f"{where}one valid order: {order}{more}"
    lines = _undecided(search) if search.status == "unknown" else _broken(search, model)
    text = where + "\n".join(lines)
    return text[0].upper() + text[1:]


def told(call: Operation, model: Model) -> str:
    """A call as its caller saw it: `a: cas(1, 2) → True`, with `→ ?` when the answer was lost."""
    made = f"{call.process}: {call.name}({_inside(call.argument)})"
    if call.outcome == "unknown":
        return f"{made} → ?"
    return made if call.result is None and not model.pure(call) else f"{made} → {call.result!r}"


def _inside(argument: Any) -> str:
    if argument is None:
        return ""
    if isinstance(argument, tuple):
        return ", ".join(map(repr, argument))
    return repr(argument)


def _undecided(search: Search) -> Iterator[str]:
    yield f"undecided after {_states(search.states)}, which is the budget."
    yield f"The longest order found places {len(search.order)} of {_calls(search.calls)}."
    yield "Fewer calls at the same time, or a shorter history, help more than a larger budget."


def _broken(search: Search, model: Model) -> Iterator[str]:
    states = list(accumulate(search.order, model.step, initial=model.initial(search.key)))
    if search.order:
        placed = f"{len(search.order)} of {_calls(search.calls)}"
        yield f"no order places more than {placed}. One that gets so far:"
        yield from _end(search, states, model)
    else:
        yield "no call can come first."
    yield (
        "Next must come one of these, and none fits:"
        if len(search.stuck) > 1
        else "Next must come this, and it does not fit:"
    )
    for call in _aligned(search.stuck[:SHOWN], model):
        yield f"  {call}  could not be placed: {model.describe(states[-1])}"
    if len(search.stuck) > SHOWN:
        yield f"  … and {len(search.stuck) - SHOWN} more"
    if late := [call for call in search.left if call.outcome == "ok"]:
        first = told(search.stuck[0], model)
        yield f"Called only after {first} had returned: {_some(late, model)}."
    if lost := [call for call in search.left if call.outcome == "unknown"]:
        yield f"With lost answers, and no help wherever they are placed: {_some(lost, model)}."
    yield f"Every order was tried ({_states(search.states)})."


def _end(search: Search, states: Sequence[Hashable], model: Model) -> Iterator[str]:
    """The last calls of the order, each with the state after it."""
    hidden = max(0, len(search.order) - SHOWN)
    if hidden:
        yield f"  … {_calls(hidden)} before"
    digits = len(str(len(search.order)))
    for number, call in enumerate(_aligned(search.order[hidden:], model), hidden + 1):
        yield f"  {number:>{digits}}  {call}  then {model.describe(states[number])}"


def _aligned(calls: Sequence[Operation], model: Model) -> list[str]:
    texts = [told(call, model) for call in calls]
    width = max(map(len, texts))
    return [text.ljust(width) for text in texts]


def _some(calls: Sequence[Operation], model: Model) -> str:
    more = f" and {len(calls) - SHOWN_IN_LINE} more" if len(calls) > SHOWN_IN_LINE else ""
    return ", ".join(told(call, model) for call in calls[:SHOWN_IN_LINE]) + more


def _calls(count: int) -> str:
    return f"{count} call" if count == 1 else f"{count} calls"


def _states(count: int) -> str:
    return f"{count:,} state" if count == 1 else f"{count:,} states"
