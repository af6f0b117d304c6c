"""The judge of exercise 1.1a-2, "add the fencing token to a store".

Two services sell the last stove: take the lock, read the stock, think, write it back, each with the
fencing token of its lease. They do not renew the lease, so one that is paused comes back late and
does not know it. The store is the reader's. One that sells one stove is then called by one client,
step by step (`two_keys`).

Leaves out: a renewed lease (its holder is cancelled when it thaws, so the late write is rarer and
its caller never learns of it), and a store that loses data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from redis.asyncio import Redis

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.l1_1a.two_keys import NEVER_GIVES_UP, Store, two_keys
from labkit.lessons.shared.worst_first import worst_first
from labkit.locks import LockManager, StaleToken
from labkit.locks.server import FENCE
from labkit.sim import Finding, falsify, pauses
from labkit.world import Fault, Operation, Pause, Run, Slow, World

SERVICES = ("anna", "ben")
STOVE, LOCK = "stove", "lock:stove"
LEASE, THINK, WAIT = 1.0, 0.3, 15.0  # seconds
WITHIN = 60.0  # seconds for the lock's server to answer, which it always does
ALONE = 10  # schedules for one client alone


async def last_stove(world: World, store: Callable[[Redis], Store], delivery: int) -> None:
    """One stove is delivered under the token `delivery`; each service sells one if it finds one;
    the delivery looks again.
    """

    async def read(stock: Store, token: int) -> int:
        with world.operation("read", token) as call:
            call.result = left = await stock.read(STOVE, token)
        if not isinstance(left, int):
            raise TypeError(f"read must return an int, it returned {left!r}")
        return left

    async def write(stock: Store, left: int, token: int) -> None:
        with world.operation("write", token):
            await stock.write(STOVE, left, token)

    async def service() -> None:
        redis = world.redis(timeout=NEVER_GIVES_UP)
        locks = LockManager(redis, ids=world.new_id, rng=world.rng, within=WITHIN)
        stock = store(world.redis("stock", timeout=NEVER_GIVES_UP))
        lease = await locks.acquire(LOCK, lease=LEASE, wait=WAIT)
        try:
            with world.holding(LOCK):
                world.record("acquired", token=lease.token)
                left = await read(stock, lease.token)
                world.record("read", stoves=left)
                if left:
                    await asyncio.sleep(THINK)
                    await write(stock, left - 1, lease.token)
                world.record("sold" if left else "sold out", token=lease.token)
        except StaleToken as stale:
            world.record("refused", token=stale.given, seen=stale.seen)
        finally:
            await lease.release()

    stock = store(world.redis("stock", timeout=NEVER_GIVES_UP))
    await world.redis(timeout=NEVER_GIVES_UP).set(FENCE, delivery)
    try:
        for left in (0, 1):
            await write(stock, left, delivery)
    except StaleToken:
        return
    await world.join(*[world.node(name).start(service) for name in SERVICES])
    with suppress(StaleToken):
        await read(stock, delivery)


def _wrong_sale(run: Run) -> str | None:
    calls, sales = run.history.operations, run.history.of("sold")
    if len(sales) > 1:
        older, newest = sorted(sales, key=lambda sale: sale.data["token"])
        return (
            f"the one stove was sold by {newest.node} and, with an older token, by {older.node} too"
        )
    for call in calls:
        newer = [
            other
            for other in calls
            if other.argument > call.argument and other.called < (call.returned or 0)
        ]
        if call.outcome == "failed" and not newer:
            return _refused_for_nothing(call, calls)
    if accepted := _accepted_late([call for call in calls if call.name == "write"], calls):
        return accepted
    return None if sales else "one stove was there, and nobody sold it"


def _refused_for_nothing(call: Operation, calls: list[Operation]) -> str:
    seen = max(
        (other.argument for other in calls if other.called < call.called and other.outcome == "ok"),
        default="none",
    )
    newest = "its own" if seen == call.argument else seen
    return f"{_who(call)} {call.name} was refused with token {call.argument}, and the newest token seen before was {newest}"


def _accepted_late(some: list[Operation], calls: list[Operation]) -> str | None:
    for call in some:
        for other in calls:
            seen_before = (
                other.outcome == "ok"
                and other.returned is not None
                and other.returned < call.called
            )
            if call.outcome == "ok" and seen_before and other.argument > call.argument:
                late, newer = (
                    f"{_who(call)} {call.name} with token {call.argument}",
                    f"{_who(other)} {other.name}",
                )
                return f"{late} was accepted after {newer} with token {other.argument}"
    return None


def _who(call: Operation) -> str:
    return "the delivery's" if call.process == "lab" else f"{call.process}'s"


def _late_read(run: Run) -> str | None:
    calls = run.history.operations
    return _accepted_late([call for call in calls if call.name == "read"], calls)


ONE_SALE = Invariant(
    "the last stove is sold once, and what comes with an older token is refused and changes nothing",
    _wrong_sale,
)
NO_LATE_READ = replace(ONE_SALE, test=_late_read)
NO_TRACE = replace(ONE_SALE, test=lambda run: run.result)


@judge(
    "1.1a-2",
    title="Add the fencing token to a store",
    hints=(
        "The store must remember the newest token it has seen of each key, whether in a read or in a write, and compare and "
        "write in one step. Which of its calls can change what it remembers?",
        "A hash of `value` and `token`, and one Lua script for both calls: refuse when tonumber(ARGV[1]) is less than the "
        "token kept; else keep ARGV[1] as it came, a string. Return both fields; Python raises StaleToken.",
    ),
    budget=270,
)
def judge_store(answer: Any, budget: int) -> Finding:
    """Search for a run that sells two stoves or none; one in which a stale read is answered; one
    client's wrong count.
    """
    late: st.SearchStrategy[Fault] = st.builds(
        Pause,
        node=st.sampled_from(SERVICES),
        after=st.sampled_from(("acquired", "read")),
        for_=st.integers(1, 20).map(lambda tenths: tenths / 10),
    )
    slow: st.SearchStrategy[Fault] = st.builds(
        Slow,
        factor=st.integers(1, 6).map(lambda step: 100 * step),
        src=st.sampled_from(SERVICES),
        dst=st.just("stock"),
        for_=st.just(1.0),
        after=st.just("read"),
    )
    args = {"store": answer, "delivery": st.sampled_from((8, 2**53 - 3))}
    options: dict[str, Any] = {"args": args, "max_steps": 10_000}
    faults = [late, slow, pauses(*SERVICES, "stock", up_to=3.0)]
    sales = worst_first(
        last_stove, ONE_SALE, NO_LATE_READ, runs=max(1, budget - ALONE), faults=faults, **options
    )
    if not sales:
        return sales
    alone = falsify(two_keys, NO_TRACE, runs=min(ALONE, budget), **options)
    return replace(alone, runs=sales.runs + alone.runs, plans=sales.plans)
