"""A worker's loop: it goes on at once while there is work, rests when there is none, and outlives
what passes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from labkit.base.claims import Turn, create_turns
from labkit.base.errors import DatabaseUnavailable
from labkit.base.transactions import begin_immediate
from labkit.base.working import work
from labkit.sim import run
from labkit.world import World
from tests.support.engines import engine_on


def times_of(*outcomes: int | BaseException, poll: float = 1.0) -> tuple[list[float], list[str]]:
    """At which second each step ran, the last one of which cancels the worker; and the trouble that
    was reported."""

    async def scenario(world: World) -> tuple[list[float], list[str]]:
        ran: list[float] = []
        trouble: list[str] = []

        def observe(kind: str, /, **facts: Any) -> None:
            trouble.append(f"{kind}: {facts['error']}")

        async def step() -> int:
            ran.append(round(world.now() - start, 3))
            if len(ran) > len(outcomes):
                raise asyncio.CancelledError
            outcome = outcomes[len(ran) - 1]
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        start = world.now()
        with pytest.raises(asyncio.CancelledError):
            await work(step, poll=poll, observe=observe)
        return ran, trouble

    result: tuple[list[float], list[str]] = run(scenario).result
    return result


def test_it_goes_on_at_once_while_there_is_work_and_rests_when_there_is_none() -> None:
    ran, trouble = times_of(3, 1, 0, 0, 2, 0, poll=1.5)
    assert ran == [0.0, 0.0, 0.0, 1.5, 3.0, 3.0, 4.5]
    assert trouble == []


@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailable("failed", "the database is not available"),
        DatabaseUnavailable("unknown", "the database is not available"),
        RedisConnectionError("the broker is not available"),
        TimeoutError(),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_that_passes_is_reported_each_time_and_the_work_goes_on(
    error: Exception,
) -> None:
    ran, trouble = times_of(error, error, 1, 0)
    assert ran == [0.0, 1.0, 2.0, 2.0, 3.0]
    assert trouble == [f"trouble: {type(error).__name__}"] * 2


@pytest.mark.parametrize("mistake", [ValueError("a mistake"), KeyError("a mistake")])
def test_a_mistake_in_the_code_ends_it(mistake: Exception) -> None:
    async def scenario(world: World) -> None:
        async def step() -> int:
            raise mistake

        with pytest.raises(type(mistake), match="a mistake"):
            await work(step, poll=1.0, observe=world.record)
        assert world.history.of("trouble") == []

    run(scenario)


def test_without_somebody_to_report_to_it_goes_on_as_well() -> None:
    async def scenario(world: World) -> int:
        steps = 0

        async def step() -> int:
            nonlocal steps
            steps += 1
            raise TimeoutError

        working = asyncio.create_task(work(step, poll=1.0))
        await asyncio.sleep(3.5)
        working.cancel()
        await asyncio.wait([working])
        return steps

    assert run(scenario).result == 4


@pytest.mark.parametrize("poll", [0, -1.0, float("nan"), float("inf")])
def test_a_poll_that_makes_no_sense_is_refused_before_the_first_step(poll: float) -> None:
    async def step() -> int:
        raise AssertionError("no step may run")

    with pytest.raises(ValueError, match=r"^poll must be between 0.001 and 86400 seconds, got"):
        asyncio.run(work(step, poll=poll))


def test_it_works_on_a_real_database_that_comes_late(database: str) -> None:
    async def scenario() -> list[float | None]:
        taken: list[float | None] = []
        async with engine_on(database) as engine:
            turn = Turn("job", "worker", lease=30.0)
            await create_turns(engine)
            trouble = iter([DatabaseUnavailable("failed", "the database is starting up")])

            async def step() -> int:
                for error in trouble:
                    raise error
                async with begin_immediate(engine) as connection:
                    taken.append(await turn.take(connection, 1000.0))
                if len(taken) == 3:
                    raise asyncio.CancelledError
                return 1

            with pytest.raises(asyncio.CancelledError):
                await work(step, poll=0.001)
        return taken

    assert asyncio.run(scenario()) == [1030.0, 1030.0, 1030.0]
