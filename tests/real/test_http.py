"""Services on nodes: nothing but headers crosses a hop, and what the caller is told about a callee
that pauses or dies.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from labkit import real
from labkit.world import CRASHED, Crash, Pause, World
from tests.real.waiting import until

TRACE: ContextVar[str] = ContextVar("TRACE", default="none")


def orders(world: World) -> FastAPI:
    app = FastAPI()

    @app.get("/orders/{number}")
    async def order(number: int, request: Request) -> dict[str, Any]:
        world.record("serving", number=number)
        await asyncio.sleep(0.01)
        world.record("served", number=number)
        return {
            "number": number,
            "node": world.here(),
            "trace": TRACE.get(),
            "header": request.headers.get("x-trace"),
        }

    @app.get("/fails")
    async def fails() -> None:
        raise KeyError("sku")

    return app


async def ask(world: World, client: httpx.AsyncClient, path: str) -> Any:
    TRACE.set("the caller's")
    with world.operation(path):
        response = await client.get(f"http://orders{path}", headers={"x-trace": "t1"})
    return [response.status_code, response.json() if response.status_code == 200 else response.text]


async def calls(world: World, paths: list[str], patience: float) -> list[Any]:
    world.serve("orders", orders(world))
    async with world.http(timeout=patience) as client:
        answers = []
        for path in paths:
            (answer,) = await world.join(
                world.node("web").start(ask, world, client, path), return_exceptions=True
            )
            answers.append(answer)
            await asyncio.sleep(0.1)
        return answers


def test_a_call_is_served_on_the_callees_node_and_brings_only_its_headers() -> None:
    run = real.run(calls, args={"paths": ["/orders/1"], "patience": 60.0})
    assert run.result == [[200, {"number": 1, "node": "orders", "trace": "none", "header": "t1"}]]
    assert [event.node for event in run.history.of("serving")] == ["orders"]


def test_an_error_of_the_service_is_a_500() -> None:
    assert real.run(calls, args={"paths": ["/fails"], "patience": 60.0}).result == [
        [500, "Internal Server Error"]
    ]


def test_a_callee_that_pauses_may_still_do_it_after_its_caller_gave_up() -> None:
    async def scenario(world: World) -> Any:
        (answer,) = await calls(world, ["/orders/1"], 0.1)
        await until(lambda: bool(world.history.of("served")))
        return answer

    run = real.run(scenario, faults=[Pause(node="orders", after="serving", for_=0.5)])
    assert isinstance(run.result, httpx.ReadTimeout)
    assert len(run.history.of("served")) == 1
    assert [operation.outcome for operation in run.history.operations] == ["unknown"]


def test_a_callee_that_dies_breaks_the_call_refuses_the_next_and_serves_again_when_it_is_back() -> (
    None
):
    async def scenario(world: World) -> list[Any]:
        answers = await calls(world, ["/orders/1", "/orders/2"], 60.0)
        while True:
            (answer,) = await calls(world, ["/orders/3"], 60.0)
            if isinstance(answer, list):
                return [*map(type, answers), answer[0]]

    run = real.run(scenario, faults=[Crash(node="orders", after="serving", restart_after=2.0)])
    assert run.result == [httpx.RemoteProtocolError, httpx.ConnectError, 200]
    assert [operation.outcome for operation in run.history.operations][:2] == ["unknown", "failed"]


def test_a_request_that_a_node_was_about_to_send_when_it_died_is_never_sent() -> None:
    async def scenario(world: World) -> list[Any]:
        world.serve("orders", orders(world))

        async def buy() -> None:
            async with world.http() as client:
                world.record("about to ask")
                await client.get("http://orders/orders/1")

        crashed = await world.join(world.node("web").start(buy))
        await asyncio.sleep(0.05)
        return crashed

    run = real.run(scenario, faults=[Crash(node="web", after="about to ask")])
    assert run.result == [CRASHED] and run.history.of("serving") == []


def test_an_unknown_host_is_named_with_those_that_are_known() -> None:
    async def scenario(world: World) -> None:
        world.serve("orders", orders(world))
        async with world.http() as client:
            await client.get("http://order/")

    with pytest.raises(httpx.ConnectError, match="no service named 'order'; served are: orders"):
        real.run(scenario)
