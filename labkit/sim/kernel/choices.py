"""The source of a run's random choices: which task goes first, how long a message takes, whether it
is lost.

Every free choice of a run is a *choice point*, numbered from 0 in the order in which they come up.
A seed answers each with a random draw. Without a seed the world is calm: the oldest task goes
first, every message takes its usual time, nothing is lost. *Deviations* say what to do otherwise at
single points, so a schedule is a short list that can be shrunk: most bugs of ordering need few of
them (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
2010)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STRETCH = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""What a deviation 1 to 7 does to a message's usual time."""


@dataclass(frozen=True)
class Latency:
    """How long a message takes one way: lognormal, `median` in seconds, `sigma` the spread of its
    logarithm.
    """

    median: float = 0.001
    sigma: float = 0.4

    def __post_init__(self) -> None:
        if not 0 <= self.median < math.inf:
            raise ValueError(f"Latency.median must be at least 0 seconds, got {self.median!r}")
        if not 0 <= self.sigma <= 3:
            raise ValueError(f"Latency.sigma must be from 0 to 3, got {self.sigma!r}")


class Choices:
    """The source of every choice of one run. `pick(n)` is one of 0 … n-1; 0 is the oldest."""

    pick: Callable[[int], int]

    def __init__(self, seed: int | None = 0, deviations: Sequence[tuple[int, int]] = ()) -> None:
        for point, alternative in deviations:
            if point < 0 or alternative < 0:
                raise ValueError(
                    "deviations are pairs (choice point, alternative) of numbers from 0 up, "
                    f"got {(point, alternative)!r}"
                )
        self._random = random.Random(f"labkit schedule {seed}") if seed is not None else None
        self._deviations = dict(deviations)
        self.points = 0
        if self._random is None or self._deviations:
            self.pick = self._pick_counted
        else:
            draw = self._random.random
            self.pick = lambda n: int(draw() * n)  # the hot path of every seeded run

    def _deviation(self) -> int | None:
        self.points += 1
        return self._deviations.get(self.points - 1)

    def _pick_counted(self, n: int) -> int:
        usual = int(self._random.random() * n) if self._random else 0
        deviation = self._deviation()
        return usual if deviation is None else deviation % n

    def delay(self, latency: Latency) -> float:
        """How long the next message takes, in seconds."""
        usual = latency.median
        if self._random and latency.sigma:
            usual *= math.exp(self._random.gauss(0.0, latency.sigma))
        deviation = self._deviation()
        return usual if deviation is None else latency.median * STRETCH[deviation % len(STRETCH)]

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        usual = self._random.random() < probability if self._random else probability >= 1
        deviation = self._deviation()
        return usual if deviation is None else deviation % 2 == 1 and probability > 0
