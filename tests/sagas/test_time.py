"""Time-outs, deadlines, cancellation and recovery, on the virtual clock of the simulated world."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import update

from labkit.base.errors import Refused
from labkit.base.retry import Retry
from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.sagas.orchestrator import Orchestrator
from labkit.sagas.store import create_sagas, saga_log, sagas
from labkit.sim import run
from labkit.world import Crash, Loss, Run, World
from tests.sagas.toys import create_notes, note, notes

DEFAULTS: dict[str, Any] = {"lease": 2.0, "within": 1.0}


def orchestrator(world: World, *steps: Step, **options: Any) -> Orchestrator:
    given = {"clock": world.clock, "ids": world.new_id, "rng": world.rng, "observe": world.record}
    owner = world.new_id("worker-")
    return Orchestrator(
        world.database(),
        [SagaDefinition("s", 1, steps)],
        owner=owner,
        **{**DEFAULTS, **given, **options},
    )


async def fine(context: Context) -> str:
    return context.direction


async def for_ever(context: Context) -> None:
    await asyncio.Event().wait()


def test_a_step_without_an_answer_times_out_is_asked_again_and_compensated() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())
        calls: list[tuple[str, float]] = []

        async def silent(context: Context) -> None:
            calls.append((context.key, world.now()))
            await asyncio.Event().wait()

        async def undo(context: Context) -> None:
            calls.append((context.key, world.now()))

        retry = Retry(attempts=3, first=1.0, factor=3.0, jitter=0.0)
        made = orchestrator(world, Step("a", silent, undo, timeout=2.0, retry=retry))
        assert await made.run("s", {}, saga_id="x") == "compensated"
        return calls, await made.status("x")

    calls, status = run(scenario).result
    assert [key for key, _ in calls] == ["x:a:do"] * 3 + ["x:a:undo"]
    assert [round(later - first) for (_, first), (_, later) in pairwise(calls)] == [3, 5, 2]
    assert status["steps"][0] == {
        "name": "a",
        "status": "unknown",
        "attempts": 3,
        "error": "TimeoutError: no answer within 2 s",
    }


@pytest.mark.parametrize("steps", [1, 3])
def test_the_deadline_is_an_outcome_and_what_is_under_way_is_compensated(steps: int) -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())
        undone: list[str] = []

        async def undo(context: Context) -> None:
            undone.append(context.step)

        before = [Step(f"b{number}", fine, undo) for number in range(steps)]
        made = orchestrator(
            world, *before, Step("slow", for_ever, undo, timeout=60.0), Step("never", fine, undo)
        )
        status = await made.run("s", {}, saga_id="x", deadline=world.clock() + 10.0)
        return status, world.now(), undone, (await made.status("x"))["reason"]

    status, took, undone, reason = run(scenario).result
    assert (status, round(took)) == ("compensated", 10)
    assert undone == ["slow", *(f"b{number}" for number in reversed(range(steps)))]
    assert (
        reason.startswith("slow: TimeoutError: no answer within") or reason == "the deadline passed"
    )


def test_a_deadline_that_has_passed_starts_nothing_and_past_the_pivot_none_counts() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())

        async def slow(context: Context) -> None:
            await asyncio.sleep(5.0)

        late = orchestrator(world, Step("a", for_ever, fine))
        past = await late.run("s", {}, saga_id="x", deadline=world.clock() - 1.0)
        steps = (Step("p", fine, kind="pivot"), Step("r", slow, kind="retriable", timeout=9.0))
        forward = await orchestrator(world, *steps).run(
            "s", {}, saga_id="y", deadline=world.clock() + 1.0
        )
        return past, await late.timeline("x"), forward

    past, timeline, forward = run(scenario).result
    assert (past, forward) == ("compensated", "completed")
    assert [fact["event"] for fact in timeline] == ["running", "compensating", "compensated"]


def test_nobody_waits_beyond_the_deadline_for_another_attempt() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())

        async def away(context: Context) -> None:
            raise ConnectionRefusedError

        patient = Retry(attempts=math.inf, first=100.0, most=100.0)
        made = orchestrator(
            world, Step("a", fine, fine), Step("b", away, fine, retry=patient, undo_retry=Retry())
        )
        status = await made.run("s", {}, saga_id="x", deadline=world.clock() + 10.0)
        return status, round(world.now()), (await made.status("x"))["reason"]

    assert run(scenario).result == ("compensated", 10, "the deadline passed")


def test_a_local_step_that_takes_too_long_is_rolled_back_and_counted() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())
        await create_notes(world.database())

        async def slow(context: Context, connection: Any) -> None:
            await note(context, connection)
            await asyncio.sleep(60.0)

        retry = Retry(attempts=2, first=1.0, jitter=0.0)
        made = orchestrator(
            world, Step("a", slow, note, local=True, timeout=3.0, retry=retry), within=10.0
        )
        status = await made.run("s", {}, saga_id="x")
        return (
            status,
            round(world.now()),
            (await made.status("x"))["reason"],
            await notes(world.database(), "x"),
        )

    assert run(scenario).result == ("compensated", 7, "a: TimeoutError: no answer within 3 s", [])


def order_like(world: World, **options: Any) -> tuple[Orchestrator, dict[str, list[str]]]:
    did: dict[str, list[str]] = {"do": [], "undo": []}

    async def act(context: Context) -> None:
        await asyncio.sleep(0.01)
        if context.step not in did[context.direction]:
            did[context.direction].append(context.step)

    steps = (Step("a", act, act), Step("b", act, act, group="g"), Step("c", act, act, group="g"))
    made = orchestrator(
        world,
        *steps,
        Step("p", act, act, kind="pivot"),
        Step("r", act, kind="retriable"),
        **options,
    )
    return made, did


def test_cancelled_at_every_point_it_turns_back_before_the_pivot_and_goes_on_after_it() -> None:
    async def scenario(world: World, at: int) -> Any:
        await create_sagas(world.database())
        seen, cancelling = 0, []

        def observe(kind: str, /, **facts: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == at:
                cancelling.append(asyncio.ensure_future(operator.cancel("x")))

        operator, _ = order_like(world)
        made, did = order_like(world, observe=observe)
        await operator.start("s", {}, saga_id="x")
        status = await made.drive("x")
        await asyncio.gather(*cancelling)
        return status, did, (await made.status("x"))["reason"], seen

    ends = []
    *_, points = run(scenario, args={"at": 0}).result
    for at in range(1, points + 1):
        status, did, reason, _ = run(scenario, args={"at": at}).result
        ends.append(status)
        if status == "completed":
            assert sorted(did["do"]) == ["a", "b", "c", "p", "r"] and did["undo"] == []
        else:
            assert (status, reason) == ("compensated", "cancelled")
            assert sorted(did["undo"]) == sorted(did["do"]) and "r" not in did["do"]
    assert ends == sorted(ends, key=["compensated", "completed"].index), (
        "compensated up to a point, and from there completed"
    )
    assert {*ends} == {"compensated", "completed"}


def test_cancelling_the_task_writes_nothing_false_and_recovery_goes_on() -> None:
    async def scenario(world: World, after: float) -> Any:
        await create_sagas(world.database())
        first, did = order_like(world)
        await first.start("s", {}, saga_id="x")
        task = asyncio.ensure_future(first.drive("x"))
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = await first.status("x")
        second = orchestrator(world, *next(iter(first.definitions.values())).steps)
        await asyncio.sleep(30.0)
        assert await second.recover() == ["x"]
        return left, did, await second.status("x")

    for thousandth in range(1, 40, 3):
        left, did, end = run(scenario, args={"after": thousandth / 1000}).result
        assert left["status"] in ("pending", "running") and left["reason"] is None
        assert end["status"] == "completed" and did["undo"] == []


def test_a_worker_drives_what_is_started_and_what_another_left_behind() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())

        async def slow(context: Context) -> None:
            await asyncio.sleep(1.0)

        async def work() -> None:
            await orchestrator(world, Step("a", slow, timeout=2.0)).work(poll=0.5, limit=3)

        desk = orchestrator(world, Step("a", slow))
        for name in ("first", "second"):
            world.node(name).boot(work)
        for number in range(12):
            await desk.start("s", {}, saga_id=f"x{number}")
        await asyncio.sleep(40.0)
        return [each["status"] for each in await desk.find()]

    crash = Crash("first", after="calling", nth=3)
    assert run(scenario, faults=[crash]).result == ["completed"] * 12


def test_a_worker_goes_on_after_its_database_was_away_and_after_a_saga_it_cannot_read() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())

        async def work() -> None:
            await orchestrator(world, Step("a", fine)).work(poll=0.5)

        desk = orchestrator(world, Step("a", fine))
        await desk.start("s", {}, saga_id="unreadable")
        async with world.database().begin() as connection:
            await connection.execute(update(sagas).values(revision=0))  # as nobody writes it
        world.node("worker").boot(work)
        await asyncio.sleep(8.0)
        await desk.start("s", {}, saga_id="x")
        await asyncio.sleep(5.0)
        return (await desk.status("x"))["status"]

    away = Loss(1.0, src="database", dst="worker", at=0.5, for_=5.0)
    made = run(scenario, faults=[away])
    assert made.result == "completed"
    assert {"trouble", "let go"} <= {event.kind for event in made.history.events}


def test_one_round_of_recovery_goes_on_past_a_saga_it_cannot_read_and_leaves_it_out() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())
        desk = orchestrator(world, Step("a", fine))
        await desk.start("s", {}, saga_id="unreadable")
        async with world.database().begin() as connection:
            await connection.execute(
                update(saga_log).values(event="as nobody writes it", step="a", direction="do")
            )
        await desk.start("s", {}, saga_id="x")
        return await desk.recover(), [each["saga_id"] for each in await desk.find("completed")]

    made = run(scenario)
    assert made.result == (["x"], ["x"])
    assert [event.data["saga"] for event in made.history.of("let go")] == ["unreadable"]


def test_a_worker_that_could_do_nothing_is_refused() -> None:
    async def scenario(world: World) -> None:
        desk = orchestrator(world, Step("a", fine))
        with pytest.raises(
            ValueError, match=r"poll must be between 0\.001 and 86400 seconds, got -1"
        ):
            await desk.work(poll=-1)
        with pytest.raises(ValueError, match="limit must be a whole number of at least 1, got 0"):
            await desk.work(limit=0)

    run(scenario)


def test_sagas_that_fail_in_an_unforeseen_way_do_not_starve_the_others() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())

        async def work() -> None:
            await orchestrator(world, Step("a", fine)).work(poll=0.5, limit=2)

        desk = orchestrator(world, Step("a", fine))
        for number in range(4):
            await desk.start("s", {}, saga_id=f"unreadable{number}")
        async with world.database().begin() as connection:
            await connection.execute(
                update(saga_log).values(event="as nobody writes it", step="a", direction="do")
            )
        for number in range(6):
            await desk.start("s", {}, saga_id=f"x{number}")
        world.node("worker").boot(work)
        await asyncio.sleep(60.0)
        return len(await desk.find("completed"))

    made = run(scenario)
    assert made.result == 6
    assert 8 <= len(made.history.of("let go")) <= 32, "they are tried again, less and less often"


def in_flight(run: Run) -> int:
    """The most calls under way at once."""
    most = now = 0
    for event in run.history.events:
        now += {"calling": 1, "called": -1}.get(event.kind, 0)
        most = max(most, now)
    return most


def test_a_worker_has_at_most_so_many_sagas_under_way() -> None:
    async def scenario(world: World) -> Any:
        await create_sagas(world.database())

        async def slow(context: Context) -> None:
            await asyncio.sleep(1.0)
            raise Refused("no")

        made = orchestrator(world, Step("a", slow))
        for number in range(9):
            await made.start("s", {}, saga_id=f"x{number}")
        task = asyncio.ensure_future(made.work(poll=0.1, limit=4))
        await asyncio.sleep(10.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(await made.find("compensated"))

    made = run(scenario)
    assert (made.result, in_flight(made)) == (9, 4)
