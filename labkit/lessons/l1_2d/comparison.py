"""What lesson 1.2d measures of a shop, whichever way it carries out its orders.

`day` is ten customers: two live where the shop does not deliver, and two cannot pay. `messages`
counts what crosses the network for each of their orders, less what an idle shop sends in the same
time. `stopped` has one part down for two seconds while the third of four orders is under way.

Orders never come at the moments at which a relay looks by itself, every half second: it would meet
the relay that is called after the commit, and publish an event twice.

Leaves out: shops whose orders wait for an operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any, NamedTuple

from labkit.lessons.shared.customers import checkout, waits
from labkit.lessons.shared.two_ways import crossings, last_parcel
from labkit.sim import run
from labkit.world import Crash, Fault, Pause, Run

_WISHES: tuple[Mapping[str, str], ...] = ({}, {"country": "AQ"}, {}, {"customer": "bob"}, {})
CALM, RUSH = 0.27, 0.05
"""Seconds between two customers."""


def day(shop: Mapping[str, Any], seed: int, every: float = CALM) -> Run:
    """Ten customers come, one `every` seconds. `shop`: how to open it, for `checkout`."""
    return _day(tuple(sorted(shop.items())), seed, every)


@cache
def _day(shop: tuple[tuple[str, Any], ...], seed: int, every: float) -> Run:
    customers = {"customers": _WISHES * 2, "stock": 10, "every": every, "within": 1.2}
    return run(checkout, seed=seed, args=customers | dict(shop))


def messages(shop: Mapping[str, Any], seed: int) -> Counter[str]:
    """Messages for one order, by where they go; answers are counted, too."""
    busy = day(shop, seed)
    idle = run(checkout, seed=seed, args={**shop, "customers": (), "within": busy.seconds})
    more = crossings(busy) - crossings(idle)
    each = Counter({kind: round(number / 10) for kind, number in more.items()})
    each["in total"] = each.total()
    return each


def half_and_slowest(made: Run) -> tuple[float, float]:
    """Milliseconds from a customer's arrival until the last thing is done for the order: the
    median, and the slowest.
    """
    found = [1000 * seconds for seconds in waits(made).values()]
    return median(found), max(found)


class Stopped(NamedTuple):
    """What two seconds without one part did, over several runs."""

    accepted: str
    slowest: str
    parcel: str


TRIES = ((0.98, 12), (1.02, 1), (1.06, 2))
"""When the part stops, and the seed. The third order comes at 0.94 s."""


def stopped(
    shop: Mapping[str, Any], node: str, tries: Iterable[tuple[float, int]] = TRIES
) -> Stopped:
    """Stop `node` for two seconds while four customers come.

    Returns ranges over the tries: orders accepted, and seconds until the slowest was done and until
    the last parcel was booked.
    """
    morning = {"customers": ({},) * 4, "stock": 4, "within": 3.2, "every": 0.47}
    runs = [
        run(checkout, seed=seed, args={**shop, **morning}, faults=[_stop(node, at)])
        for at, seed in tries
    ]
    return Stopped(
        span([len(done.history.of("placed")) for done in runs]),
        span([max(waits(done).values()) for done in runs], ".1f"),
        span([last_parcel(done) for done in runs], ".1f"),
    )


def _stop(node: str, at: float) -> Fault:
    return Pause(node, at=at, for_=2.0) if node == "redis" else Crash(node, at=at, restart_after=2)


def span(values: Sequence[float], form: str = ".0f") -> str:
    """From the least to the greatest, or one number when they look alike."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
