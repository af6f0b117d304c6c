"""What is special to the judges of lesson 1.2d: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from labkit.lessons.l1_2d.late_events import MEANS, TRUE_TO_EVENTS, TRUE_WORD, late_events
from labkit.sim import run
from tests.lessons import answers_1_2d as answers

pytestmark = pytest.mark.usefixtures("kept")


def expected(told: tuple[str, ...]) -> str:
    """One worker, one delivery after the other: the first end there is stays."""
    ends = [MEANS[event] for event in told if MEANS[event] != "paid"]
    return ends[0] if ends else "paid"


@pytest.mark.parametrize(
    "told", [told for size in (1, 2, 3) for told in permutations(MEANS, size)], ids="-".join
)
def test_a_guarded_order_ends_as_it_must_in_every_order_of_its_events(
    told: tuple[str, ...],
) -> None:
    made = run(late_events, args={"apply": answers.apply_guarded, "told": told, "workers": 1})
    assert TRUE_TO_EVENTS.check(made) and TRUE_WORD.check(made)
    assert made.history.of("becomes")[-1].data["now"] == expected(told)
