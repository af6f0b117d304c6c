"""Retelling a sketch: the verdict, and the events up to the step that broke it."""

from __future__ import annotations

import pytest

from labkit.check import Invariant
from labkit.course import retell
from labkit.course.retell import breaking_step, prefix
from labkit.world import Operation, Pause, Run, World
from tests.course.histories import Story

AT_MOST_ONE = Invariant("one sale", lambda made: len(made.history.of("sold")) <= 1)


async def two_sales(world: World) -> str:
    async def sell(name: str) -> None:
        world.record("looked", order=name)
        world.record("sold", order=name)

    await world.join(world.node("a").start(sell, "a-1"), world.node("b").start(sell, "b-1"))
    for n in range(3):
        world.record("closed", n=n)
    return "done"


def test_it_prints_the_verdict_and_marks_the_step_that_broke_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = retell(two_sales, AT_MOST_ONE, faults=[Pause("a", at=0.5, for_=1.0)], seed=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "BROKEN: one sale"
    assert lines[1] == "The last events, up to the one that breaks it:"
    assert lines[-1].startswith("→") and "sold" in lines[-1]
    assert len(lines) == 6
    assert made.result == "done" and made.faults == (Pause("a", at=0.5, for_=1.0),)


def test_only_as_many_events_as_asked_for_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    retell(two_sales, AT_MOST_ONE, last=2)
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(ValueError, match="last must be at least 1"):
        retell(two_sales, AT_MOST_ONE, last=0)


def test_a_claim_that_holds_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    retell(two_sales, Invariant("it ends", lambda made: made.result == "done"))
    assert capsys.readouterr().out == "HOLDS: it ends\n"


def test_a_claim_about_the_result_shows_the_end_and_blames_no_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    retell(two_sales, Invariant("it fails", lambda made: made.result != "done"), last=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "The last events:"
    assert "closed" in lines[2] and not lines[2].startswith("→")


def test_the_breaking_step_is_where_it_broke_for_good() -> None:
    story = Story()
    for i, change in enumerate((+1, -1, +1, +1)):
        story.event(float(i), "a", "moved", by=change)

    def at_zero(made: Run) -> bool:
        return sum(event.data["by"] for event in made.history.events) == 0

    step = breaking_step(story.run(), Invariant("back at zero", at_zero))
    assert step is not None and step.at == 2.0


def test_an_invariant_that_cannot_read_half_a_history_still_finds_its_step() -> None:
    story = Story()
    story.event(0.0, "a", "opened")
    story.event(1.0, "a", "sold")

    def fussy(made: Run) -> bool:
        return bool(made.history.events[1].kind != "sold")

    step = breaking_step(story.run(), Invariant("not sold", fussy))
    assert step is not None and step.kind == "sold"


def test_in_half_a_history_an_operation_that_returns_later_has_no_answer_yet() -> None:
    story = Story()
    for i in range(6):
        story.event(float(i), "a", "tick")
    story.history.operations += [
        Operation("p", "read", None, 1, called=1, returned=3),
        Operation("q", "write", 2, "ok", called=2, returned=5),
        Operation("r", "read", None, 2, called=4, returned=6),
    ]
    part = prefix(story.history, 3)
    assert [(op.process, op.result, op.outcome) for op in part.operations] == [
        ("p", 1, "ok"),
        ("q", None, "unknown"),
    ]
    assert len(part.events) == 3


def test_what_the_scenario_raises_is_raised() -> None:
    async def fails(world: World) -> None:
        raise LookupError("no stock")

    with pytest.raises(LookupError, match="no stock"):
        retell(fails, AT_MOST_ONE)
