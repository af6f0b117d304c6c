"""What a saga costs in commits, by its number of steps, and how long it waits for a standby worker
when its orchestrator is gone: the experiment "what it costs" of lesson 1.2a.

Leaves out: local steps, whose effect shares the saga's own commit, and steps in a group, which are
announced together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.base import Refused
from labkit.lessons.shared.checkout import UNDO, checkout, end
from labkit.lessons.shared.driven import driven, standing_by
from labkit.sagas import Context, SagaDefinition, Step, create_sagas
from labkit.sim import run
from labkit.world import Crash, World

POLL = 0.2  # seconds


def commits(steps: int, refused_at: int | None = None) -> int:
    """The commits of one saga of labkit with so many steps. `refused_at`: the number of the step
    that is refused, from which it turns back.
    """

    async def act(context: Context) -> None:
        if context.step == f"step {refused_at}" and context.direction == "do":
            raise Refused("no")

    def define(world: World) -> SagaDefinition:
        made = [Step(f"step {number}", act, act) for number in range(1, steps + 1)]
        return SagaDefinition("checkout", 1, tuple(made))

    async def one(world: World) -> str:
        await create_sagas(world.database())
        data: dict[str, Any] = {"order": "order-7"}
        task = world.node("orchestrator").start(driven(define), world, data)
        [status] = await world.join(task)
        return str(status)

    made = run(one, seed=None)
    assert made.result == ("completed" if refused_at is None else "compensated")
    sent = [message for message in made.history.messages if message.src == "orchestrator"]
    return sum(message.label == "COMMIT" for message in sent)


def takeovers(args: Mapping[str, Any], seeds: Iterable[int]) -> dict[str, list[float]]:
    """For each verb after which the orchestrator dies: how long the order waits, on these seeds and
    at four phases of the standby's poll.
    """
    phases = [POLL * quarter / 4 for quarter in range(4)]
    return {
        verb: [taken_over_after(args, seed, verb, phase) for seed in seeds for phase in phases]
        for verb in UNDO
    }


def taken_over_after(
    args: Mapping[str, Any],
    seed: int,
    verb: str = "charge",
    begins: float = 0.0,
    poll: float = POLL,
) -> float:
    """Seconds from the effect of `verb`, after which the orchestrator is gone for good, until a
    standby worker first does something.

    `begins`: when the standby looks for the first time; after that it looks every `poll` seconds.
    """

    async def standby(world: World) -> None:
        await asyncio.sleep(begins)
        await standing_by(poll=poll)(world)

    gone = [Crash("orchestrator", after=verb)]
    waiting = {"standby": standby, "patience": 3.0, "late": 0.0}
    made = run(checkout, seed=seed, args={**args, **waiting}, faults=gone)
    assert end(made) == "all"
    happened = made.history.of(verb)
    assert len(happened) == 1
    first = min(event.at for event in made.history.events if event.node == "standby")
    return first - happened[0].at
