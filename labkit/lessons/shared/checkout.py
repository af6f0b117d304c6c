"""One order over three services: the scenario of lessons 1.2a and 1.2b.

Payments, stock and carrier each run on a node of their own, behind HTTP. A service does one thing
for an order, or undoes it, and records an event of that name when it does. What it makes of a
request is a function, `act`, so that a lesson can change it; `tombstones` is the one that holds.
What a service keeps is outside its node, as in a database, and survives the node's crash.

The saga under test runs on the node "orchestrator". It records an event "step" at every moment
between two of which a crash makes a difference. When the node restarts, it runs again, as if the
customer's app had repeated the request under the same order number.

Leaves out: amounts, stock that is counted, and more than one customer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from labkit.base import Refused
from labkit.check import Invariant
from labkit.sim import run as simulate
from labkit.world import Crash, Run, World

UNDO = {"charge": "refund", "reserve": "release", "book": "cancel"}
"""What a service does, in the order of the saga, and what undoes it."""
DO = {undo: verb for verb, undo in UNDO.items()}
SERVICE = {"charge": "payments", "reserve": "stock", "book": "carrier"}
SERVICE |= {UNDO[verb]: service for verb, service in SERVICE.items()}
SERVICES = tuple(SERVICE[verb] for verb in UNDO)
ORDER = {"user_id": "ada", "order": "order-7"}
GOOD = ("all", "none")
BAD = ("twice", "money without goods", "goods without money")
"""How an order can end: see `end`."""
GRIDS: dict[str, Any] = {
    "good": GOOD,
    "bad": BAD[:2],
    "xlabel": "first crash, after this event of the orchestrator",
    "ylabel": "second crash, events later (0: none)",
    "origin": (1, 0),
}
"""Of a heat map of `crash_grid`s."""

Answer = tuple[int, str]
Saga = Callable[[World, dict[str, Any]], Coroutine[Any, Any, str]]


class Participant:
    """One service. `effects` has what it has done and not undone, by the effect's id; `answers` is
    for what it remembers.
    """

    def __init__(
        self,
        world: World,
        name: str,
        act: Callable[[Participant, str, str], Answer],
        refuses: str | None,
        slow: Mapping[str, tuple[float, float]],
    ) -> None:
        self.world, self.name, self.refuses = world, name, refuses
        self.effects: dict[str, str] = {}
        self.answers: dict[tuple[str, str], Answer] = {}
        self._act, self._slow = act, slow
        world.serve(name, Starlette(routes=[Route("/{verb}", self._serve, methods=["POST"])]))

    def __repr__(self) -> str:
        return f"<participant {self.name}>"

    async def _serve(self, request: Request) -> JSONResponse:
        verb, body = request.path_params["verb"], await request.json()
        before, after = self._slow.get(verb, (0.0, 0.0))
        await asyncio.sleep(before)
        status, answer = self._act(self, verb, body["name"])
        await asyncio.sleep(after)
        return JSONResponse(answer, status)


def tombstones(service: Participant, verb: str, name: str) -> Answer:
    """Answer a repeated request as before, and refuse what comes after its undo.

    An undo writes its tombstone under the key of the request that it undoes. In a database both
    then wait for each other at one row: see `labkit.lessons.l1_2a.refund_meets_charge`.
    """
    if verb in DO:
        service.answers[DO[verb], name] = 409, "withdrawn"
        return _once(service, verb, name)
    key = (verb, name)
    if key not in service.answers:
        service.answers[key] = _once(service, verb, name)
    return service.answers[key]


def _once(service: Participant, verb: str, name: str) -> Answer:
    if verb == service.refuses:
        return 409, f"cannot {verb}"
    if verb in UNDO:
        effect = service.world.new_id(f"{verb}-")
        service.effects[effect] = name
        service.world.record(verb)
        return 200, effect
    for effect in [each for each, asked_as in service.effects.items() if asked_as == name]:
        del service.effects[effect]
        service.world.record(verb)
    return 200, "undone"


async def post(world: World, verb: str, name: str, within: float = 0.1) -> str:
    """Ask the verb's service; returns its answer.

    Raises `Refused` on a 409 (it did not happen). Raises `TimeoutError` when nobody knows: after
    `within` seconds, on a broken connection, and on any other status, such as a 500.
    """
    try:
        async with asyncio.timeout(within), world.http(timeout=60) as http:
            answer = await http.post(f"http://{SERVICE[verb]}/{verb}", json={"name": name})
    except httpx.TransportError as error:
        raise TimeoutError(f"{verb}: the connection broke") from error
    if answer.status_code == 409:
        raise Refused(answer.json())
    if answer.status_code != 200:
        raise TimeoutError(f"{verb}: HTTP {answer.status_code}")
    return str(answer.json())


async def checkout(
    world: World,
    saga: Saga,
    act: Callable[[Participant, str, str], Answer] = tombstones,
    refuses: str | None = None,
    slow: Mapping[str, tuple[float, float]] | None = None,
    prepare: Callable[[AsyncEngine], Awaitable[None]] | None = None,
    standby: Callable[[World], Coroutine[Any, Any, None]] | None = None,
    late: float = 30.0,
    patience: float = 120.0,
) -> bool:
    """One customer's order; returns whether the customer was answered.

    `refuses`: the verb that is refused, if any. `slow`: for a verb, the seconds before the service
    acts and the seconds before it answers. `prepare` creates tables, `standby` is a second worker.
    `late`: seconds that the world lives on after the answer, so that late messages arrive;
    `patience`: seconds after which nobody waits for an answer any more."""
    if prepare is not None:
        await prepare(world.database())
    for name in ("payments", "stock", "carrier"):
        Participant(world, name, act, refuses, slow or {})
    over = asyncio.Event()

    async def request() -> None:  # runs again in every life of the orchestrator
        try:
            said = await saga(world, dict(ORDER))
        except (KeyError, Refused, TimeoutError) as error:
            said = repr(error)
        await asyncio.sleep(0.001)  # the answer goes out
        world.record("answers", said=said)
        over.set()

    world.node("orchestrator").boot(request)
    if standby is not None:
        world.node("standby").boot(standby, world)
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), patience)
    await asyncio.sleep(late)
    return over.is_set()


def end(run: Run) -> str:
    """What is there at last, of what was done and not undone: one of `GOOD` or of `BAD`.

    "money without goods": the customer has paid, and gets no parcel or no goods.
    """
    count = Counter(event.kind for event in run.history.events)
    money, goods, parcel = (count[verb] - count[undo] for verb, undo in UNDO.items())
    if max(money, goods, parcel) > 1:
        return "twice"
    if money == goods == parcel:
        return "all" if money else "none"
    return "money without goods" if money > 0 else "goods without money"


def _as_told(run: Run) -> bool | str:
    answers = run.history.of("answers")
    if not answers:
        return "the customer was never answered"
    for answer in answers:  # one in each life of the orchestrator, and they must agree
        told = "all" if answer.data["said"] in ("placed", "completed") else "none"
        if end(run) != told:
            return f"told {told}, ends with {end(run)}"
    return True


SETTLED = Invariant("the customer is told the truth", _as_told)


def crash_grid(saga: Saga, *, later: int = 1000, **args: Any) -> list[list[str | None]]:
    """How the order ends after crashes of the orchestrator, at every "step" at which it can crash.

    Row 0: one crash, after the first, second, third, … event. Row n: another crash, n events
    later, up to `later`. The runs have no seed: every message takes a millisecond."""

    def tried(*crashes: int) -> tuple[str, int]:
        faults = [
            Crash("orchestrator", after="step", nth=nth, restart_after=1.0) for nth in crashes
        ]
        made = simulate(checkout, seed=None, args={"saga": saga, **args}, faults=faults)
        assert made.result  # the customer was answered
        return end(made), len(made.history.of("step"))

    columns: list[list[str]] = []
    for first in range(1, tried()[1] + 1):
        alone, events = tried(first)
        seconds = range(first + 1, min(events, first + later) + 1)
        again = [tried(first, second)[0] for second in seconds]
        columns.append([alone, *again])
    rows = range(max(map(len, columns)))
    return [[column[row] if row < len(column) else None for column in columns] for row in rows]


def ends(grid: list[list[str | None]]) -> Counter[str]:
    """How many orders of a `crash_grid` ended in which way."""
    return Counter(outcome for row in grid for outcome in row if outcome)
