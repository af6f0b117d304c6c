"""What lessons 1.2c and 1.2d measure: the scenario, the nine faults, the operator's two deeds, the
hybrid, and the comparison.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from labkit.lessons.l1_2c import operators
from labkit.lessons.l1_2c.nine_faults import plans
from labkit.lessons.l1_2d import comparison, hybrid
from labkit.lessons.l1_2d.fraud import OrderCleared, OrderSuspected, fraud
from labkit.lessons.l1_2d.night import report
from labkit.lessons.shared.customers import checkout, waits
from labkit.lessons.shared.four_stores import End
from labkit.lessons.shared.two_ways import by_events, by_orchestrator
from labkit.messaging import EventGraph, Outbox
from labkit.sagas import Context, SagaDefinition
from labkit.shop.choreography import order_services
from labkit.shop.events import PaymentDeclined
from labkit.sim import run
from labkit.world import Crash, Fault, World


def telling(world: World, saga: SagaDefinition) -> SagaDefinition:
    """What the lesson shows: the last step adds an event, in its own transaction."""
    outbox = Outbox("orders", hybrid.catalog(), clock=world.clock, ids=world.new_id)
    *before, last = saga.steps

    async def complete_and_tell(context: Context, connection: Any) -> Any:
        event = hybrid.OrderCompleted(context.saga_id)
        await outbox.add(connection, event, aggregate=event.order)
        return await last.action(context, connection)

    return replace(saga, steps=(*before, replace(last, action=complete_and_tell)))


HYBRID: dict[str, Any] = {"shop": hybrid.by_event, "define": telling}
STEP: dict[str, Any] = {"shop": hybrid.by_step}


def balance(args: dict[str, Any], faults: list[Fault], seed: int = 3) -> tuple[End, int]:
    few = {"customers": [{}, {"country": "AQ"}, {}], "every": 0.47, "within": 4.0}
    made = run(checkout, seed=seed, args=args | few, faults=faults)
    points: int = made.history.of("balance")[-1].data["points"]
    return made.result, points


@pytest.mark.parametrize("args", [HYBRID, STEP], ids=["event", "step"])
@pytest.mark.parametrize("at", [None, 0.15, 1.05])
def test_completed_orders_get_their_points_once_and_others_none(
    args: dict[str, Any], at: float | None
) -> None:
    faults: list[Fault] = [Crash("points", at=at, restart_after=1.0)] if at else []
    assert balance(args, faults) == (
        End("1 cancelled, 2 completed", 3, 1, 2),
        2 * hybrid.POINTS,
    )


@pytest.mark.parametrize("nth", [1, 2])
def test_a_crash_of_orders_loses_no_event_of_a_completed_order(nth: int) -> None:
    crash: list[Fault] = [Crash("orders", after="settled", nth=nth, restart_after=0.5)]
    end, points = balance(HYBRID, crash)
    completed = {"completed": 1, "1 cancelled, 1 completed": 1}
    assert points == completed[end.status] * hybrid.POINTS


@pytest.mark.parametrize("seed", [1, 2])
def test_a_dead_letter_is_redriven_and_an_order_that_was_undone_stays_so(seed: int) -> None:
    four = {"shop": by_events, "customers": [{}] * 4, "later": operators.redrive}
    soon = run(checkout, seed=seed, args=four | {"services": operators.with_a_bug, "within": 5.0})
    assert soon.result == End("4 completed", 4, 0, 4)
    [letter] = soon.history.of("letter")
    assert letter.data == {"why": "KeyError: 'postcode'", "tries": 5}
    late = partial(operators.with_a_bug, fixed_at=40.0)
    too_late = run(checkout, seed=seed, args=four | {"services": late, "within": 45.0})
    assert too_late.result == End("1 cancelled, 3 completed", 4, 1, 3)


def test_the_nine_faults_are_nine_and_different() -> None:
    assert len({repr(plan) for plan in plans()}) == 9


def test_a_wait_begins_when_the_customer_comes() -> None:
    made = run(
        checkout, seed=2, args={"shop": by_orchestrator, "customers": [{}, {}], "every": 0.3}
    )
    came, last = made.history.of("arrives")[1].at, made.history.of("settled")[-1].at
    assert waits(made)["order-2"] == pytest.approx(last - came)
    assert came < made.history.of("placed")[1].at


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_orchestrator_sends_fewer_messages_and_half_of_its_orders_are_done_sooner(
    seed: int,
) -> None:
    orchestrator, events = {"shop": by_orchestrator}, {"shop": by_events}
    few, many = (comparison.messages(shop, seed)["in total"] for shop in (orchestrator, events))
    assert 2.2 < many / few < 2.6
    half, slowest = comparison.half_and_slowest(comparison.day(orchestrator, seed))
    other_half, other_slowest = comparison.half_and_slowest(comparison.day(events, seed))
    assert half < other_half and 0.9 < slowest / other_slowest < 1.1


def test_with_orders_down_equal_leases_make_a_tie_and_a_longer_one_keeps_the_orchestrator() -> None:
    orchestrator, events = (
        comparison.stopped({"shop": shop, "lease": 1.0}, "orders")
        for shop in (by_orchestrator, by_events)
    )
    assert orchestrator.accepted == events.accepted == [3] * 3
    for found in (orchestrator, events):
        assert all(2.0 < slowest < 2.4 for slowest in found.slowest)
    longer = comparison.stopped({"shop": by_orchestrator, "lease": 2.0}, "orders")
    assert all(2.9 < slowest < 3.4 for slowest in longer.slowest)


def test_the_graph_does_not_ask_for_an_undo() -> None:
    orders, warehouse, payments, _ = services = order_services(lambda: 0.0)
    charge = payments.reactions.pop(next(iter(fraud().reactions)))
    payments.on(OrderCleared, emits=charge.emits)(charge.react)
    assert "nobody hears OrderSuspected, said by fraud" in _problems(services)
    cancel = next(iter(warehouse.reactions.values())).react
    orders.on(OrderSuspected, ends="cancelled")(cancel)
    assert _problems(services) == [] and OrderSuspected not in warehouse.reactions


def test_a_known_event_for_a_suspected_order_changes_payments_alone() -> None:
    _, _, payments, _ = services = order_services(lambda: 0.0)
    charge = payments.reactions.pop(next(iter(fraud().reactions)))
    payments.on(OrderCleared, emits=charge.emits)(charge.react)
    graph = EventGraph.of([*services, fraud(no=PaymentDeclined)])
    assert graph.problems() == []
    assert set(graph.consumers("PaymentDeclined")) == {"orders", "warehouse"}


def _problems(services: Any) -> list[str]:
    return EventGraph.of([*services, fraud()]).problems()


@pytest.mark.parametrize(
    ("values", "text"), [([1.0, 1.2], "1"), ([1.0, 2.0], "1 to 2"), ([3.0], "3")]
)
def test_a_range_is_one_number_when_both_ends_look_alike(values: list[float], text: str) -> None:
    assert comparison.span(values) == text


def test_an_answer_at_night_is_told_in_80_columns() -> None:
    text = report("events", (["orders does not answer"] * 9, ["orders", "payments"]))
    assert text.startswith("  events, 2 places asked: orders does not answer, ")
    assert max(map(len, text.splitlines())) <= 80
