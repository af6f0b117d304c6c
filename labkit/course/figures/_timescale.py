"""A time axis on which a millisecond and a three-second pause can both be read.

Every stretch between two things that happen gets a width: in proportion to its length while the
lengths are alike, and only its logarithm beyond the usual length once they are not. Order is always
kept; ticks carry the true times, and the drawing says that the axis is not to scale."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from math import log10
from statistics import median

_ALIKE = 12.0  # the longest stretch may be this many usual ones before the axis is squeezed
_QUIET = 8.0  # a stretch this many times the usual is marked as squeezed


class TimeScale:
    """Seconds to pixels between `left` and `right`; `times` are the instants at which something
    happens.
    """

    def __init__(self, times: Iterable[float], left: float, right: float) -> None:
        self.times = sorted(set(times)) or [0.0]
        if len(self.times) == 1:
            self.times.append(self.times[0] + 1.0)
        gaps = [after - before for before, after in pairwise(self.times)]
        usual = median(gaps)
        self.to_scale = max(gaps) <= _ALIKE * usual
        widths = gaps if self.to_scale else [_squeezed(gap / usual) for gap in gaps]
        step = (right - left) / sum(widths)
        self._xs = [left]
        for width in widths:
            self._xs.append(self._xs[-1] + width * step)
        stretches = zip(pairwise(self.times), gaps, strict=True)
        self.quiet = (
            [] if self.to_scale else [stretch for stretch, gap in stretches if gap > _QUIET * usual]
        )

    def x(self, seconds: float) -> float:
        """The pixel of an instant; instants outside the axis are put at its ends."""
        i = bisect_right(self.times, seconds) - 1
        if i < 0:
            return self._xs[0]
        if i >= len(self.times) - 1:
            return self._xs[-1]
        share = (seconds - self.times[i]) / (self.times[i + 1] - self.times[i])
        return self._xs[i] + share * (self._xs[i + 1] - self._xs[i])

    @property
    def unit(self) -> tuple[str, float]:
        """The unit of the axis and how many of it a second has."""
        return ("seconds", 1.0) if self.times[-1] >= 1.0 else ("milliseconds", 1000.0)

    def ticks(self, room: float) -> list[tuple[float, str]]:
        """Instants to label, at least `room` pixels apart: the ends, the edges of quiet stretches,
        then the others in order.
        """
        edges = [instant for stretch in self.quiet for instant in stretch]
        chosen: list[float] = []
        for instant in [self.times[0], self.times[-1], *edges, *self.times]:
            if all(abs(self.x(instant) - self.x(other)) >= room for other in chosen):
                chosen.append(instant)
        chosen.sort()
        factor = self.unit[1]
        for digits in range(5):
            labels = [f"{instant * factor:.{digits}f}" for instant in chosen]
            if len(set(labels)) == len(labels) and all(
                abs(float(label) - instant * factor) <= 0.02 * instant * factor
                for label, instant in zip(labels, chosen, strict=True)
            ):
                break
        return list(zip(chosen, labels, strict=True))


def _squeezed(ratio: float) -> float:
    return ratio if ratio <= 1 else 1 + log10(ratio)
