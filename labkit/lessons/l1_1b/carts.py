"""The judge of exercise 1.1b-1, "lock a cart without deadlock".

Up to three shoppers buy carts of one to three items, some of them named twice. Each packs its cart
under the locks of all its items, which the reader's `hold_cart` takes from locks that hold one item
each. The search goes over carts and schedules, a payment that is declined while the cart is held,
an item whose lock cannot be had because a stocktake holds it, and a shopper who leaves: its task is
cancelled while it packs or while it waits for a lock. Before the search come fixed cases of each.

The shoppers are services of their own, so the items of a cart have another hash in each of them, as
in processes with different hash seeds: the order of a set is not the same everywhere.

Leaves out: a shopper that dies with its locks (their leases end), and fairness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from hypothesis import strategies as st

from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.lessons.l1_1b.waits_for import waited_in_vain, wanted
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.locks import Lease, LockManager, LockTimeout
from labkit.sim import Finding, falsify
from labkit.world import Event, Run, World

SHOPPERS = ("anna", "ben", "carl")
ITEMS = ("stove", "tent", "spade")  # two of them alike in length, first and last letter
CARTS = (
    ("stove", "tent"),
    ("tent", "stove"),
    ("stove", "stove"),
    ("spade", "stove"),
    ("stove", "spade"),
    ("tent", "spade", "stove"),
    ("stove", "spade", "tent"),
    ("stove", "tent", "stove"),
)
LEASE, WAIT, PACK = 10.0, 2.0, 0.1  # seconds
PATIENCE = 0.5  # seconds after which a shopper who leaves while it waits has waited enough
LEAVES = ("packing", "waiting")


class Item(str):
    """The name of an item, with a hash of its shopper's own."""

    def __new__(cls, name: str, shopper: str) -> Item:
        made = super().__new__(cls, name)
        place = 1 + ITEMS.index(name)
        made._hash = place if SHOPPERS.index(shopper) % 2 == 0 else 8 - place
        return made

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    _hash: int


class CardDeclined(Exception):
    """The body of an `async with hold_cart(…)` failed."""


class ItemLocks:
    """One node's locks, an item each. `held` says which it holds now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.manager = LockManager(
            world.redis(), ids=world.new_id, rng=world.rng, lease=LEASE, wait=WAIT
        )
        self.held: dict[ItemLock, str] = {}
        self.on_want: Callable[[], object] = lambda: None

    def hold(self, key: str) -> ItemLock:
        """Hold one item over an `async with` block; `LockTimeout` when it cannot be had in time."""
        if key not in ITEMS:
            raise ValueError(f"hold takes one item, {' or '.join(map(repr, ITEMS))}, got {key!r}")
        return ItemLock(self, str(key))

    def missing(self, cart: Sequence[str]) -> str:
        """What of the cart is not held."""
        return ", ".join(sorted(set(cart) - set(self.held.values())))

    async def let_go(self) -> None:
        """Let go of what is still held."""
        for lock in [*self.held]:
            await lock.__aexit__(None, None, None)


class ItemLock:
    """An async context manager: the lock of one item, held over the block."""

    def __init__(self, locks: ItemLocks, item: str) -> None:
        self._locks, self._item = locks, item
        self._hold = locks.manager.hold(item)
        self._mark = locks.world.holding(item)

    async def __aenter__(self) -> Lease:
        self._locks.world.record("wants", item=self._item)
        self._locks.on_want()
        lease = await self._hold.__aenter__()
        self._mark.__enter__()
        self._locks.held[self] = self._item
        return lease

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._mark.__exit__(None, None, None)
        try:
            await self._hold.__aexit__(kind, error, at)
        finally:
            self._locks.held.pop(self, None)


HoldCart = Callable[[ItemLocks, Sequence[str]], AbstractAsyncContextManager[None]]


async def carts(
    world: World,
    hold_cart: HoldCart,
    carts: Sequence[Sequence[str]],
    declined: str | None = None,
    counted: str | None = None,
    leaves: str | None = None,
) -> None:
    """A shopper for each cart; the card of `declined` fails; `counted` is locked by a stocktake all
    the time; anna leaves while she is "packing" or "waiting" for a lock.
    """
    over = asyncio.Event()
    async with LockManager(world.redis(), ids=world.new_id, rng=world.rng, lease=LEASE).hold(
        *ITEMS
    ):
        pass  # Redis knows the scripts from here on, so no picture shows them being sent

    async def stocktake(item: str, begun: asyncio.Event) -> None:
        async with ItemLocks(world).hold(item):
            begun.set()
            await over.wait()

    async def shopper(cart: Sequence[str]) -> None:
        locks, me = ItemLocks(world), world.here()
        goes = leaves if me == SHOPPERS[0] else None

        async def buy() -> None:
            async with hold_cart(locks, tuple(Item(item, me) for item in cart)):
                world.record("packs", missing=locks.missing(cart))
                if goes == "packing":
                    loop.call_later(PACK / 2, leave)
                await asyncio.sleep(PACK)
                world.record("packed", missing=locks.missing(cart))
                if me == declined:
                    raise CardDeclined

        loop, buying = asyncio.get_running_loop(), asyncio.create_task(buy())
        gone = False

        def leave(held: int | None = None) -> None:
            nonlocal gone
            if not gone and not buying.done() and held in (None, len(locks.held)):
                gone = True
                world.record("leaves")
                buying.cancel()

        if goes == "waiting":
            locks.on_want = lambda: loop.call_later(PATIENCE, leave, len(locks.held))
        try:
            await buying
        except CardDeclined:
            world.record("declined")
        except LockTimeout:
            world.record("gave up")
        except asyncio.CancelledError:
            world.record("left")
        else:
            world.record("swallowed" if me == declined or gone else "sold")
        for _ in range(2):
            if locks.held:
                world.record("left locked", items=", ".join(locks.held.values()))
                await locks.let_go()
            if goes is None:
                return
            await over.wait()  # what was still asked for may be granted when nobody wants it

    tasks = []
    if counted is not None:
        tasks.append(world.node("stocktake").start(stocktake, counted, begun := asyncio.Event()))
        await begun.wait()
    shopping = [
        world.node(name).start(shopper, cart) for name, cart in zip(SHOPPERS, carts, strict=False)
    ]
    if leaves is None:
        await world.join(*shopping)
    else:
        await asyncio.sleep(3 * WAIT)
    over.set()
    await world.join(*shopping, *tasks)


def _wrong_cart(run: Run) -> str | None:
    for event in run.history.events:
        if event.kind in ("packs", "packed") and event.data["missing"]:
            when = "began to pack" if event.kind == "packs" else "was still packing"
            return f"{event.node} {when} without the lock of {event.data['missing']}"
        if event.kind == "left locked":
            return f"{event.node} {_last_word(run, event)} and left {event.data['items']} locked"
        if event.kind == "swallowed" and event.node in [it.node for it in run.history.of("leaves")]:
            return f"{event.node} left, and hold_cart did not let the cancellation out"
        if event.kind == "swallowed":
            return f"{event.node}'s card was declined, and hold_cart did not let that error out"
        if event.kind == "gave up" and run.args.get("counted") is None:
            return waited_in_vain(run, event, WAIT)
    return None


def _last_word(run: Run, left: Event) -> str:
    before = [
        event for event in run.history.events if event.node == left.node and event.seq < left.seq
    ][-1]
    lacked = wanted(run, left.node, left.at)
    gave_up = f"gave up waiting for {lacked.data['item']}" if lacked else "gave up"
    return {
        "sold": "had its cart sold",
        "declined": "had its card declined",
        "left": f"left while it was {run.args.get('leaves')}",
    }.get(before.kind, gave_up)


WHOLE_CARTS = Invariant(
    "every cart is sold under the locks of all its items, and none is left locked", _wrong_cart
)


def _case(*carts: tuple[str, ...], **what: str) -> Case:
    return Case({"carts": carts, "declined": None, "counted": None, "leaves": None, **what})


ALL = ("tent", "spade", "stove")
CASES = (
    _case(("stove", "tent")),
    _case(("stove", "stove")),
    _case(("stove", "tent"), ("tent", "stove")),
    _case(("stove", "spade"), ("spade", "stove")),
    _case(("stove", "tent"), declined="anna"),
    *[_case(("stove", "tent"), counted=item) for item in ("stove", "tent")],
    _case(ALL),
    _case(("stove", "tent", "stove")),
    _case(("tent", "tent", "spade"), ("spade", "tent", "tent")),
    # Orders of three: opposite, with the first two exchanged, and each one further.
    _case(ALL, ALL[::-1]),
    _case(("tent", "stove", "spade"), ("spade", "tent", "stove")),
    _case(("stove", "tent", "spade"), ("stove", "spade", "tent")),
    _case(("stove", "tent", "spade"), ("tent", "spade", "stove"), ("spade", "stove", "tent")),
    _case(ALL, declined="anna"),
    *[_case(ALL, counted=item) for item in ITEMS],
    # anna leaves with all the locks, and while she waits for the first, second or third.
    _case(("stove", "tent"), leaves="packing"),
    *[_case(("stove", "tent"), counted=item, leaves="waiting") for item in ("stove", "tent")],
    *[_case(ALL, counted=item, leaves="waiting") for item in ITEMS],
)
"""What every answer is run through, the smallest first."""


@judge(
    "1.1b-1",
    title="Lock a cart without deadlock",
    hints=(
        (
            "Two carts name the same two items in opposite order: each shopper holds one and waits"
            " for the other. What if everybody took them in the same order? And what about a cart"
            " that names an item twice?"
        ),
        (
            "sorted(set(skus)), and a contextlib.AsyncExitStack: `await"
            " stack.enter_async_context(locks.hold(sku))` for each, and yield inside its `async"
            " with`. The stack lets go of what it has, whatever raises, also when a later lock"
            " does."
        ),
    ),
    budget=160,
)
def judge_hold_cart(answer: Any, budget: int) -> Finding:
    """Search for carts and a schedule in which the reader's `hold_cart` deadlocks, or holds too
    little or too long.
    """
    arguments = {
        "hold_cart": answer,
        "carts": st.lists(st.sampled_from(CARTS), min_size=1, max_size=len(SHOPPERS)).map(tuple),
        "declined": st.none() | st.sampled_from(SHOPPERS),
        "counted": st.none() | st.sampled_from(ITEMS),
        "leaves": st.none() | st.sampled_from(LEAVES),
    }
    return cases_first(
        carts,
        (WHOLE_CARTS,),
        CASES,
        lambda runs: falsify(carts, WHOLE_CARTS, args=arguments, runs=runs, max_steps=20_000),
        budget=budget,
        args={"hold_cart": answer},
        max_steps=20_000,
    )
