"""New code takes up a saga that old code began, for lesson 1.2b.

The orchestrator runs the old definitions, crashes right after the charge, and starts again with the
new ones. Each step calls its service under the saga's id and the step's name, as many programs do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from labkit.base import ClaimLost
from labkit.lessons.shared.checkout import UNDO, checkout, post
from labkit.lessons.shared.driven import orchestrator
from labkit.sagas import Context, SagaDefinition, Step, UnknownDefinition, create_sagas
from labkit.sim import run
from labkit.world import Crash, Run, World

Version = tuple[int, Sequence[tuple[str, str]]]
"""A version's number, and its steps: the name of each and the verb that it calls."""


def _definition(world: World, version: Version) -> SagaDefinition:
    def calling(verb: str) -> Callable[[Context], Awaitable[str]]:
        async def call(context: Context) -> str:
            return await post(world, verb, f"{context.saga_id}:{context.step}", within=60.0)

        return call

    number, steps = version
    made = [Step(name, calling(verb), calling(UNDO[verb]), timeout=0.3) for name, verb in steps]
    return SagaDefinition("checkout", number, tuple(made))


def deployed(old: Sequence[Version], new: Sequence[Version], refuses: str | None = None) -> Run:
    """One order, begun with the versions `old`; after a crash, its worker knows the versions `new`.

    A worker that does not know the saga's version cannot drive it, and the customer gets no answer.
    """
    lives: list[int] = []

    async def saga(world: World, data: dict[str, Any]) -> str:
        lives.append(len(lives))
        versions = new if lives[-1] else old
        mine = orchestrator(world, *[_definition(world, version) for version in versions])
        while True:
            try:
                return await mine.run("checkout", data, saga_id=data["order"])
            except ClaimLost:
                await asyncio.sleep(0.1)
            except UnknownDefinition as error:
                world.record("nobody drives it", because=str(error))
                await asyncio.sleep(3600)

    crash = [Crash("orchestrator", after="charge", restart_after=1.0)]
    args = {"saga": saga, "prepare": create_sagas, "refuses": refuses}
    return run(checkout, seed=None, args=args, faults=crash)
