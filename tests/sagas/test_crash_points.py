"""A crash at every point that can be observed, and at every pair of points, ends in all effects or
in none, each at most once.

The points are everything the orchestrator and the participants tell an observer: before and after
each commit, inside the transaction of a local step, before and after each call, and right after a
participant's effect. The second crash strikes the recovery from the first. What recovers has the
database's bytes and nothing else; so two crashes that leave the same bytes, and the same
participants, are followed up once."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from labkit.sagas import state
from labkit.sagas.orchestrator import Orchestrator
from labkit.sagas.store import create_sagas
from tests.messaging.in_memory import Memory
from tests.sagas.toys import Killed, Lab, Participant, create_notes, notes, order

SAGA = "order-1"


@dataclass(frozen=True)
class Story:
    """What happens apart from the crashes."""

    refuses: str = ""
    group: bool = False
    inbox: bool = True
    deadline: float | None = None
    cancelled: bool = False
    """Somebody cancels while the orchestrator is down."""


STORIES = {
    "all is well": Story(),
    "the payment is declined": Story(refuses="money"),
    "the parcel is refused": Story(refuses="parcel"),
    "stock and payment side by side": Story(group=True),
    "side by side, the payment is declined": Story(group=True, refuses="money"),
    "side by side, the parcel is refused": Story(group=True, refuses="parcel"),
    "cancelled while it is down": Story(cancelled=True),
    "side by side, cancelled while it is down": Story(group=True, cancelled=True),
    "the deadline passes while it is down": Story(deadline=1_000_060.0),
}


@dataclass
class World:
    """Everything that survives a crash."""

    bytes: bytes
    participants: list[Participant]
    now: float = 1_000_000.0

    @property
    def key(self) -> tuple[Any, ...]:
        return self.bytes, *(
            (each.done, each.undone, each.seen).__repr__() for each in self.participants
        )


@dataclass
class Sweep:
    """Runs one story with every crash, and counts how its runs end."""

    story: Story
    memory: Memory = field(default_factory=Memory)
    ends: Counter[str] = field(default_factory=Counter)
    ended: dict[tuple[Any, ...], str] = field(default_factory=dict)

    async def life(
        self,
        world: World,
        then: Callable[[Orchestrator], Awaitable[Any]],
        kill_at: int | None = None,
    ) -> tuple[World, int]:
        """One life of the orchestrator, killed at its nth event or not; what it left behind, and
        how many events there were.
        """
        seen = 0

        def observe(kind: str, /, **facts: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == kill_at:
                raise Killed

        self.memory.bytes = world.bytes
        participants = copy.deepcopy(world.participants)
        for participant in participants:
            participant.observe = observe
        lab = Lab(now=world.now)
        orchestrator = lab.orchestrator(
            self.memory.engine, order(participants, group=self.story.group), observe=observe
        )
        try:
            await then(orchestrator)
        except Killed:
            pass
        except BaseExceptionGroup as several:
            assert several.split(Killed)[1] is None
        for participant in participants:
            participant.observe = lambda kind, **facts: None
        return World(self.memory.bytes, participants, world.now + 3600.0), seen

    async def begin(self, orchestrator: Orchestrator) -> None:
        await orchestrator.run("order", {"tents": 1}, saga_id=SAGA, deadline=self.story.deadline)

    async def go_on(self, orchestrator: Orchestrator) -> None:
        """The client sends its order again, the operator cancels it perhaps, and the worker
        recovers.
        """
        await orchestrator.start("order", {"tents": 1}, saga_id=SAGA, deadline=self.story.deadline)
        if self.story.cancelled:
            await orchestrator.cancel(SAGA)
        await orchestrator.recover()

    async def run(self) -> None:
        await create_sagas(self.memory.engine)
        await create_notes(self.memory.engine)
        made = [
            Participant(name, name == self.story.refuses, self.story.inbox)
            for name in ("stock", "money", "parcel")
        ]
        fresh = World(self.memory.bytes, made)
        calm, points = await self.life(fresh, self.begin)
        self.ends[await self.end_of(calm)] += 1
        after_one: dict[tuple[Any, ...], Counter[str]] = {}
        for first in range(1, points + 1):
            crashed, _ = await self.life(fresh, self.begin, first)
            if crashed.key not in after_one:
                after_one[crashed.key] = await self.crash_again(crashed)
            self.ends += after_one[crashed.key]

    async def crash_again(self, crashed: World) -> Counter[str]:
        """How the recovery ends: undisturbed, and killed at each of its events."""
        recovered, points = await self.life(crashed, self.go_on)
        ends = Counter([await self.end_of(recovered)])
        for second in range(1, points + 1):
            twice, _ = await self.life(crashed, self.go_on, second)
            if twice.key not in self.ended:
                last, _ = await self.life(twice, self.go_on)
                self.ended[twice.key] = await self.end_of(last)
            ends[self.ended[twice.key]] += 1
        return ends

    async def end_of(self, world: World) -> str:
        """All effects or none, each at most once: by what the participants counted, and the rows
        that are there.
        """
        self.memory.bytes = world.bytes
        status = (
            await Lab().orchestrator(self.memory.engine, order(world.participants)).status(SAGA)
        )["status"]
        written = await notes(self.memory.engine, SAGA)
        counted = [participant.net(SAGA) for participant in world.participants]
        if status == "completed":
            right = counted == [(1, 0)] * 3 and written == ["complete:do", "create:do"]
        else:
            right = all(done == undone <= 1 for done, undone in counted) and written in (
                [],
                ["create:do", "create:undo"],
            )
            right = right and status == "compensated"
        return status if right else "wrong"


def swept(story: Story) -> Counter[str]:
    sweep = Sweep(story)
    asyncio.run(sweep.run())
    assert sum(sweep.ends.values()) > 100, "a sweep of a few runs says nothing"
    return sweep.ends


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_every_crash_and_every_pair_of_crashes_ends_in_all_or_nothing(story: Story) -> None:
    ends = swept(story)
    assert ends["wrong"] == 0, ends
    if story.refuses:
        assert ends["completed"] == 0
    elif story == Story() or story == Story(group=True):
        assert ends["compensated"] == 0, "a crash alone is no reason to turn back"
    else:
        assert ends["completed"] > 0 and ends["compensated"] > 0, (
            "it was cancelled before and after its pivot"
        )


@pytest.mark.parametrize(
    "story", [Story(inbox=False), Story(inbox=False, refuses="parcel")], ids=["well", "refused"]
)
def test_participants_that_ignore_the_key_repeat_their_effects(story: Story) -> None:
    ends = swept(story)
    assert ends["wrong"] > sum(ends.values()) / 10, ends


def test_compensating_only_what_completed_keeps_what_was_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The source document's rule: what has no result is not undone."""

    def only_completed(step: Any, saga: state.Saga) -> bool:
        return step.compensation is not None and saga.leg(step.name, "do").status == "completed"

    monkeypatch.setattr(state, "undo_is_due", only_completed)
    assert swept(STORIES["cancelled while it is down"])["wrong"] > 0
