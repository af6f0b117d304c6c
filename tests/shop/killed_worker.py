"""Workers to be killed: `python -m tests.shop.killed_worker URL inbox`, then the number of a life
on each line of its input.

Every life is a process of its own, forked from this one, which has imported everything, driven one
saga to have every statement compiled, and holds no connection. It drives order sagas for ever, and
writes a line for every event that is observed. When it is gone, this one writes its exit code. The
shop's participants are reached as always, by HTTP with a key, and keep all that they have in the
database; only the sockets are missing.

Each life's clock is an hour ahead of the one before, so that the claims of the dead have ended.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from labkit.sagas.orchestrator import Orchestrator
from labkit.shop.participants import create_payments_app, create_shipping_app, create_warehouse_app
from labkit.shop.saga import order_saga
from tests.shop.saga_world import without_inbox

IN_FLIGHT = 6
APPS = {
    "payments": create_payments_app,
    "warehouse": create_warehouse_app,
    "shipping": create_shipping_app,
}


class Life:
    """What a life knows that the others do not: its number."""

    def __init__(self) -> None:
        self.number = 0
        self._ids = count()

    def clock(self) -> float:
        return time.time() + 3600.0 * self.number

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{self.number}-{next(self._ids)}"


async def nowhere(scope: Any, receive: Any, send: Any) -> None:
    raise ConnectionRefusedError(scope["path"])


def make(
    engine: AsyncEngine, life: Life, *, inbox: bool = True
) -> Callable[[Callable[..., Any]], Orchestrator]:
    """Everything but the orchestrator itself, which is new in every life."""
    mounts: dict[str, httpx.AsyncBaseTransport] = {}
    for name, create in APPS.items():
        app: Any = create(engine=engine, clock=life.clock)
        mounts[f"http://{name}"] = httpx.ASGITransport(
            app if inbox else without_inbox(app, life.new_id)
        )
    http = httpx.AsyncClient(mounts=mounts, transport=httpx.ASGITransport(nowhere))
    saga = order_saga(http, clock=life.clock)

    def orchestrator(observe: Callable[..., Any]) -> Orchestrator:
        resources: dict[str, Any] = {
            "clock": life.clock,
            "ids": life.new_id,
            "rng": random.Random(life.number),
        }
        return Orchestrator(
            engine, [saga], owner=f"life-{life.number}", observe=observe, **resources
        )

    return orchestrator


def main(url: str, inbox: bool) -> None:
    life = Life()
    engine = create_async_engine(url, pool_size=IN_FLIGHT)
    orchestrator = make(engine, life, inbox=inbox)

    async def warm_up() -> None:
        await orchestrator(lambda *_, **__: None).recover(limit=1)
        await engine.dispose()

    asyncio.run(warm_up())
    for line in sys.stdin:
        life.number = int(line)
        process = os.fork()
        if process == 0:
            try:
                worker = orchestrator(lambda *_, **__: os.write(1, b"event\n"))
                asyncio.run(worker.work(poll=0.01, limit=IN_FLIGHT))
            finally:
                os._exit(1)
        os.write(1, f"process {process}\n".encode())
        _, status = os.waitpid(process, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "inbox")
