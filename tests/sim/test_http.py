"""HTTP over the simulated network."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import httpx
import pytest
from fastapi import FastAPI

from labkit.sim import run
from labkit.world import Crash, Duplication, LoseReply, Partition, World

TRACE: ContextVar[str] = ContextVar("trace", default="nothing")


def counter(world: World) -> FastAPI:
    app = FastAPI()
    app.state.calls = 0

    @app.post("/orders")
    async def order() -> dict[str, object]:
        app.state.calls += 1
        world.record("handled", trace=TRACE.get())
        return {"calls": app.state.calls, "node": world.here()}

    @app.get("/plain")
    def plain() -> str:
        return f"in line on {world.here()}"

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(60)
        return "at last"

    @app.get("/broken")
    async def broken() -> str:
        raise RuntimeError("not your business")

    return app


async def post(
    world: World, method: str = "POST", path: str = "/orders"
) -> tuple[object, int, str]:
    app = counter(world)
    world.serve("orders", app)

    async def client() -> object:
        TRACE.set("the caller's")
        async with world.http(timeout=2.0) as http:
            with world.operation(path):
                answer = await http.request(method, f"http://orders{path}")
        return answer.json() if answer.status_code == 200 else answer.status_code

    (seen,) = await world.join(world.node("a").start(client), return_exceptions=True)
    await asyncio.sleep(5)
    return (
        seen if not isinstance(seen, Exception) else type(seen).__name__,
        app.state.calls,
        world.history.operations[0].outcome,
    )


def test_a_call_runs_on_the_callee_and_nothing_but_headers_crosses() -> None:
    made = run(post)
    assert made.result == ({"calls": 1, "node": "orders"}, 1, "ok")
    assert made.history.of("handled")[0].data == {"trace": "nothing"}


def test_an_answer_that_is_lost_leaves_the_caller_in_doubt_and_the_work_done() -> None:
    assert run(post, faults=[LoseReply(src="a", at=0.0)]).result == ("ReadTimeout", 1, "unknown")


def test_a_request_that_is_lost_leaves_the_caller_in_the_same_doubt() -> None:
    assert run(post, faults=[Partition(("a",), at=0.0)]).result == ("ReadTimeout", 0, "unknown")


def test_a_dead_service_refuses() -> None:
    assert run(post, faults=[Crash("orders", at=0.0)]).result == ("ConnectError", 0, "failed")


def test_a_service_that_dies_while_it_works_leaves_the_caller_in_doubt() -> None:
    assert run(
        post, args={"method": "GET", "path": "/slow"}, faults=[Crash("orders", at=1.0)]
    ).result[::2] == (
        "RemoteProtocolError",
        "unknown",
    )


def test_a_request_may_be_delivered_twice() -> None:
    assert run(post, faults=[Duplication(1.0, at=0.0)], seed=1).result[1] == 2


def test_a_synchronous_endpoint_runs_in_line() -> None:
    assert run(post, args={"method": "GET", "path": "/plain"}).result[0] == "in line on orders"


def test_an_error_of_the_app_is_an_answer() -> None:
    assert run(post, args={"method": "GET", "path": "/broken"}).result[0] == 500


def test_an_unknown_host_says_what_is_served() -> None:
    async def scenario(world: World) -> None:
        world.serve("orders", counter(world))
        async with world.http() as http:
            await http.get("http://payments/")

    with pytest.raises(httpx.ConnectError, match="no service named 'payments'; served are: orders"):
        run(scenario)
