"""The waiting thread looks at the loop that it watches, and never at one that is taken apart."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from labkit.sim import run, running
from labkit.sim.loop_thread import LoopThread, current
from labkit.world import Crash, World


async def crashed(world: World) -> None:
    """What a dead node leaves behind is emptied at the end of the run."""
    await world.join(world.node("a").start(asyncio.sleep, 60))


def test_a_look_at_the_end_of_a_run_with_a_crash_finds_nothing_to_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_away = running._put_away
    looks = 0

    def then_look(world: running.SimWorld) -> None:
        nonlocal looks
        put_away(world)
        thread = current()
        assert thread is not None
        thread.watch()  # the waiting thread may do so at any moment
        thread.interrupt()
        looks += 1

    monkeypatch.setattr(running, "_put_away", then_look)
    run(crashed, faults=[Crash("a", at=1.0)])
    assert looks == 1


def test_a_run_does_not_end_in_the_middle_of_a_look() -> None:
    under_way, over = threading.Event(), threading.Event()
    errors: list[Exception] = []

    class Loop:
        steps = property(lambda self: vars(self)["_steps"])

        def __init__(self) -> None:
            self._steps = 1

        def is_running(self) -> bool:
            under_way.set()
            over.wait(0.3)  # in vain: the run waits for this look
            return True

    thread, loop = LoopThread(lambda: None, patience=60.0), Loop()
    watched: Any = loop
    thread.watch_over(watched)

    def look() -> None:
        try:
            thread.watch()
        except Exception as error:
            errors.append(error)

    other = threading.Thread(target=look)
    other.start()
    under_way.wait()
    thread.watch_over(None)
    vars(loop).clear()
    over.set()
    other.join()
    assert errors == []
