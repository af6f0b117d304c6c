"""The judge of exercise 1.1a-2, "retry without buying twice".

Customers' apps send orders to two services, and send an order again when they see an error or no
answer, to the other service. Each service places it with the reader's `place_order`, under a lock
with a lease and in a fenced store, both labkit's. Some apps send every order to both services at
once, as after a double click.

What counts is what the store holds when everything is quiet: no order twice, not more orders than
stoves, every order that was told "sold", none that was told "sold out"; and when all apps were
answered, no stove is left while an order went away without one.

Leaves out: a customer who uses one id for two orders.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from labkit.base import StaleToken
from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.locks import Lease, LockError, LockManager, RedisFencedStore
from labkit.sim import Finding, crashes, lost_replies, pauses
from labkit.world import Failover, Fault, LoseReply, Pause, Run, Slow, World

SERVICES = ("east", "west")
ORDERS = ("order-12", "order-1", "order-2")  # one id begins like another
STOVE = "stove"
LEASE, WAIT, THINK = 1.0, 10.0, 0.2  # seconds
ATTEMPTS = 5  # of one app
TROUBLE = (LockError, StaleToken, RedisConnectionError, RedisTimeoutError, OSError)
"""What the world does to an attempt. Everything else is the reader's error, and is shown."""


class _Locks:
    """The lock manager of one service, which notes when a lock is had."""

    def __init__(self, world: World, lease: float, wait: float) -> None:
        self._world = world
        self._manager = LockManager(
            world.redis(), ids=world.new_id, rng=world.rng, lease=lease, wait=wait
        )

    def hold(self, key: str) -> _Noted:
        return _Noted(self._world, self._manager, key)

    def __repr__(self) -> str:
        return "<locks of one service>"


class _Noted:
    """An async context manager: one lock, held over the block."""

    def __init__(self, world: World, manager: LockManager, key: str) -> None:
        self._world, self._hold = world, manager.hold(key)
        self._mark = world.holding(key)

    async def __aenter__(self) -> Lease:
        lease = await self._hold.__aenter__()
        self._mark.__enter__()
        self._world.record("acquired", token=lease.token)
        return lease

    async def __aexit__(self, *raised: Any) -> None:
        self._mark.__exit__(None, None, None)
        await self._hold.__aexit__(*raised)


class _Store:
    """The fenced store, with a moment between a read and what follows from it."""

    def __init__(self, world: World) -> None:
        self._world, self._attempt = world, asyncio.current_task()
        self._store = RedisFencedStore(world.redis("stock"))

    async def read(self, key: str, *, token: int) -> str | None:
        """The ids of the orders that have a stove, separated by spaces; None when never written."""
        text = await self._store.read(key, token=token)
        self._world.record("read", orders=len((text or "").split()))
        await asyncio.sleep(THINK)  # price, tax, fraud check
        return text

    async def write(self, key: str, text: str, *, token: int) -> None:
        """Replace the text."""
        if not isinstance(text, str):
            raise TypeError(f"write takes a text, got {text!r}")
        task = asyncio.current_task()
        if task is not None and task is not self._attempt:
            task.add_done_callback(_looked_at)
        await self._store.write(key, text, token=token)

    def __repr__(self) -> str:
        return "<store>"


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Retrieve the error of a write that nobody waits for. What counts is what the store holds."""
    if not task.cancelled():
        task.exception()


PlaceOrder = Callable[[_Locks, _Store, str, int], Awaitable[str]]


async def safe_retry(
    world: World,
    place_order: PlaceOrder,
    orders: tuple[str, ...] = ORDERS[:1],
    stoves: int = 5,
    doubled: bool = False,
    lease: float = LEASE,
    wait: float = WAIT,
) -> tuple[str, ...]:
    """Each app of `orders` asks until it is answered; returns the orders in the store at the end.

    `doubled`: it sends its first request to both services at once. Seconds: `lease` for which a
    lock is granted, `wait` for which a service waits for it.
    """

    async def attempt(order: str) -> str:
        answer = await place_order(_Locks(world, lease, wait), _Store(world), order, stoves)
        if answer not in ("sold", "sold out"):
            raise ValueError(f'place_order must return "sold" or "sold out", got {answer!r}')
        world.record("told", order=order, what=answer)
        return answer

    async def ask(order: str, *services: str) -> bool:
        tasks = [world.node(service).start(attempt, order) for service in services]
        answers = await world.join(*tasks, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, TROUBLE):
                raise answer
        return any(isinstance(answer, str) for answer in answers)

    async def app(order: str, first: int) -> None:
        for number in range(ATTEMPTS):
            both = doubled and number == 0
            here, there = SERVICES[(first + number) % 2], SERVICES[(first + number + 1) % 2]
            with suppress(RuntimeError):  # the service is down: the next attempt goes elsewhere
                if await ask(order, *((here, there) if both else (here,))):
                    return
            await asyncio.sleep(0.3)
        world.record("gave up", order=order)

    apps = [asyncio.create_task(app(order, place)) for place, order in enumerate(orders)]
    await asyncio.gather(*apps)
    await asyncio.sleep(30)  # what is late arrives
    found = await RedisFencedStore(world.redis("stock")).latest(STOVE)
    return tuple(found[0].split()) if found and found[0] else ()


def _wrong_sale(run: Run) -> str | None:
    there = Counter(run.result)
    for order, times in sorted(there.items()):
        if order not in run.args["orders"]:
            return f"the store holds {order!r}, which nobody ordered"
        if times > 1:
            return f"{order} has {times} stoves"
    if len(run.result) > run.args["stoves"]:
        return f"{len(run.result)} stoves are sold, and there were {run.args['stoves']}"
    for event in run.history.of("told"):
        order, what = event.data["order"], event.data["what"]
        if what == "sold" and not there[order]:
            return f'{order} was told "sold", and the store does not have it'
    return None


def _not_served(run: Run) -> str | None:
    there, gave_up = set(run.result), run.history.of("gave up")
    for event in run.history.of("told"):
        order, what = event.data["order"], event.data["what"]
        if what == "sold out" and order in there:
            return f'{order} was told "sold out", and it has a stove'
        if what == "sold out" and len(there) < run.args["stoves"]:
            return f'{order} was told "sold out", and a stove is left'
    if gave_up and not run.faults:
        return f"{gave_up[0].data['order']} asked {ATTEMPTS} times and got no answer"
    return None


def _case(count: int, stoves: int, *faults: Fault, doubled: bool = False, **seconds: float) -> Case:
    args = {"orders": ORDERS[:count], "stoves": stoves, "doubled": doubled, **seconds}
    return Case(args, faults)


CASES = (
    _case(1, 1),
    _case(1, 2, doubled=True),
    _case(1, 1, doubled=True),
    _case(2, 2),
    _case(2, 1),
    _case(2, 2, wait=0.1),
    _case(3, 2),
    _case(3, 3, doubled=True),
    _case(1, 1, LoseReply("east", dst="redis", at=0.0)),
    *[_case(1, 1, LoseReply("east", dst="stock", at=at)) for at in (0.0, 0.1, 0.3, 0.5)],
    _case(2, 2, LoseReply("east", after="read")),
    *[
        _case(count, count, Pause("east", after=moment, for_=1.5))
        for moment in ("read", "acquired")
        for count in (1, 2)
    ],
    _case(
        2,
        2,
        Failover("redis", lag=1.0, at=0.1),
        Pause("east", after="read", for_=1.5),
        lease=10.0,
    ),
    _case(2, 2, Slow(factor=1500, src="east", dst="stock", after="read", for_=0.5)),
    _case(1, 1, Slow(factor=450, src="east", dst="redis", at=0.0, for_=30.0)),
)
"""Nothing happens, to one order or several, and each of the errors that the task names: the lock is
another's for longer than a service waits (`LockTimeout`), its answer is lost (`LockUnknown`), a
lease ends before the write or before the read (`LeaseLost`), and the lock server forgets a lock
whose holder is paused (`StaleToken`). The answer to any of an order's requests to the store is
lost, a write travels for longer than its caller waits, and one service loses every lease.
"""

ONE_EACH = Invariant("every order has one stove or none, as it was told", _wrong_sale)
SERVED = replace(ONE_EACH, test=_not_served)


@judge(
    "1.1a-2",
    title="Retry without buying twice",
    hints=(
        "After an error, the earlier attempt may have written the order into the store. Who can "
        "tell?",
        "Read under the token. If the order's id is among the words, return 'sold'. If there are "
        "as many words as stoves, return 'sold out'. Else write all words and the id. Catch "
        "nothing.",
    ),
    budget=200,
)
def judge_retry(answer: Any, budget: int) -> Finding:
    """Search for a run after which an order has two stoves, or none and was told it has one."""
    args = {
        "place_order": answer,
        "orders": st.integers(1, len(ORDERS)).map(lambda count: ORDERS[:count]),
        "stoves": st.integers(1, 3),
        "doubled": st.booleans(),
    }
    late: st.SearchStrategy[Fault] = st.builds(
        Pause,
        node=st.sampled_from(SERVICES),
        after=st.sampled_from(("acquired", "read")),
        for_=st.integers(1, 30).map(lambda tenths: tenths / 10),
    )
    unheard: st.SearchStrategy[Fault] = st.builds(
        LoseReply, src=st.sampled_from(SERVICES), after=st.sampled_from(("acquired", "read"))
    )
    faults = [
        late,
        unheard,
        pauses(*SERVICES, up_to=3.0),
        crashes(*SERVICES, restart_after=0.5),
        lost_replies(*SERVICES),
    ]
    return cases_first(
        safe_retry,
        (ONE_EACH, SERVED),
        CASES,
        lambda runs: worst_first(
            safe_retry,
            ONE_EACH,
            SERVED,
            runs=runs,
            faults=faults,
            at_most=1,
            args=args,
            max_steps=50_000,
        ),
        budget=budget,
        args={"place_order": answer},
        max_steps=50_000,
    )
