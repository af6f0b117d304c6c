"""How orders end when payments is slow: the experiment "what it costs" of lesson 1.2a.

Payments takes an exponentially distributed time for a charge: half of it before it acts, half
before it answers. Twenty delays stand for the distribution, each at the middle of its twentieth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import log

from labkit.lessons.shared.checkout import Answer, Participant, Saga, checkout, end
from labkit.sim import run

DELAYS = 20
PATIENCE = 0.1  # seconds that the sagas of the lesson wait for an answer


def outcomes(
    saga: Saga, act: Callable[[Participant, str, str], Answer], mean: float, first_seed: int = 0
) -> Counter[str]:
    """How many of the twenty orders end in which way. `mean`: the mean delay, as a multiple of the
    time-out.
    """
    ended: Counter[str] = Counter()
    for number in range(DELAYS):
        delay = -PATIENCE * mean * log(1 - (number + 0.5) / DELAYS)
        slow = {"charge": (delay / 2, delay / 2)}
        made = run(
            checkout,
            seed=first_seed + number,
            args={"saga": saga, "act": act, "slow": slow},
        )
        ended[end(made)] += 1
    return ended
