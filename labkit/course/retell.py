"""Run a sketch under a fault and tell where it broke: the verdict, then the last events up to the
step that broke it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit.check.verdict import Invariant
from labkit.course.wrap import wrapped
from labkit.sim import run
from labkit.world import Event, Fault, History, Run, Scenario

UNDER_THE_NODE = 11  # columns from the start of an event's time to the name of its node


def retell(
    scenario: Scenario,
    invariant: Invariant,
    *,
    faults: Sequence[Fault] = (),
    seed: int | None = 0,
    args: Mapping[str, Any] | None = None,
    last: int = 8,
) -> Run:
    """Run `scenario` in the simulated world and print the verdict on `invariant`, with the `last`
    events when it is broken.

    The breaking step is the event from which on every longer prefix of the history breaks the
    invariant. Returns the run; raises what the scenario raises."""
    if last < 1:
        raise ValueError(f"last must be at least 1 event, got {last!r}")
    made = run(scenario, seed=seed, faults=faults, args=args)
    verdict = invariant.check(made)
    print(wrapped(str(verdict)))
    if verdict.status == "broken":
        step = breaking_step(made, invariant)
        events = made.history.events
        end = len(events) if step is None else events.index(step) + 1
        print(
            "The last events:" if step is None else "The last events, up to the one that breaks it:"
        )
        for event in events[max(end - last, 0) : end]:
            line = f"{'→' if event is step else ' '} {event}"
            print(wrapped(line, hanging=UNDER_THE_NODE))
    return made


def breaking_step(made: Run, invariant: Invariant) -> Event | None:
    """The event at which the invariant broke for good; None when it speaks of something else than
    the history.
    """
    events, found = made.history.events, None
    for i in range(len(events), -1, -1):
        until = events[i - 1].seq if i else 0
        if not _broken(replace(made, history=prefix(made.history, until)), invariant):
            return found
        found = events[i - 1] if i else None
    return None


def _broken(made: Run, invariant: Invariant) -> bool:
    try:
        return invariant.check(made).status == "broken"
    except Exception:  # half a history is not what the invariant was written for
        return False


def prefix(history: History, until: int) -> History:
    """The entries of a history up to position `until`; an operation that returns later has no
    answer yet.
    """
    part = History()
    part.events = [event for event in history.events if event.seq <= until]
    part.messages = [message for message in history.messages if message.seq <= until]
    part.spans = [span for span in history.spans if span.seq <= until]
    for operation in history.operations:
        if operation.returned is not None and operation.returned <= until:
            part.operations.append(operation)
        elif operation.called <= until:
            part.operations.append(
                replace(operation, returned=None, result=None, outcome="unknown")
            )
    return part
