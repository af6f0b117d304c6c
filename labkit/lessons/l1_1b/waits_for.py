"""Who waited for whom: the sentence about a deadlock, from a history of what each node asked for
and held.

A "wants" event with an `item` says that a node asked for its lock; a hold of that label says that
it got it. Several may be asked for at once, so what a node waits for is not what it asked for last.

Guarantees: names as a holder only who held the lock half-way through the wait; after the wait, the
one who waited lets go and another may get on. Leaves out: a circle of more than two."""

from __future__ import annotations

from collections import Counter

from labkit.course.figures.text import duration
from labkit.world import Event, Run


def waited_in_vain(run: Run, gave_up: Event, wait: float) -> str:
    """What a node that gave up had waited for, for at most `wait` seconds, and whether its holder
    waited for it in turn.
    """
    me, mine = gave_up.node, wanted(run, gave_up.node, gave_up.at)
    if mine is None:
        return f"{me} gave up, and had every lock it had asked for"
    item, meanwhile = mine.data["item"], (mine.at + gave_up.at) / 2
    said = f"{me} waited {duration(min(gave_up.at - mine.at, wait))} for {item}, which"
    held_by = holders(run, item, meanwhile)
    others = [node for node in held_by if node != me]
    if not others:
        return f"{said} {me} held already" if held_by else f"{said} nobody held"
    theirs = wanted(run, others[0], meanwhile)
    if theirs is None or me not in holders(run, theirs.data["item"], meanwhile):
        return f"{said} {others[0]} held"
    return (
        f"{said} {others[0]} held, while {others[0]} waited for {theirs.data['item']}, which {me}"
        " held"
    )


def wanted(run: Run, node: str, at: float) -> Event | None:
    """The first lock that a node had asked for and not got by then."""
    got = Counter(
        span.label
        for span in run.history.spans
        if span.kind == "hold" and span.node == node and span.start <= at
    )
    for asked in run.history.of("wants"):
        if asked.node == node and asked.at <= at:
            if not got[asked.data["item"]]:
                return asked
            got[asked.data["item"]] -= 1
    return None


def holders(run: Run, item: str, at: float) -> list[str]:
    """Who held an item then."""
    holds = [span for span in run.history.spans if span.kind == "hold" and span.label == item]
    return [span.node for span in holds if span.start <= at and (span.end is None or span.end > at)]
