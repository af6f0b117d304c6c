"""The table of commands in `participants` says what is answered and what is refused: each row is
tried.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
from fastapi import FastAPI

from labkit.shop import participants
from tests.shop.saga_world import open_everything
from tests.support.engines import engine_on

LATE = {"reference": "undone"}
CHARGE: dict[str, Any] = {"reference": "done", "customer": "ada", "cents": 500}
RESERVE: dict[str, Any] = {"reference": "done", "items": [{"sku": "tent", "quantity": 1}]}
BOOK: dict[str, Any] = {"reference": "done", "address": {"country": "PT"}}
COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    *((undo, LATE) for undo in ("/payments/refund", "/allocations/release", "/parcels/cancel")),
    ("/payments/charge", CHARGE | LATE),
    ("/payments/charge", CHARGE),
    ("/payments/charge", {**CHARGE, "reference": "poor", "customer": "poor"}),
    ("/allocations/reserve", RESERVE | LATE),
    ("/allocations/reserve", RESERVE),
    ("/allocations/reserve", {"reference": "unknown", "items": [{"sku": "yurt", "quantity": 1}]}),
    ("/allocations/reserve", {"reference": "many", "items": [{"sku": "tent", "quantity": 9}]}),
    ("/parcels/book", BOOK | LATE),
    ("/parcels/book", BOOK),
    ("/parcels/book", {"reference": "far", "address": {"country": "XX"}}),
    *(
        (undo, {"reference": "done"})
        for undo in ("/payments/refund", "/allocations/release", "/parcels/cancel")
    ),
)
"""Everything that can be answered: what undoes comes before what it undoes, and after it."""


def promised() -> dict[str, tuple[set[str], set[int]]]:
    """The table: for each path, the fields of a 200, and the statuses of its refusals."""
    rows = re.findall(
        r"^\| `POST (\S+)` \| (.*?) \| ?(.*?) ?\|$", participants.__doc__ or "", re.MULTILINE
    )
    return {
        path: (set(fields.split(", ")), {int(word) for word in re.findall(r"\d+", refused)})
        for path, fields, refused in rows
    }


def test_each_command_answers_and_refuses_as_the_table_says(sqlite_url: str) -> None:
    async def act() -> dict[str, tuple[set[str], set[int]]]:
        found: dict[str, tuple[set[str], set[int]]] = {}
        async with engine_on(sqlite_url) as engine:
            await open_everything(engine)
            one: dict[str, Any] = {"engine": engine, "clock": lambda: 0.0}
            apps: dict[str, FastAPI] = {
                "payments": participants.create_payments_app(**one),
                "allocations": participants.create_warehouse_app(**one),
                "parcels": participants.create_shipping_app(**one),
            }
            for number, (path, command) in enumerate(COMMANDS):
                fields, refused = found.setdefault(path, (set(), set()))
                answer = await ask(apps[path.split("/")[1]], path, command, key=f"k{number}")
                if answer.status_code == 200:
                    fields.update(answer.json())
                else:
                    refused.add(answer.status_code)
        return found

    assert promised() == asyncio.run(act())


async def ask(app: FastAPI, path: str, command: dict[str, Any], key: str) -> httpx.Response:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://shop"
    ) as client:
        return await client.post(path, json=command, headers={"Idempotency-Key": key})


def test_the_table_names_every_command_there_is() -> None:
    one: dict[str, Any] = {"engine": None, "clock": lambda: 0.0}
    create = (
        participants.create_payments_app,
        participants.create_warehouse_app,
        participants.create_shipping_app,
    )
    paths = {path for app in (make(**one) for make in create) for path in app.openapi()["paths"]}
    assert promised().keys() == paths
