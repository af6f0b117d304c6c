"""A fault is a value that can be printed and repeated; one that makes no sense is refused, with
what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from labkit.world import (
    Crash,
    Duplication,
    Failover,
    Fault,
    FaultError,
    LoseReply,
    Loss,
    Partition,
    Pause,
    Skew,
    Slow,
)

SENSIBLE: list[Fault] = [
    Pause("a", for_=3.0, at=1.0),
    Crash("a", after="sold", nth=2, restart_after=5.0),
    Crash("a", at=0.0),
    Skew("a", by=-2.0, rate=0.5, at=1.0),
    Partition(("a", "b"), ("c",), at=1.0, for_=2.0),
    Loss(0.5, src="a", at=1.0),
    Duplication(1.0, dst="b", at=1.0),
    LoseReply(src="a", label="COMMIT", after="paid"),
    Slow(factor=10.0, at=0.0, for_=1.0),
    Failover(lag=0.5, at=1.0),
]


@pytest.mark.parametrize("fault", SENSIBLE, ids=lambda fault: type(fault).__name__)
def test_what_a_fault_prints_is_python_that_makes_it_again(fault: Fault) -> None:
    assert eval(repr(fault)) == fault


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Pause("a", for_=1.0),
            "Pause: give either at=seconds or after='event kind', got at=None, after=None",
        ),
        (lambda: Pause("a", for_=1.0, at=1.0, after="sold"), "Pause: give either"),
        (lambda: Pause("a", for_=1.0, at=-1.0), "Pause.at must be at least 0 seconds, got -1.0"),
        (lambda: Pause("a", for_=1.0, at=nan), "Pause.at must be at least 0 seconds, got nan"),
        (lambda: Pause("a", for_=1.0, at=inf), "Pause.at must be at least 0 seconds, got inf"),
        (lambda: Pause("a", for_=-1.0, at=1.0), "Pause.for_ must be at least 0 seconds, got -1.0"),
        (lambda: Pause("a", for_=nan, at=1.0), "Pause.for_ must be at least 0 seconds, got nan"),
        (lambda: Pause("", for_=1.0, at=1.0), "Pause.node must be a name, got ''"),
        (lambda: Crash("a", after="sold", nth=0), "Crash.nth must be at least 1, got 0"),
        (
            lambda: Crash("a", at=1.0, restart_after=-1.0),
            "Crash.restart_after must be at least 0 seconds, got -1.0",
        ),
        (lambda: Skew("a", at=1.0, by=inf), "Skew.by must be a finite number of seconds, got inf"),
        (lambda: Skew("a", at=1.0, rate=0.0), "Skew.rate must be more than 0 and finite, got 0.0"),
        (lambda: Partition("west", at=1.0), "Partition.one must be a tuple of names, got 'west'"),
        (lambda: Partition((), at=1.0), r"Partition.one must be a tuple of names, got \(\)"),
        (
            lambda: Partition(("a",), "b", at=1.0),
            "Partition.other must be a tuple of names, got 'b'",
        ),
        (lambda: Loss(1.5, at=1.0), "Loss.probability must be from 0 to 1, got 1.5"),
        (lambda: Duplication(nan, at=1.0), "Duplication.probability must be from 0 to 1, got nan"),
        (lambda: Slow(factor=0.0, at=1.0), "Slow.factor must be more than 0 and finite, got 0.0"),
        (lambda: Failover(lag=-0.1, at=1.0), "Failover.lag must be at least 0 seconds, got -0.1"),
    ],
)
def test_one_that_makes_no_sense_is_refused_with_field_value_and_what_is_allowed(
    make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(FaultError, match=f"^{message}"):
        make()
