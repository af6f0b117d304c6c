"""A long cell shows one progress bar, for all its searches together."""

from __future__ import annotations

import io
from typing import Any

import pytest
from IPython.core.events import EventManager, available_events
from tqdm.std import tqdm

from labkit.check import Invariant
from labkit.sim import _progress, falsify, sweep
from labkit.world import World

ENDS = Invariant("it ends", lambda run: run.result is None)
NEVER = Invariant("it never ends", lambda run: run.result is not None)


async def nothing(world: World) -> None:
    pass


class Bar(tqdm):
    """A bar that is drawn at once, into a buffer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"file": io.StringIO(), "delay": 0, "mininterval": 0})
        self.closed = False
        self.delay_asked = options["delay"]

    def close(self) -> None:
        self.closed = True
        super().close()


class Shell:
    """Of IPython, what happens at the end of a cell."""

    def __init__(self) -> None:
        self.events = EventManager(self, available_events)

    def end_cell(self) -> None:
        self.events.trigger("post_run_cell", None)


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    made: list[Bar] = []

    def bar(**options: Any) -> Bar:
        made.append(Bar(**options))
        return made[-1]

    monkeypatch.setattr(_progress, "tqdm", bar)
    monkeypatch.delenv("PYTEST_VERSION", raising=False)
    monkeypatch.delenv("LABKIT_QUIET", raising=False)
    return made


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = Shell()
    monkeypatch.setattr(_progress, "_shell", lambda: made)
    return made


@pytest.fixture
def no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "_shell", lambda: None)


def test_a_cell_has_one_bar_for_all_its_searches(bars: list[Bar], shell: Shell) -> None:
    sweep(nothing, seeds=range(3))
    found = falsify(nothing, ENDS, runs=5)
    sweep(nothing, seeds=range(4))
    [bar] = bars
    assert bar.n == bar.total == 7 + found.runs
    assert not bar.closed and bar.delay_asked == 2.0
    shell.end_cell()
    assert bar.closed
    sweep(nothing, seeds=range(2))
    assert [bar.n for bar in bars[1:]] == [2]
    shell.end_cell()
    assert all(bar.closed for bar in bars)
    assert shell.events.callbacks["post_run_cell"] == []


def test_a_search_that_finds_something_early_ends_its_bar_as_complete(
    bars: list[Bar], no_shell: None
) -> None:
    found = falsify(nothing, NEVER, runs=500)
    [bar] = bars
    assert found.run is not None and found.runs < 500
    assert bar.n == bar.total == found.runs


def test_outside_a_notebook_each_search_closes_its_own_bar(bars: list[Bar], no_shell: None) -> None:
    sweep(nothing, seeds=range(3))
    falsify(nothing, ENDS, runs=2)
    assert [bar.closed for bar in bars] == [True, True]


@pytest.mark.parametrize("quiet", ["LABKIT_QUIET", "PYTEST_VERSION"])
def test_nothing_is_drawn_where_outputs_are_stored_or_compared(
    bars: list[Bar], quiet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(quiet, "1")
    sweep(nothing, seeds=range(3))
    falsify(nothing, ENDS, runs=2)
    assert bars == []


def test_a_search_without_progress_draws_nothing(bars: list[Bar], no_shell: None) -> None:
    sweep(nothing, seeds=range(3), progress=False)
    falsify(nothing, ENDS, runs=2, progress=False)
    assert bars == []
