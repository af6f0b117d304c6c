"""The end of a simulated run: what still runs is stopped, what is dead is kept from waking, and
nothing is left behind.

Shows: a dead node's coroutines must never be unwound, since that would run their finally blocks:
they are kept for ever, and what they refer to is emptied.

Left out: what the scenario leaves outside of its world, such as a file.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

from labkit.sim import clock
from labkit.sim.errors import SimulationError
from labkit.sim.node import keep_for_ever

if TYPE_CHECKING:
    from labkit.sim.world import SimWorld


def wind_up(world: SimWorld) -> None:
    """Stop what still runs, give every live task the chance to clean up, and bury the dead ones
    unopened.
    """
    dead = {id(place) for place in world.buried}
    rest: list[asyncio.Task[Any]] = []
    for task in world.loop.tasks:
        if task.done():
            continue
        if id(task.place) in dead:
            keep_for_ever(task.get_coro())
        else:
            task.cancel()
            rest.append(task)
    world.loop.max_steps += 50_000
    world.loop.max_seconds = world.now() + 120
    try:
        world.loop.turn(lambda: not rest or _all_done(rest), idle=world.idle)
    except SimulationError:
        for left in rest:
            if not left.done():
                keep_for_ever(left.get_coro())


def put_away(world: SimWorld) -> None:
    """Put everything away. What a dead coroutine still refers to is emptied: it is kept for ever."""
    world.finish()
    for node in world.nodes.values():
        node.close_freeze(None)
        node.close_crash(None)
    for engine in world.engines:
        engine.sync_engine.pool = engine.sync_engine.pool.recreate()
    for server in world.sql.values():
        for connection in server.connections:
            connection.broken()
    clock.leave(world.loop)
    world.loop.close()
    if world.folder is not None:
        shutil.rmtree(world.folder, ignore_errors=True)
    _forget(world)


def _all_done(rest: list[asyncio.Task[Any]]) -> bool:
    while rest and rest[-1].done():
        rest.pop()
    return not rest


def _forget(world: SimWorld) -> None:
    for place in world.loop.places:
        if place.blocked:  # unwound, it would run its finally blocks
            keep_for_ever(place.stack)
        else:
            place.stack.throw()
        place.stack = None
    for task in world.loop.tasks:
        asyncio._unregister_task(task)
    world.loop.tasks.clear()
    for client in world.clients.values():
        vars(client.connection_pool).clear()
        vars(client).clear()
    for server in world.servers.values():
        for connection in server.connections:
            vars(connection).clear()
        vars(server).clear()
    if world.buried:
        vars(world.loop).clear()
        world.loop.close()
        vars(world).clear()
