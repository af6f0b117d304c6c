"""One progress bar for all the searches of a notebook cell.

`sweep` and `falsify` count their runs on it. It shows itself after two seconds, goes away when the
cell ends, and is never drawn where outputs are compared or stored. Outside a notebook each search
has a bar of its own.

Leaves out: when a search will end. Shrinking adds runs that nobody could count beforehand, so the
total grows with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

DELAY = 2.0
"""Seconds that a cell may take before its bar is drawn."""

_open: list[tqdm[Any]] = []  # the bar of the running cell, if it has one


@contextmanager
def counted(runs: int, progress: bool = True) -> Iterator[Callable[[], object]]:
    """Add `runs` runs to the cell's bar; the block calls the function it gets after each run."""
    if not progress or "PYTEST_VERSION" in os.environ or "LABKIT_QUIET" in os.environ:
        yield lambda: None
        return
    outermost = not _open
    bar = _open[0] if _open else _opened()
    _expect(bar, runs)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done > runs:
            _expect(bar, 1)
        bar.update()

    try:
        yield step
    finally:
        _expect(bar, -max(0, runs - done))  # a bar that ends early must not look like a failure
        if outermost and _shell() is None:
            _close()


def _expect(bar: tqdm[Any], more: int) -> None:
    bar.total = (bar.total or 0) + more


def _opened() -> tqdm[Any]:
    bar: tqdm[Any] = tqdm(total=0, delay=DELAY, leave=False, unit="run")
    _open.append(bar)
    shell = _shell()
    if shell is not None:
        shell.events.register("post_run_cell", _close)
    return bar


def _close(*_: object) -> None:
    while _open:
        _open.pop().close()
    shell = _shell()
    if shell is not None and _close in shell.events.callbacks["post_run_cell"]:
        shell.events.unregister("post_run_cell", _close)


def _shell() -> Any:
    """The IPython shell that runs this code, if any; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
