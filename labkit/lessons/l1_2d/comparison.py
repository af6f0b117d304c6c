"""What lesson 1.2d measures of a shop, whichever way it carries out its orders.

`day` is ten customers, or more: of five, one lives where the shop does not deliver, and one cannot
pay. `messages` counts what crosses the network for each of their orders, less what an idle shop
sends in the same time. `stopped` has one part down for two seconds while the third of four orders
is under way. All three require that every accepted order has ended.

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
MANY = 20
"""Customers of a rush: ten of them would come in half a second and be a burst."""


def day(shop: Mapping[str, Any], seed: int, every: float = CALM, customers: int = 10) -> Run:
    """Customers come, one `every` seconds. `shop`: how to open it, for `checkout`."""
    return _day(tuple(sorted(shop.items())), seed, every, customers)


@cache
def _day(shop: tuple[tuple[str, Any], ...], seed: int, every: float, customers: int) -> Run:
    wishes = _WISHES * (customers // len(_WISHES))
    scenario = {"customers": wishes, "stock": customers, "every": every}
    within = 1.2 if customers <= 10 else 2.0  # in a rush, the last order waits for the others
    made = run(checkout, seed=seed, args=scenario | {"within": within} | dict(shop))
    _require_that_all_ended(made, len(wishes))
    return made


def _require_that_all_ended(made: Run, accepted: int) -> None:
    """A wait counts up to the last thing done, so it is known only of an order that has ended."""
    if "pending" in made.result.status or len(waits(made)) != accepted:
        raise RuntimeError(f"not every order has ended: {made.result}")


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
    """What two seconds without one part did, run by run: how many orders were accepted, and the
    seconds until the slowest was done and until the last parcel was booked.
    """

    accepted: list[int]
    slowest: list[float]
    parcel: list[float]


TRIES = ((0.98, 12), (1.02, 1), (1.06, 2))
"""When the part stops, and the seed. The third order comes at 0.94 s."""


def stopped(
    shop: Mapping[str, Any], node: str, tries: Iterable[tuple[float, int]] = TRIES
) -> Stopped:
    """Stop `node` for two seconds while four customers come, once for each of `tries`."""
    found = Stopped([], [], [])
    morning = {"customers": ({},) * 4, "stock": 4, "within": 3.2, "every": 0.47}
    for at, seed in tries:
        made = run(checkout, seed=seed, args={**morning, **shop}, faults=[_stop(node, at)])
        accepted = len(made.history.of("placed"))
        _require_that_all_ended(made, accepted)
        found.accepted.append(accepted)
        found.slowest.append(max(waits(made).values()))
        found.parcel.append(last_parcel(made))
    return found


def _stop(node: str, at: float) -> Fault:
    return Pause(node, at=at, for_=2.0) if node == "redis" else Crash(node, at=at, restart_after=2)


def span(values: Sequence[float], form: str = ".0f") -> str:
    """From the least to the greatest, or one number when they look alike."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
