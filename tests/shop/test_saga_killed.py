"""The orchestrator's process is killed (SIGKILL) many times, on a real PostgreSQL: nothing lost,
nobody charged twice.

Every life is killed after a number of observed events drawn from a seed, in the midst of several
sagas; the last one lives. What happened is counted by plain SQL: an account's `charged_cents` only
ever grows."""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from labkit.shop.orders import OrderRequest
from labkit.shop.saga import BySaga
from tests.shop.killed_worker import Life, make
from tests.shop.saga_world import PRICES, cart, open_everything
from tests.support.depth import DEPTH

TOTAL = PRICES["tent"] + 2 * PRICES["mat"]
ROOT = str(Path(__file__).parents[2])


class Lives:
    """Worker processes, one after the other, on one database."""

    def __init__(self, url: str, engine: AsyncEngine, *, inbox: bool) -> None:
        self.engine = engine
        self.rng = random.Random(2026)
        self.orders = self.alive = 0
        self.shop = BySaga(make(engine, Life())(lambda *_, **__: None))
        self.command = [
            sys.executable,
            "-m",
            "tests.shop.killed_worker",
            url,
            "inbox" if inbox else "no inbox",
        ]

    def open(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(
            self.command, text=True, bufsize=1, env={**os.environ, "PYTHONPATH": ROOT}, **pipes
        )

    async def accept_orders(self, number: int) -> None:
        for _ in range(number):
            customer, country = self.rng.choices(
                (("ada", "PT"), ("poor", "PT"), ("ada", "XX")), (5, 1, 2)
            )[0]
            self.orders += 1
            request = OrderRequest.model_validate(cart(customer, country))
            await self.shop.place(f"order-{self.orders}", request)

    async def one(self, life: int, events: float) -> int:
        """One life, killed after so many events, or when nothing is left to do. Returns its exit
        code.
        """
        self.process.stdin.write(f"{life}\n")
        seen, killed, words = 0, False, self._read()
        while True:
            match words:
                case ["process", number]:
                    self.alive = int(number)
                case ["ended", code]:
                    self.alive = 0
                    return int(code)
                case _:
                    seen += 1
            if (
                self.alive
                and not killed
                and (seen >= events or (events == math.inf and await self._nothing_left()))
            ):
                os.kill(self.alive, signal.SIGKILL)
                killed = True
            words = self._read()

    def _read(self) -> list[str]:
        line: str = self.process.stdout.readline()
        assert line, "the workers' process is gone"
        return line.split()

    async def _nothing_left(self) -> bool:
        async with self.engine.connect() as connection:
            query = (
                "SELECT count(*) FROM sagas WHERE status IN ('pending', 'running', 'compensating')"
            )
            return await connection.scalar(text(query)) == 0

    def close(self) -> None:
        if self.alive:
            os.kill(self.alive, signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait(timeout=10)


async def kill(url: str, times: int, *, inbox: bool = True) -> tuple[dict[str, Any], list[str]]:
    """What there was in the end, and what is wrong with it."""
    engine = create_async_engine(url)
    await open_everything(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE inventory SET stock = 1000"))
    lives = Lives(url, engine, inbox=inbox)
    await lives.accept_orders(6)
    lives.open()
    try:
        codes = Counter()
        for life in range(times):
            await lives.accept_orders(2)
            codes[await lives.one(life, lives.rng.randrange(1, 50))] += 1
        await lives.one(times, math.inf)
    finally:
        lives.close()
    seen = {"codes": codes, "orders": lives.orders, **await look(engine)}
    await engine.dispose()
    return seen, wrong_with(seen)


async def look(engine: AsyncEngine) -> dict[str, Any]:
    orders = """SELECT s.id, s.status, p.state AS payment, a.state AS allocation, b.state AS parcel,
                o.status AS placed
                FROM sagas s LEFT JOIN payments p ON p.reference = s.id
                LEFT JOIN allocations a ON a.reference = s.id
                LEFT JOIN parcels b ON b.reference = s.id LEFT JOIN orders o ON o.id = s.id"""
    repeated = """SELECT count(*) FROM (SELECT saga_id FROM saga_log WHERE event = 'started'
                  GROUP BY saga_id, step, direction HAVING count(*) > 1) AS again"""
    async with engine.connect() as connection:
        rows = (await connection.execute(text(orders))).all()
        money = (
            await connection.execute(
                text("SELECT sum(charged_cents), sum(refunded_cents) FROM accounts")
            )
        ).one()
        stock = dict(
            (await connection.execute(text("SELECT sku, stock FROM inventory"))).tuples().all()
        )
        again = (await connection.execute(text(repeated))).scalar_one()
    return {
        "rows": rows,
        "charged": int(money[0]),
        "refunded": int(money[1]),
        "stock": stock,
        "again": again,
    }


def wrong_with(seen: dict[str, Any]) -> list[str]:
    done, none = (
        ("charged", "reserved", "booked", "completed"),
        {None, "refunded", "void", "released", "cancelled"},
    )
    wrong, completed = [], 0
    for row in seen["rows"]:
        effects = (row.payment, row.allocation, row.parcel, row.placed)
        completed += row.status == "completed"
        if not (
            effects == done
            if row.status == "completed"
            else row.status == "compensated" and {*effects} <= none
        ):
            wrong.append(f"{row.id} is {row.status} with {effects}")
    if len(seen["rows"]) != seen["orders"]:
        wrong.append(f"{len(seen['rows'])} sagas of {seen['orders']} orders")
    if seen["charged"] - seen["refunded"] != completed * TOTAL:
        wrong.append(
            f"{completed} orders of {TOTAL}, charged {seen['charged']}, refunded {seen['refunded']}"
        )
    if seen["charged"] > TOTAL * sum(
        row.payment in ("charged", "refunded") for row in seen["rows"]
    ):
        wrong.append(f"charged {seen['charged']}: somebody was charged twice")
    if seen["stock"] != {"tent": 1000 - completed, "mat": 1000 - 2 * completed, "leaflet": 1000}:
        wrong.append(f"{completed} completed, and the stock is {seen['stock']}")
    return wrong


@pytest.mark.search
def test_kills_lose_nothing_and_charge_nobody_twice(postgres_url: str) -> None:
    seen, wrong = asyncio.run(kill(postgres_url, DEPTH.kills))
    assert not wrong, wrong
    assert seen["codes"] == {-signal.SIGKILL: DEPTH.kills}
    assert seen["again"] > DEPTH.kills / 2, "the kills struck calls under way"


def test_six_kills_charge_somebody_twice_where_keys_are_ignored(postgres_url: str) -> None:
    _, wrong = asyncio.run(kill(postgres_url, 6, inbox=False))
    assert any("twice" in sentence for sentence in wrong), wrong
