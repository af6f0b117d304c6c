"""Orchestrators without a log, for lesson 1.2a: with services that remember they need none, as long
as somebody sends the order again after a crash.

`numbered`: the guide's orchestrator, with every call and undo under the order's number.
`unlogged`: an orchestrator that also undoes a call whose outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from labkit.base import Refused
from labkit.lessons.l1_2a.order_log import call
from labkit.lessons.shared.checkout import UNDO, Saga, post
from labkit.world import World

Step = tuple[
    Callable[[World, dict[str, Any]], Awaitable[dict[str, Any]]],
    Callable[[World, dict[str, Any]], Awaitable[None]],
]


def _by_number(verb: str) -> Step:
    async def action(world: World, data: dict[str, Any]) -> dict[str, Any]:
        await post(world, verb, data["order"])
        return {"order": data["order"]}

    async def compensation(world: World, result: dict[str, Any]) -> None:
        await post(world, UNDO[verb], result["order"])

    action.__name__ = verb
    return action, compensation


async def _create(world: World, data: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": world.new_id("order-")}


async def _nothing(world: World, result: dict[str, Any]) -> None: ...


def numbered(guide: Callable[[World, dict[str, Any], list[Step]], Awaitable[str]]) -> Saga:
    """The guide's orchestrator, with steps that call and undo under the order's number."""
    steps = [(_create, _nothing), *map(_by_number, UNDO)]

    async def by_number(world: World, data: dict[str, Any]) -> str:
        return await guide(world, data, steps)

    return by_number


async def unlogged(world: World, data: dict[str, Any]) -> str:
    """Call every service. To turn back, undo everything, called or not, until each has answered."""
    order, left = data["order"], [UNDO[verb] for verb in reversed(UNDO)]
    try:
        for verb in UNDO:
            await call(world, verb, order)
        return "placed"
    except (Refused, TimeoutError):
        while left:
            with suppress(TimeoutError):
                await call(world, left[0], order)
                del left[0]
        return "cancelled"
