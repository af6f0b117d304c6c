"""A retry storm: the experiment "build it", step 2, of lesson 1.2b.

A service has been down, and many sagas need it at once. It serves one request after
the other, in the order of arrival, and does not know which callers have given up. A repeated
request has no second effect and costs as much as the first.

Leaves out: a queue with a limit, and a service that drops requests whose callers are gone.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from labkit.base import Retry
from labkit.sim import run
from labkit.world import Crash, World

WORK = 0.1  # seconds for a request, so ten requests a second
OUTAGE = 10.0  # seconds
AFTERWARDS = 40.0  # seconds that we look on once the service is back


async def storm(
    world: World, callers: int, retry: Retry, patience: float, afterwards: float, outage: float
) -> list[float]:
    """When the callers heard an answer, in seconds since payments is back, in order. Each waits for
    an answer for `patience` seconds, and then tries again. We look on for `afterwards` seconds
    after the `outage`.
    """
    one_at_a_time = asyncio.Semaphore(1)
    heard: list[float] = []

    async def serve(request: Request) -> JSONResponse:
        async with one_at_a_time:
            await asyncio.sleep(WORK)
        return JSONResponse("refunded")

    async def saga(name: int) -> None:
        attempt = 0
        async with world.http(timeout=patience) as http:
            while True:
                with suppress(Exception):
                    await http.post(f"http://payments/{name}")
                    heard.append(world.now() - outage)
                    return
                attempt += 1
                await asyncio.sleep(retry.wait(attempt, world.rng))

    world.serve("payments", Starlette(routes=[Route("/{name}", serve, methods=["POST"])]))
    for name in range(callers):
        world.node("sagas").start(saga, name, daemon=True)
    await asyncio.sleep(outage + afterwards)
    return heard


def waits(
    callers: int,
    most: float,
    *,
    first: float = 0.1,
    factor: float = 2.0,
    jitter: float = 0.5,
    timeout: float = 1.0,
    afterwards: float = AFTERWARDS,
    outage: float = OUTAGE,
    seed: int = 12,
) -> list[float]:
    """When the callers heard an answer. Each tries again for ever, after waits that grow by
    `factor` from `first` seconds up to `most` seconds.
    """
    retry = Retry(attempts=math.inf, first=first, factor=factor, most=most, jitter=jitter)
    down = [Crash("payments", at=0, restart_after=outage)]
    args = {"callers": callers, "retry": retry, "patience": timeout}
    args |= {"afterwards": afterwards, "outage": outage}
    made = run(storm, seed=seed, args=args, faults=down, max_steps=3_000_000)
    return list(made.result)


def load(callers: int, wait: float, timeout: float = 1.0) -> float:
    """The load that callers without an answer offer, as a multiple of what the service can do.
    `wait`: the mean of the seconds from giving up to the next attempt.
    """
    return callers * WORK / (wait + timeout)
