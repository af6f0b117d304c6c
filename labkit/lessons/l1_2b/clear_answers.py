"""The judge of exercise 1.2b-2, "what does this answer say?".

A saga charges through a gateway, and calls again under the same key until the reader's `read` says
"yes" or "no". The gateway forwards each request or does not, and answers as payments did, or in
words of its own: an error page, a login page, a problem document, a body that is cut off, nothing.
The search draws what happens to the first calls; after them the gateway is honest. Payments
remembers what it answered, and charges at most once.

What counts is what payments has done when `read` has decided, and whether `read` believes payments
itself.

Leaves out: a machine that forges an answer of payments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.desks import ORCHESTRATOR
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding
from labkit.world import Run, World

JSON, PROBLEM, HTML, TEXT = (
    "application/json",
    "application/problem+json",
    "text/html",
    "text/plain",
)
WITHIN = 1.0  # seconds in which an answer must come
MEANINGS = ("yes", "no", "unknown")


@dataclass(frozen=True)
class Answer:
    """An answer as it came: nothing in it is parsed."""

    status: int
    content_type: str
    body: str


CHARGED = Answer(200, JSON, '{"service": "payments", "charged": true}')
REFUSALS = {
    "no money": Answer(409, PROBLEM, '{"service": "payments", "outcome": "refused"}'),
    "no customer": Answer(404, PROBLEM, '{"outcome": "refused", "service": "payments"}'),
}


@dataclass(frozen=True)
class Machine:
    """What happens to one call. `answer`: in whose place, None for no answer at all."""

    forwards: bool
    answer: Answer | None


MACHINES = {
    "nothing arrives": Machine(False, None),
    "the answer is lost": Machine(True, None),
    "no route": Machine(False, Answer(404, TEXT, "default backend - 404")),
    "bad gateway": Machine(True, Answer(502, HTML, "<h1>502 Bad Gateway</h1>")),
    "gateway time-out": Machine(True, Answer(504, HTML, "<h1>504 Gateway Time-out</h1>")),
    "too many": Machine(False, Answer(429, PROBLEM, '{"title": "Too Many Requests"}')),
    "login needed": Machine(False, Answer(401, JSON, '{"error": "token expired"}')),
    "login page": Machine(False, Answer(200, HTML, "<form>Log in to payments</form>")),
    "an empty page": Machine(False, Answer(200, JSON, "")),
    "a list": Machine(False, Answer(200, JSON, '["payments", "charged"]')),
    "null": Machine(False, Answer(200, JSON, "null")),
    "the gateway's yes": Machine(
        False, Answer(200, JSON, '{"service": "gateway", "charged": true}')
    ),
    "queued": Machine(False, Answer(202, JSON, '{"service": "gateway", "outcome": "queued"}')),
    "the gateway's no": Machine(
        True, Answer(409, PROBLEM, '{"service": "gateway", "outcome": "refused"}')
    ),
    "health": Machine(False, Answer(200, JSON, '{"service": "payments", "status": "up"}')),
    "not yet": Machine(False, Answer(200, JSON, '{"service": "payments", "charged": false}')),
    "in progress": Machine(
        True, Answer(409, PROBLEM, '{"service": "payments", "outcome": "in progress"}')
    ),
    "broken": Machine(True, Answer(500, PROBLEM, '{"service": "payments", "outcome": "unknown"}')),
    "pending": Machine(False, Answer(200, JSON, '{"service": "payments", "charged": "pending"}')),
    "a name that is like it": Machine(
        True, Answer(409, PROBLEM, '{"service": "payments-gateway", "outcome": "refused"}')
    ),
    "another answer quoted": Machine(
        True,
        Answer(
            409,
            PROBLEM,
            '{"service": "gateway", "last": {"service": "payments", "outcome": "refused"}}',
        ),
    ),
    "cut off": Machine(True, Answer(409, PROBLEM, '{"service": "payments", "outco')),
}
"""By name, in the order in which a search prefers them."""


async def clear_answers(
    world: World,
    read: Callable[[Answer | None], str],
    through: tuple[str, ...] = (),
    refuses: str | None = None,
) -> None:
    """One charge. `through` names what happens to each of the first calls, `refuses` the reason for
    which payments refuses, if it does.
    """
    arrived: list[str] = []
    known: list[Answer] = []

    async def payments(request: Request) -> Response:
        if not known:
            known.append(CHARGED if refuses is None else REFUSALS[refuses])
            world.record("charges" if refuses is None else "refuses")
        return _response(known[0])

    async def gateway(request: Request) -> Response:
        machine = MACHINES[through[len(arrived)]] if len(arrived) < len(through) else None
        arrived.append("call")
        said = None
        if machine is None or machine.forwards:
            async with world.http(timeout=60.0) as http:
                said = _answer(await http.post("http://payments/charge"))
        if machine is None:
            assert said is not None
            return _response(said)
        if machine.answer is None:
            await asyncio.sleep(10 * WITHIN)
            return Response(status_code=504)
        return _response(machine.answer)

    async def orchestrator() -> None:
        for _ in range(len(through) + 2):
            answer = await _call(world)
            meaning = read(answer)
            if asyncio.iscoroutine(meaning):
                meaning.close()
                raise TypeError("read must be a plain function, not an async one")
            if meaning not in MEANINGS:
                raise ValueError(f'read must return "yes", "no" or "unknown", got {meaning!r}')
            what = "nothing" if answer is None else f"{answer.status} {answer.body}"
            world.record("reads", answer=what, says=meaning)
            if meaning != "unknown":
                return

    world.serve("payments", Starlette(routes=[Route("/charge", payments, methods=["POST"])]))
    world.serve("gateway", Starlette(routes=[Route("/charge", gateway, methods=["POST"])]))
    await world.join(world.node(ORCHESTRATOR).start(orchestrator))
    await asyncio.sleep(30)


async def _call(world: World) -> Answer | None:
    try:
        async with world.http(timeout=WITHIN) as http:
            return _answer(await http.post("http://gateway/charge"))
    except httpx.TimeoutException:
        return None


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers["content-type"], response.text)


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.headers["content-type"] = answer.content_type
    return response


def _wrong(run: Run) -> str | None:
    decided = [event for event in run.history.of("reads") if event.data["says"] != "unknown"]
    charged = bool(run.history.of("charges"))
    for event in decided:
        said, answer = event.data["says"], event.data["answer"]
        if (said == "yes") != charged:
            truth = "had charged" if charged else "had not charged"
            return f"read took the answer {answer} for a {said}, and payments {truth}"
    return None


def _unbelieved(run: Run) -> str | None:
    honest = CHARGED if run.args["refuses"] is None else REFUSALS[run.args["refuses"]]
    for event in run.history.of("reads"):
        told = event.data["answer"] == f"{honest.status} {honest.body}"
        if told and event.data["says"] == "unknown":
            return f"payments itself said {event.data['answer']}, and read did not believe it"
    return None


NOT_A_NO = ("no route", "too many", "login needed", "queued")
CASES = (
    *(Case({"through": (), "refuses": reason}) for reason in REFUSALS),
    *(Case({"through": (name,), "refuses": None}) for name in MACHINES),
    *(Case({"through": ("the answer is lost", name), "refuses": None}) for name in NOT_A_NO),
)
"""Both refusals, every machine alone, and those that forward nothing after a charge that nobody
heard of.
"""

TRUE_WORD = Invariant("what read says of an answer is what payments has done", _wrong)
BELIEVED = replace(TRUE_WORD, test=_unbelieved)


@judge(
    "1.2b-2",
    title="What does this answer say?",
    hints=(
        "Which parts of an answer can only payments have written?",
        "Try to parse the body; whatever cannot be parsed, or is no object, or does not name "
        "payments, is unknown. Then compare all documented parts.",
    ),
    budget=250,
)
def judge_read(answer: Any, budget: int) -> Finding:
    """Search for answers that the reader's `read` takes for what they are not."""
    args = {
        "read": answer,
        "through": st.lists(st.sampled_from(tuple(MACHINES)), max_size=3).map(tuple),
        "refuses": st.sampled_from((None, *REFUSALS)),
    }
    return cases_first(
        clear_answers,
        (TRUE_WORD, BELIEVED),
        CASES,
        lambda runs: worst_first(clear_answers, TRUE_WORD, BELIEVED, runs=runs, args=args),
        budget=budget,
        args={"read": answer},
    )
