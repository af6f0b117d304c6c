"""Random histories for the checker: real objects used by concurrent processes, with answers lost,
and some answers falsified.

An operation is called, takes effect, and returns, at three moments drawn from the generator. So a
history is linearizable by construction, until an answer is falsified or a time is moved."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from labkit.check import (
    Model,
    cas_register,
    counter,
    fenced_register,
    key_value_store,
    mutex,
    register,
    stock,
)
from labkit.world.history import Operation, Outcome
from tests.check.sequential import OBJECTS

MODELS: dict[str, Model] = {
    "register": register(0),
    "cas_register": cas_register(0),
    "mutex": mutex(),
    "fenced_register": fenced_register(0),
    "counter": counter(),
    "stock": stock(3),
    "key_value_store": key_value_store({"x": 1}),
}


def draw_call(rng: random.Random, kind: str) -> tuple[str, Any]:
    """A call on an object of this kind, of few values so that they often meet."""
    value = rng.randrange(4)
    match kind:
        case "register":
            return rng.choice([("read", None), ("write", value)])
        case "cas_register":
            return rng.choice(
                [("read", None), ("write", value), ("cas", (rng.randrange(4), value))]
            )
        case "mutex":
            return rng.choice(["acquire", "release"]), rng.choice(["p", "q"])
        case "fenced_register":
            return rng.choice([("read", None), ("write", (rng.randrange(1, 6), value))])
        case "counter":
            return rng.choice([("read", None), ("add", 1 + value // 2)])
        case "stock":
            return rng.choice([("read", None), ("sell", 1 + value // 2), ("sell", 1)])
        case _:
            key = rng.choice("xyz")
            return rng.choice(
                [
                    ("get", key),
                    ("put", (key, value)),
                    ("delete", key),
                    ("cas", (key, rng.randrange(4), value)),
                ]
            )


def draw_history(
    rng: random.Random,
    kind: str,
    *,
    calls: int,
    processes: int,
    lost: float = 0.15,
    falsified: int = 0,
) -> list[Operation]:
    """Calls by concurrent processes on one object. `lost` is the share without an answer;
    `falsified` answers are changed.
    """
    thing = OBJECTS[kind]()
    idle = [f"p{number}" for number in range(processes)]
    under_way: list[dict[str, Any]] = []
    done: list[Operation] = []
    made = position = 0
    while made < calls or under_way:
        pick = (
            rng.randrange(len(idle) + len(under_way))
            if made < calls
            else len(idle) + rng.randrange(len(under_way))
        )
        if pick < len(idle):
            position += 1
            made += 1
            name, argument = draw_call(rng, kind)
            fate: Outcome = (
                rng.choice(["unknown", "unknown", "unknown", "failed"])
                if rng.random() < lost
                else "ok"
            )
            under_way.append(
                {
                    "process": idle.pop(pick),
                    "name": name,
                    "argument": argument,
                    "called": position,
                    "fate": fate,
                }
            )
            continue
        call = under_way[pick - len(idle)]
        if "result" not in call:
            happens = call["fate"] == "ok" or (call["fate"] == "unknown" and rng.random() < 0.6)
            call["result"] = (
                thing.call(call["process"], call["name"], call["argument"]) if happens else None
            )
            continue
        under_way.remove(call)
        idle.append(call["process"])
        ok = call["fate"] == "ok"
        position += ok
        done.append(
            Operation(
                process=call["process"],
                name=call["name"],
                argument=call["argument"],
                result=call["result"] if ok else None,
                called=call["called"],
                returned=position if ok else None,
                outcome=call["fate"],
            )
        )
    for _ in range(falsified):
        number = rng.randrange(len(done))
        done[number] = replace(done[number], result=_another(rng, done[number].result))
    rng.shuffle(done)
    return done


def _another(rng: random.Random, result: Any) -> Any:
    return (
        not result
        if isinstance(result, bool)
        else rng.choice([value for value in (0, 1, 2, 3, 4) if value != result])
    )
