"""When to ask again: exponential backoff with jitter, an end to it, and errors after which asking
again cannot help.

Shows: a policy as a value. The waiting is the driver's, and so are the rules: an attempt whose
outcome is unknown is asked again under the same idempotency key; a saga's attempts are counted in
its log, so a crash does not start the count anew.

Why jitter: without it, everybody whom an outage stopped comes back at the same moments (lesson
1.2a, the compensation storm).

Leaves out: a retry budget over all sagas, and a circuit breaker (chapter 2).

Source: Brooker 2015, "Exponential Backoff And Jitter"; the field names follow Temporal's
RetryPolicy in meaning."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from labkit.base.errors import Refused


@dataclass(frozen=True)
class Retry:
    """At most `attempts` calls (`math.inf`: for ever); after the nth, wait `first * factor**(n-1)`
    seconds, at most `most`.

    `jitter` is the share of a wait that is drawn by lot: 0 none, 1 anything down to zero. An error
    of a type in `never` ends it at once; `Refused`, a definite no, is one unless another tuple is
    given."""

    attempts: float = 5
    first: float = 0.1
    factor: float = 2.0
    most: float = 10.0
    jitter: float = 0.5
    never: tuple[type[Exception], ...] = (Refused,)

    def __post_init__(self) -> None:
        if not (
            self.attempts >= 1
            and (self.attempts == math.inf or self.attempts == int(self.attempts))
        ):
            raise ValueError(
                f"attempts must be a whole number of at least 1, or math.inf, got {self.attempts!r}"
            )
        for field, least in (("first", 0.0), ("factor", 1.0), ("most", 0.0)):
            value = getattr(self, field)
            if not least <= value < math.inf:
                raise ValueError(f"{field} must be at least {least:g} and finite, got {value!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, got {self.jitter!r}")

    def wait(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after the `attempt`th call failed (the first is 1)."""
        longest: float = self.most
        if attempt < 1024:  # beyond, the power overflows; `most` has long been reached
            longest = min(self.most, self.first * self.factor ** (attempt - 1))
        return longest * (1 - self.jitter * rng.random())

    def gives_up(self, attempt: int, error: Exception) -> bool:
        """Whether the `attempt`th call, having ended with this error, was the last one."""
        return attempt >= self.attempts or isinstance(error, self.never)
