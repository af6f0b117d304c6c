"""labkit's orchestrator in the scenario of lessons 1.2a and 1.2b: a definition becomes a saga that
`checkout` can run, and a standby worker.

Every commit and every finished call is recorded as an event "step", so that a crash can strike
after each of them, as in the sagas that the lesson writes itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from labkit.base import ClaimLost, DatabaseUnavailable
from labkit.lessons.shared.checkout import UNDO, Saga, post
from labkit.sagas import Context, Orchestrator, SagaDefinition, Step
from labkit.world import World

Define = Callable[[World], SagaDefinition]


def calling(world: World, verb: str) -> Callable[[Context], Awaitable[str]]:
    """A step's action or compensation: ask the verb's service, under the saga's id as the order's
    name. The step's own time-out is the one that counts.
    """

    async def call(context: Context) -> str:
        return await post(world, verb, context.saga_id, within=60.0)

    call.__name__ = verb
    return call


def three_steps(world: World) -> SagaDefinition:
    """The saga of the lessons: charge, reserve and book, all of which can be undone."""
    steps = [
        Step(verb, calling(world, verb), calling(world, UNDO[verb]), timeout=0.3) for verb in UNDO
    ]
    return SagaDefinition("checkout", 1, tuple(steps))


def orchestrator(world: World, *definitions: SagaDefinition) -> Orchestrator:
    """labkit's orchestrator, with a new owner's name in each life and a lease of half a second."""

    def observe(kind: str, /, **facts: Any) -> None:
        if kind in ("saved", "called"):
            world.record("step", **{kind: facts.get("step", facts.get("status"))})

    return Orchestrator(
        world.database(),
        definitions,
        owner=world.new_id("worker-"),
        lease=0.5,
        clock=world.clock,
        ids=world.new_id,
        rng=world.rng,
        observe=observe,
    )


def driven(define: Define = three_steps) -> Saga:
    """The definition as a saga of `checkout`. It waits for the claim of an earlier life to end."""

    async def saga(world: World, data: dict[str, Any]) -> str:
        mine = orchestrator(world, define(world))
        while True:
            try:
                return await mine.run("checkout", data, saga_id=data["order"])
            except (ClaimLost, DatabaseUnavailable):
                await asyncio.sleep(0.1)

    return saga


def standing_by(define: Define = three_steps, poll: float = 0.2) -> Callable[[World], Any]:
    """A standby worker of `checkout`: it drives whatever saga has no valid claim."""

    async def standby(world: World) -> None:
        await orchestrator(world, define(world)).work(poll=poll)

    return standby
