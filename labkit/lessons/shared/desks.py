"""The services ("desks") of the exercises of lessons 1.2a and 1.2b: payments, stock, carrier and
mail, each behind HTTP on a node of its own.

A desk does its one thing for an order, or undoes it, and remembers what it answered: asked again,
it answers again and does nothing. Undone before it was done, it refuses the late request. Every
effect is an event, named by its verb.

Leaves out: desks that forget, and stock that is counted (a desk refuses what it is told to refuse).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from labkit.base import Refused
from labkit.world import Event, World

ORCHESTRATOR = "orchestrator"
VERBS = {
    "payments": ("charge", "refund"),
    "stock": ("reserve", "release"),
    "carrier": ("book", "cancel"),
    "mail": ("send", "recall"),
}
"""What each desk does, and what undoes it."""
UNDO = dict(VERBS.values())
AT = {verb: desk for desk, verbs in VERBS.items() for verb in verbs}
KEEPS = {"charge": "the money", "reserve": "the goods", "book": "a parcel", "send": "a mail"}
WITHIN = 0.1  # seconds in which a desk must answer, else nobody knows
ORDER = "order-7"


class Desks:
    """All the desks of one run. `refuses` is the verb that is refused, if any; an answer is waited
    for `within` seconds.
    """

    def __init__(self, world: World, refuses: str | None = None, *, within: float = WITHIN) -> None:
        self._world, self._refuses, self._within = world, refuses, within
        self._answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self._held: set[str] = set()
        for desk in VERBS:
            world.serve(desk, Starlette(routes=[Route("/{verb}", self._serve, methods=["POST"])]))

    async def ask(self, verb: str) -> dict[str, Any]:
        """The answer of the desk. Raises `Refused` (it did not happen) or `TimeoutError` (nobody
        knows).
        """
        try:
            async with asyncio.timeout(self._within), self._world.http(timeout=3600.0) as http:
                answer = await http.post(f"http://{AT[verb]}/{verb}")
        except TimeoutError:
            self._world.record("no answer", to=verb)
            raise TimeoutError(f"no answer to {verb}") from None
        if answer.status_code == 409:
            self._world.record("refused", what=verb)
            raise Refused(f"{AT[verb]} refused to {verb}")
        return dict(answer.json())

    async def _serve(self, request: Request) -> JSONResponse:
        verb = request.path_params["verb"]
        if verb not in self._answers:
            self._answers[verb] = self._act(verb)
        status, said = self._answers[verb]
        return JSONResponse(said, status)

    def _act(self, verb: str) -> tuple[int, dict[str, Any]]:
        if verb in UNDO:
            if verb == self._refuses or UNDO[verb] in self._answers:
                return 409, {"why": f"cannot {verb}"}
            self._held.add(verb)
            self._world.record(verb)
        else:
            done = next(do for do, undo in UNDO.items() if undo == verb)
            if done not in self._held:
                return 200, {"undone": False}
            self._held.remove(done)
            self._world.record(verb)
        return 200, {"id": f"{verb}-{ORDER}"}


def left(events: Iterable[Event]) -> list[str]:
    """The verbs whose effects are there after these events, in the order of the desks."""
    count = Counter(event.kind for event in events)
    return [do for do, undo in UNDO.items() if count[do] > count[undo]]


def after_all(verbs: list[str]) -> str:
    """What an order that nobody sees to any more has left."""
    return f"and left {told(verbs)} behind" if verbs else "before the order was settled"


def told(verbs: Iterable[str]) -> str:
    """What is kept, in words."""
    kept = [KEEPS[verb] for verb in verbs]
    return " and ".join(filter(None, [", ".join(kept[:-1]), *kept[-1:]])) or "nothing"
