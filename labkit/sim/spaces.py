"""Spaces of faults for a search: which nodes, when, for how long.

When nothing else is said, a fault strikes just after a *moment* of the calm run: after a message
left or arrived, or an event was written. Between two moments nothing changes, so a fault anywhere
between them does the same; a uniformly drawn time would mostly hit the long quiet stretches. Round
numbers come out, because times and durations are drawn from grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from labkit.world import Crash, Fault, History, LoseReply, Partition, Pause

Moments = Sequence[float]
Space = Callable[[Moments], st.SearchStrategy[Fault]]
"""A space of faults, given the moments of the calm run."""

GRID = 40
MOST_MOMENTS = 200
DECIMALS = 4


def moments(history: History) -> list[float]:
    """The times just after something happened, in seconds, ascending; 0 is one of them."""
    times = [event.at for event in history.events]
    for message in history.messages:
        times += [message.sent] if message.arrived is None else [message.sent, message.arrived]
    scale = 10**DECIMALS
    after = sorted({0.0, *(math.ceil(time * scale) / scale for time in times)})
    return after[:: math.ceil(len(after) / MOST_MOMENTS)]


def pauses(*nodes: str, up_to: float, within: float | None = None) -> Space:
    """One of the nodes stops for at most `up_to` seconds, after a moment of the calm run or at a
    time up to `within`.
    """
    node, length = _node(nodes), _grid(up_to)
    return lambda known: st.builds(Pause, node=node, at=_times(known, within), for_=length)


def crashes(*nodes: str, restart_after: float | None = None, within: float | None = None) -> Space:
    """One of the nodes dies, and comes back after `restart_after` seconds or never."""
    node, back = _node(nodes), st.just(restart_after)
    return lambda known: st.builds(Crash, node=node, at=_times(known, within), restart_after=back)


def partitions(*nodes: str, up_to: float, within: float | None = None) -> Space:
    """One of the nodes is cut off from all others for at most `up_to` seconds."""
    alone, length = _node(nodes).map(lambda node: (node,)), _grid(up_to)
    return lambda known: st.builds(Partition, one=alone, at=_times(known, within), for_=length)


def lost_replies(*nodes: str, within: float | None = None) -> Space:
    """The next answer to one of the nodes is lost."""
    node = _node(nodes)
    return lambda known: st.builds(LoseReply, src=node, at=_times(known, within))


def _node(nodes: tuple[str, ...]) -> st.SearchStrategy[str]:
    if not nodes:
        raise ValueError("name at least one node")
    return st.sampled_from(nodes)


def _times(known: Moments, within: float | None) -> st.SearchStrategy[float]:
    return st.sampled_from(known) if within is None else _grid(within)


def _grid(up_to: float) -> st.SearchStrategy[float]:
    if not 0 < up_to < math.inf:
        raise ValueError(f"up_to and within must be more than 0 seconds and finite, got {up_to!r}")
    return st.integers(1, GRID).map(lambda step: round(up_to * step / GRID, DECIMALS))
