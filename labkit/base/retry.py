"""A retry policy as a value: exponential backoff with jitter, a limit on attempts, and the errors
that are never retried.

The caller does the waiting and follows two rules: a call with unknown outcome is retried under the
same idempotency key, and a saga counts its attempts in its log, so that a crash does not reset the
count.

Why jitter: without it, all clients that an outage stopped come back at the same moments.

Leaves out: a retry budget shared by many callers, and a circuit breaker (chapter 2).

Source: Brooker 2015, "Exponential Backoff And Jitter"; the field names follow Temporal's
RetryPolicy in meaning."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from labkit.base.errors import Refused


@dataclass(frozen=True)
class Retry:
    """At most `attempts` calls (`math.inf`: no limit). After the nth, the wait is
    `first * factor**(n-1)` seconds, at most `most`.

    `jitter` is the part of a wait that is random: with 0 the wait is exact, with 1 it may be
    anything down to zero. An error of a type in `never` is not retried; by default these are the
    definite refusals."""

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
        """Whether no further call follows the `attempt`th, which ended with this error."""
        return attempt >= self.attempts or isinstance(error, self.never)
