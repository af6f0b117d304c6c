"""The judge of the one exercise in `00_start_here`: a counter that loses nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.sim import Finding, falsify
from labkit.world import World

Increment = Callable[[Redis], Awaitable[object]]
HINTS = (
    "Between your read and your write, another client can read what you have read. Which of the "
    "two could be left out?",
    "Redis runs one command at a time. Look for the command that reads, adds and writes in one.",
)


async def counter(world: World, increment: Increment, clients: int) -> int:
    """Every client counts once; returns what the counter says at the end."""

    async def client() -> None:
        world.record("counts")
        await increment(world.redis())
        world.record("done")

    await world.join(*[world.node("abcdefgh"[number]).start(client) for number in range(clients)])
    return int(await world.redis().get("counter") or 0)


EVERY_COUNT = Invariant(
    "every increment counts",
    lambda run: (
        run.result == run.args["clients"]
        or f"{_clients(run.args['clients'])} counted, the counter says {run.result}"
    ),
)


def _clients(number: int) -> str:
    return f"{number} client{'s' if number != 1 else ''}"


@judge("00-1", title="A counter that loses nothing", hints=HINTS, budget=200)
def judge_counter(increment: Increment, budget: int) -> Finding:
    """`increment(redis)` adds one to the key `counter`."""
    return falsify(
        counter, EVERY_COUNT, args={"increment": increment, "clients": range(1, 5)}, runs=budget
    )
