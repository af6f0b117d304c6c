"""What a saga costs in commits, by its number of steps, and how long it waits for a standby worker
when its orchestrator is gone: the experiment "what it costs" of lesson 1.2a.

Leaves out: local steps, whose effect shares the saga's own commit, and steps in a group, which are
announced together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.base import Refused
from labkit.lessons.shared.checkout import checkout, end
from labkit.lessons.shared.driven import driven
from labkit.sagas import Context, SagaDefinition, Step, create_sagas
from labkit.sim import run
from labkit.world import Crash, World


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


def taken_over_after(args: Mapping[str, Any], seed: int) -> float:
    """Seconds from the charge, after which the orchestrator is gone for good, until the standby
    worker of `args` first does something with a service.
    """
    gone = [Crash("orchestrator", after="charge")]
    made = run(checkout, seed=seed, args={**args, "patience": 3.0, "late": 0.0}, faults=gone)
    assert end(made) == "all"
    charged = made.history.of("charge")
    assert len(charged) == 1
    first = min(event.at for event in made.history.events if event.node == "standby")
    return first - charged[0].at
