"""Between the saga and payments stands an ingress, for lesson 1.2b: while a new version of payments
is rolled out, the ingress knows no route to it, and answers itself.

The saga of `through_ingress` calls payments through it, and the other services directly. What an
answer means is decided by a function of the lesson, `read(status, body)`: "yes", "no" or "unknown".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labkit.base import Refused
from labkit.lessons.shared.checkout import SERVICE, UNDO, checkout
from labkit.lessons.shared.driven import driven
from labkit.sagas import Context, SagaDefinition, Step, create_sagas
from labkit.sim import run
from labkit.world import Run, World

Read = Callable[[int, Any], str]


class UnclearAnswer(Exception):
    """The answer does not say whether it happened."""


def open_ingress(world: World, no_route: tuple[float, float]) -> None:
    """Serve "ingress". From the first to the second of `no_route`, in seconds, it answers 404."""

    async def forward(request: Request) -> Response:
        if no_route[0] <= world.now() < no_route[1]:
            return PlainTextResponse("default backend - 404", 404)
        async with world.http(timeout=60.0) as http:
            verb = request.path_params["verb"]
            said = await http.post(f"http://payments/{verb}", json=await request.json())
        return JSONResponse(said.json(), said.status_code)

    world.serve("ingress", Starlette(routes=[Route("/{verb}", forward, methods=["POST"])]))


def through_ingress(read: Read) -> Callable[[World], SagaDefinition]:
    """The saga of the lessons, with payments behind the ingress."""

    def define(world: World) -> SagaDefinition:
        def calling(verb: str) -> Callable[[Context], Any]:
            host = "ingress" if SERVICE[verb] == "payments" else SERVICE[verb]

            async def call(context: Context) -> str:
                async with world.http(timeout=60.0) as http:
                    url, name = f"http://{host}/{verb}", {"name": context.saga_id}
                    answer = await http.post(url, json=name)
                typed = answer.headers.get("content-type", "") == "application/json"
                body = answer.json() if typed else answer.text
                meaning = read(answer.status_code, body)
                if meaning == "yes":
                    return str(body)
                why = f"{verb}: {answer.status_code} {body}"
                raise Refused(why) if meaning == "no" else UnclearAnswer(why)

            call.__name__ = verb
            return call

        steps = [Step(verb, calling(verb), calling(UNDO[verb]), timeout=0.3) for verb in UNDO]
        return SagaDefinition("checkout", 1, tuple(steps))

    return define


def rolled_out(read: Read, no_route: tuple[float, float], seed: int | None = None) -> Run:
    """One order without a carrier, while payments is rolled out."""
    saga = driven(through_ingress(read))

    async def behind_ingress(world: World, **args: Any) -> bool:
        open_ingress(world, no_route)
        return await checkout(world, saga, prepare=create_sagas, refuses="book", **args)

    return run(behind_ingress, seed=seed)
