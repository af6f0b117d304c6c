"""Sagas for tests: participants that count their effects, and an orchestrator that can be killed at
any event it observes.

`Participant` is the independent oracle: it keeps an inbox (or not, to see a gate red), leaves
tombstones, and counts what it really did. A kill is a BaseException out of an observer: as for a
crash, nothing after it runs but the database's own rollback."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from labkit.base.errors import Refused
from labkit.base.retry import Retry
from labkit.sagas.definition import Context, SagaDefinition, Step
from labkit.sagas.orchestrator import Orchestrator

AT_ONCE = Retry(attempts=5, first=0.0, most=0.0, jitter=0.0)
"""No waiting between attempts."""


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Participant:
    """Does and undoes one thing for each saga, at most once if it has an inbox."""

    name: str
    refuses: bool = False
    inbox: bool = True
    done: dict[str, int] = field(default_factory=dict)
    undone: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    observe: Callable[..., Any] = lambda kind, **facts: None

    async def do(self, context: Context) -> Any:
        if self.inbox and context.key in self.seen:
            return self._replay(self.seen[context.key])
        if self.refuses or (self.inbox and f"{context.saga_id}:{context.step}:undo" in self.seen):
            self.seen[context.key] = Refused(f"{self.name} says no")
            self.observe("refused", step=context.step)
            return self._replay(self.seen[context.key])
        self.done[context.saga_id] = self.done.get(context.saga_id, 0) + 1
        self.seen[context.key] = {"by": self.name}
        self.observe("effect", step=context.step, direction="do")
        return self.seen[context.key]

    async def undo(self, context: Context) -> Any:
        if not self.inbox or context.key not in self.seen:
            if not self.inbox or self.done.get(context.saga_id, 0) > self.undone.get(
                context.saga_id, 0
            ):
                self.undone[context.saga_id] = self.undone.get(context.saga_id, 0) + 1
            self.seen[context.key] = {"undone by": self.name}
            self.observe("effect", step=context.step, direction="undo")
        return self.seen[context.key]

    @staticmethod
    def _replay(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def net(self, saga_id: str) -> tuple[int, int]:
        """How often it was done and undone."""
        return self.done.get(saga_id, 0), self.undone.get(saga_id, 0)


async def note(context: Context, connection: AsyncConnection) -> Any:
    """A local step: one row in `notes` for each time that it is committed."""
    await connection.execute(
        text("INSERT INTO notes (saga, what) VALUES (:saga, :what)"),
        {"saga": context.saga_id, "what": f"{context.step}:{context.direction}"},
    )
    return {"noted": context.step}


async def unnote(context: Context, connection: AsyncConnection) -> Any:
    return await note(context, connection)


async def create_notes(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("CREATE TABLE IF NOT EXISTS notes (saga VARCHAR(64), what VARCHAR(64))")
        )


async def notes(engine: AsyncEngine, saga_id: str) -> list[str]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT what FROM notes WHERE saga = :saga ORDER BY what"), {"saga": saga_id}
        )
        return [row.what for row in rows]


def order(
    participants: Sequence[Participant],
    *,
    group: bool = False,
    version: int = 1,
    retry: Retry = AT_ONCE,
) -> SagaDefinition:
    """The shape of the order: local, stock, payment, parcel (the pivot), local. `group`: stock and
    payment side by side.
    """
    stock, money, parcel = participants
    together = "stock and money" if group else None
    return SagaDefinition(
        "order",
        version,
        (
            Step("create", note, unnote, local=True, retry=retry),
            Step("reserve", stock.do, stock.undo, group=together, retry=retry),
            Step("charge", money.do, money.undo, group=together, retry=retry),
            Step("ship", parcel.do, parcel.undo, kind="pivot", retry=retry),
            Step("complete", note, kind="retriable", local=True, retry=retry),
        ),
    )


@dataclass
class Lab:
    """A clock that stands still until it is moved, and orchestrators, each in a new life."""

    now: float = 1_000_000.0
    lives: Any = field(default_factory=lambda: count(1))

    def orchestrator(
        self, engine: AsyncEngine, *definitions: SagaDefinition, **options: Any
    ) -> Orchestrator:
        """A new one, in a new life."""
        life = next(self.lives)
        ids = count(1)
        given = {
            "clock": lambda: self.now,
            "ids": lambda prefix: f"{prefix}{life}-{next(ids)}",
            "rng": random.Random(life),
        }
        return Orchestrator(engine, definitions, **{**given, "owner": f"worker-{life}", **options})
