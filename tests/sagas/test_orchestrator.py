"""One saga at a time, without crashes: what is done, undone, written down and answered."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import ClaimLost, DatabaseUnavailable, KeyReused, Refused
from labkit.base.retry import Retry
from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.sagas.driver import Driver
from labkit.sagas.errors import ClaimedElsewhere, UnknownDefinition, UnknownSaga, WrongStatus
from labkit.sagas.state import STATUSES, Status
from labkit.sagas.store import create_sagas, load
from tests.messaging.in_memory import Memory
from tests.sagas.toys import AT_ONCE, Lab, Participant, create_notes, note, notes, order
from tests.support.engines import engine_on, lost_commit

ONCE = Retry(attempts=1)


class Busy(Exception):
    outcome = "failed"


def in_memory(scenario: Callable[[Lab, AsyncEngine], Awaitable[None]]) -> None:
    async def act() -> None:
        engine = Memory().engine
        await create_sagas(engine)
        await create_notes(engine)
        await scenario(Lab(), engine)

    asyncio.run(act())


def on(url: str, scenario: Callable[[Lab, AsyncEngine], Awaitable[None]]) -> None:
    async def act() -> None:
        async with engine_on(url) as engine:
            await create_sagas(engine)
            await create_notes(engine)
            await scenario(Lab(), engine)

    asyncio.run(act())


def three(**refuses: bool) -> list[Participant]:
    return [Participant(name, refuses.get(name, False)) for name in ("stock", "money", "parcel")]


def saga(*steps: Step, version: int = 1) -> SagaDefinition:
    return SagaDefinition("s", version, steps)


async def fine(context: Context) -> Any:
    return f"{context.step} {context.direction}"


def failing(*errors: Exception) -> Any:
    """An action that raises these, one a call, and then does it."""
    left = list(errors)

    async def act(context: Context) -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act


# -- forward


def test_each_step_sees_the_input_and_the_results_before_it() -> None:
    seen: list[tuple[Any, dict[str, Any], str]] = []

    async def act(context: Context) -> Any:
        seen.append((context.input, dict(context.results), context.key))
        return (context.step, 1)

    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator = lab.orchestrator(
            engine, saga(Step("a", act), Step("b", act), Step("c", act))
        )
        assert await orchestrator.run("s", {"items": ("tent",)}, saga_id="s1") == "completed"

    in_memory(scenario)
    given = {"items": ["tent"]}  # as it would be read back after a crash
    assert seen == [
        (given, {}, "s1:a:do"),
        (given, {"a": ["a", 1]}, "s1:b:do"),
        (given, {"a": ["a", 1], "b": ["b", 1]}, "s1:c:do"),
    ]


def counting(engine: AsyncEngine) -> list[int]:
    commits = [0]
    event.listen(
        engine.sync_engine, "commit", lambda connection: commits.__setitem__(0, commits[0] + 1)
    )
    return commits


def test_the_order_costs_five_commits_and_four_when_it_is_run_at_once(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator, commits = lab.orchestrator(engine, order(three())), counting(engine)
        assert await orchestrator.drive(await orchestrator.start("order", {})) == "completed"
        assert commits == [5]
        assert await orchestrator.run("order", {}, saga_id="at once") == "completed"
        assert commits == [9]
        assert await notes(engine, "at once") == ["complete:do", "create:do"]

    on(database, scenario)


def test_four_remote_steps_cost_five_commits_and_a_group_saves_one(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        alone = SagaDefinition("alone", 1, tuple(Step(name, fine) for name in "abcd"))
        group = SagaDefinition(
            "group",
            1,
            tuple(Step(name, fine, group="bc" if name in "bc" else None) for name in "abcd"),
        )
        orchestrator, commits = lab.orchestrator(engine, alone, group), counting(engine)
        await orchestrator.run("alone", {})
        assert commits == [5]
        await orchestrator.run("group", {})
        assert commits == [9]

    on(database, scenario)


def test_what_is_announced_is_written_before_it_is_called(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        async def look(context: Context) -> None:
            written = await load(engine, context.saga_id, None)
            assert written.leg(context.step, context.direction).status == "started"
            if context.step == "b" and context.direction == "do":
                raise Refused("no")

        orchestrator = lab.orchestrator(engine, saga(Step("a", look, look), Step("b", look)))
        assert await orchestrator.run("s", {}) == "compensated"

    on(database, scenario)


def test_a_saga_is_started_once_for_an_id() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        stock = Participant("stock")
        orchestrator = lab.orchestrator(
            engine, saga(Step("a", stock.do)), SagaDefinition("other", 1, (Step("a", fine),))
        )
        for _ in range(2):
            assert await orchestrator.start("s", {"n": 1}, saga_id="x") == "x"
            assert await orchestrator.run("s", {"n": 1}, saga_id="x") == "completed"
        assert stock.net("x") == (1, 0)
        for again in (
            orchestrator.start("s", {"n": 2}, saga_id="x"),
            orchestrator.run("other", {"n": 1}, saga_id="x"),
        ):
            with pytest.raises(KeyReused, match="'x' was started with another input"):
                await again

    in_memory(scenario)


def test_wrong_starts_leave_nothing_behind() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator = lab.orchestrator(engine, saga(Step("a", fine)))
        with pytest.raises(UnknownDefinition, match="no definition of t; known here: s"):
            await orchestrator.start("t", {})
        with pytest.raises(
            ValueError, match=r"input of a saga must fit into JSON, got \{'x': \{1\}\}"
        ):
            await orchestrator.start("s", {"x": {1}})
        with pytest.raises(ValueError, match="must fit into JSON"):
            await orchestrator.start("s", float("nan"))
        for wrong in ("", "x" * 65, "a\0b", "a\ud800b", 5):
            with pytest.raises(
                ValueError, match="saga_id must be 1 to 64 printable characters, got"
            ):
                await orchestrator.start("s", {}, saga_id=wrong)  # type: ignore[arg-type]
        for late in (float("nan"), float("inf"), "tomorrow", True):
            with pytest.raises(
                ValueError, match="deadline must be a time in seconds since 1970, or None, got"
            ):
                await orchestrator.start("s", {}, deadline=late)  # type: ignore[arg-type]
        deep: Any = []
        for _ in range(5000):
            deep = [deep]
        with pytest.raises(ValueError, match="input of a saga must fit into JSON"):
            await orchestrator.start("s", deep)
        with pytest.raises(
            ValueError, match="definitions must not repeat a version, got two of 's' version 1"
        ):
            lab.orchestrator(engine, saga(Step("a", fine)), saga(Step("b", fine)))
        for lease in (0, math.inf):
            with pytest.raises(
                ValueError, match=r"lease must be between 0\.001 and 86400 seconds, got"
            ):
                lab.orchestrator(engine, lease=lease)
        with pytest.raises(
            ValueError, match="owner must have 1 to 64 printable characters, got 'xxx"
        ):
            lab.orchestrator(engine, owner="x" * 65)
        with pytest.raises(TypeError, match="owner must be a str, got None"):
            lab.orchestrator(engine, owner=None)
        assert await orchestrator.find() == []

    in_memory(scenario)


# -- back


def test_compensation_goes_in_reverse_and_leaves_out_what_was_refused() -> None:
    undone: list[tuple[str, dict[str, Any], str | None]] = []

    async def undo(context: Context) -> None:
        undone.append((context.key, dict(context.results), context.reason))

    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        steps = (
            Step("a", fine, undo),
            Step("only read", fine),
            Step("b", fine, undo),
            Step("c", failing(Refused("no")), undo),
        )
        orchestrator = lab.orchestrator(engine, saga(*steps))
        assert await orchestrator.run("s", {}, saga_id="s1") == "compensated"
        assert await orchestrator.status("s1") == {
            "saga_id": "s1",
            "saga": "s",
            "version": 1,
            "status": "compensated",
            "reason": "c: Refused: no",
            "cancel_requested": False,
            "steps": [
                {"name": "a", "status": "completed"},
                {"name": "only read", "status": "completed"},
                {"name": "b", "status": "completed"},
                {"name": "c", "status": "failed", "error": "Refused: no"},
            ],
            "compensations": [
                {"name": "undo", "status": "completed"},
                {"name": "undo", "status": "completed"},
            ],
            "results": {"a": "a do", "only read": "only read do", "b": "b do"},
        }

    in_memory(scenario)
    results = {"a": "a do", "only read": "only read do", "b": "b do"}
    assert undone == [
        ("s1:b:undo", results, "c: Refused: no"),
        ("s1:a:undo", results, "c: Refused: no"),
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("no"), "failed"),
        (Busy("not now"), "failed"),
        (TimeoutError("no answer"), "unknown"),
        (KeyError("a mistake after the call"), "unknown"),
        (ConnectionResetError("gone"), "unknown"),
    ],
)
def test_only_an_error_that_says_so_means_that_nothing_happened(
    error: Exception, status: str
) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        undone = Participant("undone")
        orchestrator = lab.orchestrator(
            engine, saga(Step("a", failing(error), undone.undo, retry=ONCE))
        )
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        (step,) = (await orchestrator.status("x"))["steps"]
        assert step["status"] == status
        assert len(undone.seen) == (status == "unknown"), "what is not known is undone"

    in_memory(scenario)


def test_a_result_that_is_no_json_is_an_unknown_outcome() -> None:
    async def act(context: Context) -> Any:
        return {1, 2}

    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        undone = Participant("undone")
        orchestrator = lab.orchestrator(engine, saga(Step("a", act, undone.undo, retry=ONCE)))
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        assert "not JSON serializable" in (await orchestrator.status("x"))["reason"]
        assert undone.seen

    in_memory(scenario)


def test_an_answer_after_a_retry_counts_and_a_no_after_a_time_out_does_not() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        well = failing(TimeoutError(), Busy("wait"))
        late = failing(TimeoutError(), Refused("no"))
        orchestrator = lab.orchestrator(
            engine, saga(Step("a", well, fine, retry=AT_ONCE), Step("b", late, fine, retry=AT_ONCE))
        )
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        assert (await orchestrator.status("x"))["steps"] == [
            {"name": "a", "status": "completed", "attempts": 3},
            {"name": "b", "status": "unknown", "attempts": 2, "error": "Refused: no"},
        ]

    in_memory(scenario)


def test_local_steps_are_committed_with_the_log_or_not_at_all(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        calls = []

        async def flaky(context: Context, connection: Any) -> Any:
            calls.append(context.attempt)
            await note(context, connection)
            if len(calls) < 3:
                raise Busy("after the write")
            return "done"

        steps = (
            Step("a", flaky, note, local=True, retry=AT_ONCE),
            Step("b", note, note, local=True),
            Step("c", failing(Refused("no"))),
        )
        orchestrator = lab.orchestrator(engine, saga(*steps))
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        assert calls == [1, 2, 3]
        assert await notes(engine, "x") == ["a:do", "a:undo", "b:do", "b:undo"]

    on(database, scenario)


def test_a_broken_statement_of_a_local_step_is_the_step_s_own_failure(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        async def broken(context: Context, connection: Any) -> None:
            await connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

        orchestrator = lab.orchestrator(
            engine,
            saga(Step("a", note, note, local=True), Step("b", broken, local=True, retry=ONCE)),
        )
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        assert "nowhere" in (await orchestrator.status("x"))["reason"]
        assert await notes(engine, "x") == ["a:do", "a:undo"]

    on(database, scenario)


def test_a_database_in_trouble_is_not_held_against_the_step(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        trouble = [True]

        async def write(context: Context, connection: Any) -> None:
            await note(context, connection)
            if trouble.pop() if trouble else False:
                raise OperationalError("INSERT", None, sqlite3.OperationalError("disk I/O error"))

        orchestrator = lab.orchestrator(engine, saga(Step("a", write, local=True, retry=ONCE)))
        await orchestrator.start("s", {}, saga_id="x")
        with pytest.raises(DatabaseUnavailable) as unavailable:
            await orchestrator.drive("x")
        assert unavailable.value.outcome == "failed"
        assert await orchestrator.drive("x") == "completed"
        assert await notes(engine, "x") == ["a:do"]

    on(database, scenario)


class Silent(Exception):
    def __str__(self) -> str:
        return str(self.args[7])


class Vague(Exception):
    @property
    def outcome(self) -> str:
        raise RuntimeError("nobody knows")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (Refused("a\0b"), "bad: Refused: a?b"),
        (Refused("a\ud800b"), "bad: Refused: a?b"),
        (Refused("x" * 10_000), f"bad: Refused: {'x' * 500}"),
        (Silent(), "bad: Silent"),
        (Vague("well"), "bad: Vague: well"),
        (
            ExceptionGroup("several", [Refused("a")]),
            "bad: ExceptionGroup: several (1 sub-exception)",
        ),
        (StopAsyncIteration(), "bad: StopAsyncIteration"),
        (
            OperationalError(
                "INSERT INTO cards VALUES (?)",
                ("4111",),
                sqlite3.OperationalError("no column\nDETAIL: 4111"),
            ),
            "bad: OperationalError: no column",
        ),
    ],
)
@pytest.mark.parametrize("local", [False, True])
def test_whatever_a_step_raises_the_saga_comes_to_rest(
    error: Exception, shown: str, local: bool, database: str
) -> None:
    async def bad(context: Context, *connection: Any) -> None:
        raise error

    async def undo(context: Context, *connection: Any) -> None:
        return None

    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        if local and isinstance(error, OperationalError):
            return  # that is the database's doing
        orchestrator = lab.orchestrator(
            engine, saga(Step("a", fine, fine), Step("bad", bad, undo, retry=AT_ONCE, local=local))
        )
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        assert (await orchestrator.status("x"))["reason"] == shown

    on(database, scenario)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no prices"), TimeoutError("mine"), ConnectionResetError("mine")]
)
def test_trouble_of_a_local_step_with_something_else_than_the_database_is_its_own(
    error: Exception,
) -> None:
    async def bad(context: Context, connection: Any) -> None:
        raise error

    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        stock = Participant("stock")
        steps = (Step("a", stock.do, stock.undo), Step("bad", bad, local=True, retry=AT_ONCE))
        orchestrator = lab.orchestrator(engine, saga(*steps))
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        assert (
            stock.net("x") == (1, 1)
            and (await orchestrator.status("x"))["steps"][1]["attempts"] == 4
        )

    in_memory(scenario)


def test_a_cancellation_born_inside_a_step_is_an_unknown_outcome_and_not_ours() -> None:
    async def broken(context: Context) -> None:
        never = asyncio.ensure_future(asyncio.sleep(3600))
        await asyncio.sleep(0)
        never.cancel()
        await never

    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        for group in (None, "g"):
            steps = (
                Step("a", broken, fine, retry=AT_ONCE, group=group),
                Step("b", fine, fine, group=group),
            )
            orchestrator = lab.orchestrator(engine, saga(*steps))
            await orchestrator.start("s", {}, saga_id=f"{group}")
            assert await orchestrator.recover() == [f"{group}"]
            shown = await orchestrator.status(f"{group}")
            assert (shown["status"], shown["steps"][0]["status"]) == ("compensated", "unknown")

    in_memory(scenario)


def test_no_step_can_change_what_another_sees() -> None:
    async def vandal(context: Context) -> Any:
        assert context.input == {"items": ["tent"]} and context.results.get("a", {"n": [1]}) == {
            "n": [1]
        }
        context.input["items"].clear()
        for result in context.results.values():
            result.clear()
        return {"n": [1]}

    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator = lab.orchestrator(
            engine, saga(Step("a", vandal), Step("b", vandal), Step("c", vandal))
        )
        assert await orchestrator.run("s", {"items": ["tent"]}) == "completed"

    in_memory(scenario)


# -- groups


def test_a_group_is_called_side_by_side_and_compensated_side_by_side() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        together, most = 0, 0

        async def meet(context: Context) -> None:
            nonlocal together, most
            together += 1
            most = max(most, together)
            await asyncio.sleep(0)
            together -= 1
            met[context.direction] = most

        met: dict[str, int] = {}
        steps = [Step(name, meet, meet, group="g") for name in ("a", "b", "c")]
        orchestrator = lab.orchestrator(engine, saga(*steps, Step("d", failing(Refused("no")))))
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        assert met == {"do": 3, "undo": 3}
        log = [
            (fact["event"], fact["step"])
            for fact in await orchestrator.timeline("x")
            if fact["direction"] == "undo"
        ]
        assert log == [("started", "a"), ("started", "b"), ("started", "c")] + [
            ("completed", each) for each in "abc"
        ]

    in_memory(scenario)


def test_when_one_of_a_group_is_refused_the_others_are_undone_if_they_may_have_happened() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        undone: list[str] = []

        async def undo(context: Context) -> None:
            undone.append(context.step)

        steps = (
            Step("done", fine, undo, group="g"),
            Step("refused", failing(Refused("no")), undo, group="g"),
            Step("silent", failing(TimeoutError()), undo, group="g"),
            Step("busy", failing(Busy()), undo, group="g"),
        )
        orchestrator = lab.orchestrator(engine, saga(*steps))
        assert await orchestrator.run("s", {}, saga_id="x") == "compensated"
        status = await orchestrator.status("x")
        assert [step["status"] for step in status["steps"]] == [
            "completed",
            "failed",
            "unknown",
            "failed",
        ]
        assert status["reason"] == "refused: Refused: no"
        assert undone == ["done", "silent"]

    in_memory(scenario)


def test_of_a_group_only_those_that_failed_are_called_again() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        calls: list[str] = []

        async def once(context: Context) -> None:
            calls.append(context.step)
            if context.step == "b" and context.attempt < 3:
                raise Busy

        orchestrator = lab.orchestrator(
            engine, saga(*[Step(name, once, group="g", retry=AT_ONCE) for name in "abc"])
        )
        assert await orchestrator.run("s", {}) == "completed"
        assert calls == ["a", "b", "c", "b", "b"]

    in_memory(scenario)


# -- what needs an operator


def test_a_failed_compensation_does_not_stop_the_others_and_can_be_retried_or_resolved() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        undone: list[str] = []

        async def undo(context: Context) -> None:
            undone.append(context.step)

        async def refund(context: Context) -> None:
            if broken:
                raise Busy("the bank is closed")
            undone.append(context.step)

        broken = True
        refused = Step("c", failing(*[Refused("no")] * 9))
        definition = saga(
            Step("a", fine, undo), Step("b", fine, refund, undo_retry=AT_ONCE), refused
        )
        orchestrator = lab.orchestrator(engine, definition)
        for name in ("x", "y"):
            assert await orchestrator.run("s", {}, saga_id=name) == "compensation_failed"
        assert undone == ["a", "a"]
        status = await orchestrator.status("x")
        assert status["reason"] == "c: Refused: no; refund failed: Busy: the bank is closed"
        assert status["compensations"][0] == {
            "name": "refund",
            "status": "failed",
            "attempts": 5,
            "error": "Busy: the bank is closed",
        }
        assert await orchestrator.recover() == [], "nobody touches it until an operator has"
        assert await orchestrator.retry("x") == "compensating"
        assert await orchestrator.recover() == ["x"]
        again = await orchestrator.status("x")
        assert (again["status"], again["reason"]) == ("compensation_failed", status["reason"])
        broken = False
        await orchestrator.retry("x")
        assert await orchestrator.recover() == ["x"]
        assert (await orchestrator.status("x"))["status"] == "compensated"
        assert undone == ["a", "a", "b"], "what was undone is not undone again"
        for wrong in (" ", "a\0b", "a\ud800b"):
            with pytest.raises(
                ValueError, match="note must say in plain text what was done by hand"
            ):
                await orchestrator.resolve("y", wrong)
        assert await orchestrator.resolve("y", "paid back in cash") == "compensated"
        settled = await orchestrator.status("y")
        assert (
            settled["status"] == "compensated"
            and settled["compensations"][0]["status"] == "resolved"
        )
        assert settled["reason"] == "c: Refused: no; resolved: paid back in cash"
        with pytest.raises(
            WrongStatus,
            match="'y' is compensated; this needs it to be compensation_failed or stuck",
        ):
            await orchestrator.retry("y")

    in_memory(scenario)


def test_past_the_pivot_it_goes_forward_only_and_waits_for_an_operator_when_it_cannot() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        errors = [Refused("printer on fire")] * 3

        async def print_label(context: Context) -> str:
            if errors:
                raise errors.pop()
            return "label"

        steps = (
            Step("a", fine, fine),
            Step("p", fine, kind="pivot"),
            Step("r", print_label, kind="retriable"),
        )
        orchestrator = lab.orchestrator(engine, saga(*steps, Step("z", fine, kind="retriable")))
        assert await orchestrator.run("s", {}, saga_id="x") == "stuck"
        assert (await orchestrator.status("x"))["reason"] == "r: Refused: printer on fire"
        assert await orchestrator.cancel("x") == "stuck"
        await orchestrator.retry("x")
        assert await orchestrator.drive("x") == "stuck"
        await orchestrator.resolve("x", "written by hand")
        assert await orchestrator.drive("x") == "completed"
        done = await orchestrator.status("x")
        assert [step["status"] for step in done["steps"]] == [
            "completed",
            "completed",
            "resolved",
            "completed",
        ]
        assert done["reason"] is None and done["compensations"] == []

    in_memory(scenario)


@pytest.mark.parametrize(("undo", "ends"), [(None, "stuck"), (fine, "compensated")])
def test_a_pivot_that_nobody_knows_of_is_withdrawn_or_waits(undo: Any, ends: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        steps = (
            Step("a", fine, fine),
            Step("p", failing(TimeoutError()), undo, kind="pivot", retry=ONCE),
        )
        orchestrator = lab.orchestrator(engine, saga(*steps))
        assert await orchestrator.run("s", {}, saga_id="x") == ends
        if ends == "stuck":
            assert await orchestrator.cancel("x") == "stuck"
            await orchestrator.retry("x")
            await orchestrator.cancel("x")  # it may have happened: too late
            assert await orchestrator.drive("x") == "completed"

    in_memory(scenario)


@pytest.mark.parametrize("by_hand", [False, True], ids=["retry", "resolve"])
def test_while_the_pivot_cannot_be_withdrawn_nothing_before_it_is_undone(by_hand: bool) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        undone: list[str] = []

        async def undo(context: Context) -> None:
            undone.append(context.step)

        async def cancel(context: Context) -> None:
            if away:
                raise ConnectionError("the carrier is away")
            undone.append(context.step)

        away = True
        pivot = Step(
            "p",
            failing(*[TimeoutError()] * 9),
            cancel,
            kind="pivot",
            retry=ONCE,
            undo_retry=AT_ONCE,
        )
        definition = saga(Step("a", fine, undo), Step("b", fine, undo), pivot)
        orchestrator = lab.orchestrator(engine, definition)
        assert await orchestrator.run("s", {}, saga_id="x") == "compensation_failed"
        assert undone == [], "the parcel may be on its way: the money stays"
        shown = await orchestrator.status("x")
        assert shown["reason"] == (
            "p: TimeoutError; cancel failed: ConnectionError: the carrier is away"
        )
        assert [step["status"] for step in shown["compensations"]] == [
            "failed",
            "pending",
            "pending",
        ]
        assert await orchestrator.recover() == [], "nobody touches it until an operator has"
        await orchestrator.retry("x")
        assert await orchestrator.drive("x") == "compensation_failed"
        assert undone == []
        if by_hand:
            stranger = lab.orchestrator(engine, saga(*definition.steps, version=2))
            with pytest.raises(UnknownDefinition):
                await stranger.resolve("x", "fetched back")
            assert await orchestrator.resolve("x", "fetched back") == "compensating"
        else:
            away = False
            await orchestrator.retry("x")
        assert await orchestrator.recover() == ["x"]
        assert undone == (["b", "a"] if by_hand else ["p", "b", "a"])
        ended = await orchestrator.status("x")
        assert ended["status"] == "compensated"
        assert ended["reason"] == "p: TimeoutError" + (
            "; resolved: fetched back" if by_hand else ""
        )

    in_memory(scenario)


def test_a_refused_pivot_turns_back() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        steps = (Step("a", fine, fine), Step("p", failing(Refused("no")), kind="pivot"))
        orchestrator = lab.orchestrator(engine, saga(*steps))
        assert await orchestrator.run("s", {}) == "compensated"

    in_memory(scenario)


def test_what_rests_is_not_cancelled(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator = lab.orchestrator(engine, saga(Step("a", fine, fine)))
        await orchestrator.run("s", {}, saga_id="x")
        assert await orchestrator.cancel("x") == "completed"
        assert (await orchestrator.status("x"))["cancel_requested"] is False
        await orchestrator.start("s", {}, saga_id="y")
        assert await orchestrator.cancel("y") == "pending"
        assert (await orchestrator.status("y"))["cancel_requested"] is True
        assert await orchestrator.drive("y") == "compensated"

    on(database, scenario)


# -- claims and versions


def test_one_worker_at_a_time_until_the_lease_has_ended() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        gate = asyncio.Event()

        async def wait(context: Context) -> None:
            await gate.wait()

        definition = saga(Step("a", wait, timeout=5.0))
        first, second = (lab.orchestrator(engine, definition, lease=10.0) for _ in range(2))
        await first.start("s", {}, saga_id="x")
        driving = asyncio.create_task(first.drive("x"))
        await announced_by(engine, "worker-1")
        with pytest.raises(
            ClaimedElsewhere, match="'x' is driven by 'worker-1', whose lease has 15 s left"
        ):
            await second.drive("x")
        with pytest.raises(ClaimedElsewhere):
            await first.drive("x")
        assert await second.recover() == []
        lab.now += 15.0
        recovering = asyncio.create_task(second.recover())
        await announced_by(engine, "worker-2")
        gate.set()
        assert await recovering == ["x"]
        with pytest.raises(ClaimLost, match="moved on from revision"):
            await driving

    in_memory(scenario)


async def announced_by(engine: AsyncEngine, owner: str) -> None:
    """Wait until this worker has announced a call of saga "x"."""
    while (await load(engine, "x", None)).owner != owner:
        await asyncio.sleep(0)


def test_whoever_slept_between_announcing_and_calling_does_not_call() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        stock = Participant("stock")

        def observe(kind: str, /, **facts: Any) -> None:
            if kind == "saved" and facts["status"] == "running":
                lab.now += 3600.0

        orchestrator = lab.orchestrator(engine, saga(Step("a", stock.do)), observe=observe)
        with pytest.raises(ClaimLost, match="may end during the call"):
            await orchestrator.run("s", {}, saga_id="x")
        assert stock.net("x") == (0, 0)
        assert await lab.orchestrator(engine, saga(Step("a", stock.do))).drive("x") == "completed"

    in_memory(scenario)


def test_a_late_commit_of_a_local_step_is_rolled_back(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        definition = saga(Step("a", note, local=True))
        slow, quick = (lab.orchestrator(engine, definition) for _ in range(2))
        await slow.start("s", {}, saga_id="x")
        known = await load(engine, "x", None)
        assert await quick.drive("x") == "completed"
        with pytest.raises(ClaimLost):
            await Driver(slow.runtime, definition, known).run()
        assert await notes(engine, "x") == ["a:do"]

    on(database, scenario)


def test_a_saga_keeps_to_the_version_it_was_started_with() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        old, new = Participant("old"), Participant("new")
        first, second = saga(Step("a", old.do)), saga(Step("a", new.do), version=2)
        await lab.orchestrator(engine, first).start("s", {}, saga_id="x")
        only_new = lab.orchestrator(engine, second)
        assert await only_new.recover() == []
        for ask in (only_new.drive, only_new.status):
            with pytest.raises(
                UnknownDefinition, match="no definition of s version 1; known here: s 2"
            ):
                await ask("x")
        both = lab.orchestrator(engine, first, second)
        await both.start("s", {}, saga_id="y")
        assert await both.recover() == ["x", "y"]
        assert (old.done, new.done) == ({"x": 1}, {"y": 1})

    in_memory(scenario)


@pytest.mark.parametrize("executed", [True, False])
def test_a_commit_without_an_answer_is_looked_up_and_not_guessed(
    executed: bool, database: str
) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        for nth in range(1, 5):
            participants = three()
            orchestrator = lab.orchestrator(engine, order(participants))
            with (
                pytest.raises(DatabaseUnavailable) as unknown,
                lost_commit(engine, nth, executed=executed),
            ):
                await orchestrator.run("order", {}, saga_id=f"{nth}")
            assert unknown.value.outcome == "unknown"
            await orchestrator.start("order", {}, saga_id=f"{nth}")
            assert await orchestrator.drive(f"{nth}") == "completed"
            assert [participant.net(f"{nth}") for participant in participants] == [(1, 0)] * 3
            assert await notes(engine, f"{nth}") == ["complete:do", "create:do"]

    on(database, scenario)


# -- looking


def test_sagas_are_listed_by_status_page_by_page(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator = lab.orchestrator(engine, saga(Step("a", fine)))
        for number in range(5):
            lab.now += number % 2
            await orchestrator.start("s", {}, saga_id=f"x{number}")
        await orchestrator.drive("x2")
        assert [each["saga_id"] for each in await orchestrator.find("pending")] == [
            "x0",
            "x1",
            "x3",
            "x4",
        ]
        assert [each["saga_id"] for each in await orchestrator.find("completed")] == ["x2"]
        page = await orchestrator.find("pending", limit=2)
        rest = await orchestrator.find("pending", after=page[-1]["saga_id"])
        assert [each["saga_id"] for each in [*page, *rest]] == ["x0", "x1", "x3", "x4"]
        with pytest.raises(ValueError, match="status must be one of pending, running"):
            await orchestrator.find("lost")
        with pytest.raises(ValueError, match="limit must be from 1 to 1000, got 0"):
            await orchestrator.find(limit=0)
        with pytest.raises(UnknownSaga, match="no saga 'nobody'"):
            await orchestrator.find(after="nobody")

    on(database, scenario)


def test_the_statuses_on_the_wire_are_all_there_are() -> None:
    assert {*get_args(Status)} == {*STATUSES}


def test_what_nobody_started_is_unknown() -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator = lab.orchestrator(engine, saga(Step("a", fine)))
        for ask in (
            orchestrator.drive,
            orchestrator.cancel,
            orchestrator.retry,
            orchestrator.status,
            orchestrator.timeline,
        ):
            with pytest.raises(UnknownSaga, match="no saga 'nobody'"):
                await ask("nobody")

    in_memory(scenario)


def test_the_timeline_tells_everything_in_order(database: str) -> None:
    async def scenario(lab: Lab, engine: AsyncEngine) -> None:
        orchestrator = lab.orchestrator(engine, order(three(money=True)))
        await orchestrator.start("order", {}, saga_id="x")
        await orchestrator.drive("x")
        told = [
            " ".join(filter(None, (fact["event"], fact["direction"], fact["step"])))
            for fact in await orchestrator.timeline("x")
        ]
        assert told == [
            "pending",
            "running",
            "completed do create",
            "started do reserve",
            "completed do reserve",
            "started do charge",
            "failed do charge",
            "compensating",
            "started undo reserve",
            "completed undo reserve",
            "completed undo create",
            "compensated",
        ]

    on(database, scenario)
