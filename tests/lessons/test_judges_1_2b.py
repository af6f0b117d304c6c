"""What is special to the judges of lesson 1.2b: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

import pytest

from labkit.lessons.l1_2b.going_back import IN_REVERSE, going_back
from labkit.lessons.shared.desks import left
from labkit.sim import run
from tests.lessons import answers_1_2b as answers

pytestmark = pytest.mark.usefixtures("kept")


def test_every_step_that_is_done_can_be_undone_in_any_number() -> None:
    for done in ((), ("carrier",), ("stock", "payments", "carrier")):
        made = run(
            going_back, args={"compensate": answers.compensate_in_reverse, "done": done, "down": ()}
        )
        assert IN_REVERSE.check(made) and left(made.history.events) == []
