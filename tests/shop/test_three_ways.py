"""One route, three ways to carry out an order: whichever it is, an order is placed once, with all
that belongs to it or with nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base.errors import KeyReused
from labkit.inventory.stock import create_inventory
from labkit.messaging import Outbox
from labkit.sagas import Orchestrator, create_sagas
from labkit.shop.app import Fulfilment, create_app
from labkit.shop.at_once import AtOnce
from labkit.shop.catalogue import Product
from labkit.shop.choreography import ByEvents, open_choreography
from labkit.shop.events import order_catalog
from labkit.shop.orders import Order, OrderRequest, open_orders
from labkit.shop.problems import Problem
from labkit.shop.saga import BySaga, order_saga
from labkit.sim import run
from labkit.world import Crash, World
from tests.messaging.in_memory import Memory
from tests.shop.shops import ONE_TENT, cart
from tests.shop.test_orders import assert_problem
from tests.shop.test_orders_any_input import bodies
from tests.support.depth import examples, sampled
from tests.support.engines import engine_on, lost_commit

Ids = Callable[[str], str]
Make = Callable[[AsyncEngine, Callable[[], float], Ids], Fulfilment]


def at_once(engine: AsyncEngine, clock: Callable[[], float], ids: Ids) -> Fulfilment:
    return AtOnce(engine, clock)


def by_saga(engine: AsyncEngine, clock: Callable[[], float], ids: Ids) -> Fulfilment:
    definition = order_saga(httpx.AsyncClient(), clock=clock)  # nobody is called: nobody drives it
    tools: dict[str, Any] = {"clock": clock, "ids": ids, "rng": random.Random(1)}
    return BySaga(Orchestrator(engine, [definition], owner=ids("one-"), within=5.0, **tools))


def by_events(engine: AsyncEngine, clock: Callable[[], float], ids: Ids) -> Fulfilment:
    outbox = Outbox("orders", order_catalog(), clock=clock, ids=ids)
    return ByEvents(engine, outbox, clock, patience=60.0)


WAYS: dict[str, tuple[Make, int]] = {
    "at once": (at_once, 201),
    "by saga": (by_saga, 202),
    "by events": (by_events, 202),
}
BELONGS = {
    "at once": {"sold": 1},
    "by saga": {"sagas": 1},
    "by events": {"events": 1, "deadlines": 1},
}
"""What is committed together with an order."""
each_way = pytest.mark.parametrize("way", WAYS)


async def open_all(engine: AsyncEngine) -> None:
    shelf = [Product("tent", "Tent", 18900, 10), Product("mat", "Mat", 8900, 0)]
    await open_orders(engine, shelf)
    await create_inventory(engine, {product.sku: product.stock for product in shelf})
    await create_sagas(engine)
    await open_choreography(engine)


async def there_is(engine: AsyncEngine) -> dict[str, int]:
    """Orders, and what belongs to them, counted with plain SQL; what is not there is left out."""
    queries = {
        "orders": "SELECT count(*) FROM orders",
        "lines": "SELECT count(*) FROM order_lines",
        "sold": "SELECT 10 - stock FROM inventory WHERE sku = 'tent'",
        "sagas": "SELECT count(*) FROM sagas",
        "events": "SELECT count(*) FROM outbox",
        "deadlines": "SELECT count(*) FROM deadlines",
    }
    async with engine.connect() as connection:
        found = {name: await connection.scalar(text(query)) for name, query in queries.items()}
    return {name: number for name, number in found.items() if number}


def one_order(way: str) -> dict[str, int]:
    return {"orders": 1, "lines": 1, **BELONGS[way]}


class Front:
    """The service, its client and its database."""

    def __init__(self, engine: AsyncEngine, way: str) -> None:
        numbers = count(1)
        self.engine = engine

        def ids(prefix: str) -> str:
            return f"{prefix}{next(numbers)}"

        self.fulfilment = WAYS[way][0](engine, lambda: 1_000_000.0, ids)
        self.app = create_app(self.fulfilment, ids=ids)
        transport = httpx.ASGITransport(self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://orders")

    async def order(self, body: Any = ONE_TENT, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.client.post("/orders", json=body, headers=headers)


def in_front(url: str, way: str, scenario: Callable[[Front], Awaitable[None]]) -> None:
    async def act() -> None:
        async with engine_on(url) as engine:
            await open_all(engine)
            front = Front(engine, way)
            async with front.client:
                await scenario(front)

    asyncio.run(act())


@each_way
def test_an_order_is_one_model_whichever_way_it_is_carried_out(way: str, database: str) -> None:
    async def scenario(front: Front) -> None:
        answer = await front.order()
        assert answer.status_code == WAYS[way][1]
        order = Order.model_validate_json(answer.content)
        assert answer.headers["location"] == f"/orders/{order.id}"
        assert (await front.client.get(answer.headers["location"])).content == answer.content
        assert order.status == ("completed" if way == "at once" else "pending")
        assert (order.customer, order.country, order.total_cents) == ("ada", "PT", 18900)
        assert await there_is(front.engine) == one_order(way)
        shown = (await front.client.get("/products/tent")).json()
        assert shown["stock"] == (9 if way == "at once" else None), "elsewhere the warehouse knows"

    in_front(database, way, scenario)


@each_way
def test_a_repeated_key_places_one_order_and_replays_its_answer(way: str, database: str) -> None:
    async def scenario(front: Front) -> None:
        first, *others = [await front.order(key="k") for _ in range(3)]
        assert "idempotent-replayed" not in first.headers
        for other in others:
            assert (other.status_code, other.content) == (first.status_code, first.content)
            assert other.headers["location"] == first.headers["location"]
            assert other.headers["idempotent-replayed"] == "true"
        other = await front.order(cart(("tent", 1), country="ES"), key="k")
        assert_problem(other, 422, "idempotency-key-reused")
        assert await there_is(front.engine) == one_order(way)

    in_front(database, way, scenario)


@each_way
def test_twenty_repeats_at_once_place_one_order(way: str, database: str) -> None:
    async def scenario(front: Front) -> None:
        answers = await asyncio.gather(*(front.order(key="k") for _ in range(20)))
        codes = Counter(answer.status_code for answer in answers)
        assert set(codes) <= {WAYS[way][1], 409}
        assert len({answer.content for answer in answers if answer.status_code < 300}) == 1
        assert await there_is(front.engine) == one_order(way)

    in_front(database, way, scenario)


@each_way
@pytest.mark.parametrize("executed", [True, False], ids=["committed", "not committed"])
def test_an_order_whose_answer_was_lost_is_placed_once_when_it_is_repeated(
    way: str, executed: bool, database: str
) -> None:
    async def scenario(front: Front) -> None:
        with lost_commit(front.engine, nth=2, executed=executed):  # the first is the key's claim
            lost = await front.order(key="k")
        assert_problem(lost, 503, "unavailable", outcome="unknown")
        assert await there_is(front.engine) == (one_order(way) if executed else {})
        again = await front.order(key="k")
        replayed = again.headers.get("idempotent-replayed")
        assert (again.status_code, replayed) == (WAYS[way][1], "true" if executed else None)
        assert await there_is(front.engine) == one_order(way)

    in_front(database, way, scenario)


@each_way
def test_a_claim_whose_answer_was_lost_has_placed_nothing(way: str, database: str) -> None:
    async def scenario(front: Front) -> None:
        with lost_commit(front.engine, nth=1):
            assert_problem(await front.order(key="k"), 503, "unavailable", outcome="failed")
        assert await there_is(front.engine) == {}

    in_front(database, way, scenario)


@each_way
def test_an_unknown_sku_is_refused_and_nothing_is_begun(way: str, database: str) -> None:
    async def scenario(front: Front) -> None:
        for key in (None, "k", "k"):
            answer = await front.order(cart(("tent", 1), ("yurt", 1)), key=key)
            assert_problem(answer, 404, "unknown-sku", sku="yurt")
        assert await there_is(front.engine) == {}

    in_front(database, way, scenario)


@each_way
def test_an_order_placed_again_under_its_id_is_returned_as_it_is(way: str, database: str) -> None:
    async def scenario(front: Front) -> None:
        request = OrderRequest.model_validate(ONE_TENT)
        first, second = [await front.fulfilment.place("o1", request) for _ in range(2)]
        assert first == second
        assert await there_is(front.engine) == one_order(way)
        another = OrderRequest.model_validate(cart(("tent", 2)))
        with pytest.raises(KeyReused, match="order 'o1' is another one, placed by 'ada'"):
            await front.fulfilment.place("o1", another)
        assert await there_is(front.engine) == one_order(way)

    in_front(database, way, scenario)


@each_way
def test_what_cannot_be_committed_with_the_order_takes_the_order_back(
    way: str, database: str
) -> None:
    async def also(connection: Any, order: Order) -> None:
        raise ZeroDivisionError(order.id)

    async def scenario(front: Front) -> None:
        request = OrderRequest.model_validate(ONE_TENT)
        with pytest.raises(ZeroDivisionError, match="o1"):
            await front.fulfilment.place("o1", request, also=also)
        assert await there_is(front.engine) == {}

    in_front(database, way, scenario)


@pytest.mark.parametrize("way", ["by saga", "by events"])
def test_any_body_gets_an_answer_that_can_be_read_and_never_a_500(way: str) -> None:
    """The same route as at once, of which `test_orders_any_input` tries more bodies."""
    with asyncio.Runner() as runner:
        engine = Memory().engine
        runner.run(open_all(engine))
        front = Front(engine, way)

        @examples("fair", suppress_health_check=[HealthCheck.too_slow])
        @given(body=bodies)
        def check(body: bytes) -> None:
            headers = {"Content-Type": "application/json"}
            answer = runner.run(front.client.post("/orders", content=body, headers=headers))
            assert answer.status_code in {202, 400, 404, 422}
            if answer.status_code == 202:
                Order.model_validate_json(answer.content)
            else:
                assert Problem.model_validate_json(answer.content).status == answer.status_code

        check()
        answer = runner.run(front.order())
        assert answer.status_code == 202
        runner.run(engine.dispose())


# -- the service crashes at every message


async def placing(world: World, way: str) -> tuple[str, dict[str, int]]:
    """One customer, who repeats the order with its key until it is answered."""
    engine = world.database()
    await open_all(engine)

    async def serve() -> None:
        fulfilment = WAYS[way][0](world.database(timeout=1.0), world.clock, world.new_id)
        world.serve("orders", create_app(fulfilment, ids=world.new_id, claim_for=5.0))

    async def buy() -> str:
        http = world.http(timeout=1.0)
        while True:
            try:
                key = {"Idempotency-Key": "k"}
                answer = await http.post("http://orders/orders", json=ONE_TENT, headers=key)
                if answer.status_code < 300:
                    return str(answer.json()["id"])
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.5)

    world.node("orders").boot(serve)
    await asyncio.sleep(0.01)
    (order_id,) = await world.join(world.node("customer").start(buy))
    await asyncio.sleep(2.0)  # what is late arrives
    async with world.http() as http:
        assert (await http.get(f"http://orders/orders/{order_id}")).status_code == 200
    return order_id, await there_is(engine)


@pytest.mark.search
@each_way
def test_whenever_the_service_crashes_the_order_is_placed_once(way: str) -> None:
    calm = run(placing, seed=None, args={"way": way})
    assert calm.result[1] == one_order(way)
    messages = calm.history.messages
    answered = max(message.sent for message in messages if message.dst == "customer")
    when = {
        message.sent if message.src == "orders" else message.arrived
        for message in messages
        if "orders" in (message.src, message.dst) and message.sent <= answered
    }
    assert len(when) >= 15
    for moment in sampled(sorted(filter(None, when))):
        crash = Crash("orders", at=moment + 1e-6, restart_after=0.2)
        made = run(placing, seed=None, args={"way": way}, faults=[crash])
        assert made.result[1] == one_order(way), (moment, made.result)
