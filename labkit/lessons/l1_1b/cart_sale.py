"""The judge of exercise 1.1b-2, "sell a cart without a lock".

Three services sell carts from one database, each cart by the reader's `sell_cart`: all of its lines
or none. Services crash and are paused, answers of the database are lost.

What counts is what is left in the database at the end. Every cart that was told "sold" is gone from
it as a whole; of the carts whose end nobody heard, each is gone as a whole or not at all; and a
cart was refused only if something in it was missing.

Leaves out: row locks and deadlocks, which SQLite does not have; the lesson's real servers do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import DatabaseUnavailable, reading
from labkit.check import Invariant
from labkit.course.judge import judge
from labkit.inventory import create_inventory
from labkit.inventory.stock import inventory
from labkit.lessons.shared.fixed_cases import Case, cases_first
from labkit.lessons.shared.worst_first import worst_first
from labkit.sim import Finding, crashes, lost_replies, pauses
from labkit.world import LoseReply, Run, World

SERVICES = ("east", "north", "west")
Cart = tuple[tuple[str, int], ...]
CARTS: tuple[Cart, ...] = (
    (("stove", 1), ("tent", 1)),
    (("tent", 2), ("stove", 1)),
    (("mat", 1), ("stove", 2), ("tent", 1)),
    (("stove", 1), ("stove", 1)),
    (("tent", 3),),
    (("stove", 1), ("kayak", 1)),
)
SHELVES = (
    {"stove": 2, "tent": 2, "mat": 1},
    {"stove": 3, "tent": 1, "mat": 5},
    {"stove": 1, "tent": 1, "mat": 1},
)
MISTAKES = ("CHECK constraint", "no such", "syntax error")
"""What the database says of a statement that is wrong. Any other error leaves a cart in doubt."""
SellCart = Callable[[AsyncEngine, list[tuple[str, int]]], Awaitable[bool]]


async def cart_sale(
    world: World, sell_cart: SellCart, carts: tuple[Cart, ...], shelf: int
) -> dict[str, int]:
    """Sell the carts, one service after the other in turn, all at once; returns what is left."""
    await create_inventory(world.database(), SHELVES[shelf])

    async def sell(number: int, cart: Cart) -> None:
        world.record("asked", cart=number)
        try:
            sold = await sell_cart(world.database(timeout=1.0), list(cart))
        except (DatabaseUnavailable, DBAPIError, OSError) as error:
            if any(mistake in str(error) for mistake in MISTAKES):
                raise
            world.record("in doubt", cart=number)
            return
        if not isinstance(sold, bool):
            raise TypeError(f"sell_cart must return True or False, got {sold!r}")
        world.record("sold" if sold else "refused", cart=number)

    tasks = [
        world.node(SERVICES[number % len(SERVICES)]).start(sell, number, cart)
        for number, cart in enumerate(carts)
    ]
    await world.join(*tasks)
    await asyncio.sleep(10)
    async with reading(world.database()) as connection:
        rows = (await connection.execute(select(inventory.c.sku, inventory.c.stock))).all()
    return {row.sku: row.stock for row in rows}


def _demand(carts: Iterable[Cart]) -> Counter[str]:
    demand: Counter[str] = Counter()
    for sku, quantity in chain.from_iterable(carts):
        demand[sku] += quantity
    return demand


def _carts(run: Run, kind: str) -> list[Cart]:
    carts = run.args["carts"]
    return [carts[event.data["cart"]] for event in run.history.of(kind)]


def _not_whole(run: Run) -> str | None:
    """What is gone is not what was sold."""
    gone = Counter(SHELVES[run.args["shelf"]])
    gone.subtract(run.result)
    ended = {event.data["cart"] for event in run.history.of("sold", "refused")}
    carts = dict(enumerate(run.args["carts"]))
    doubtful = [cart for number, cart in carts.items() if number not in ended]
    subsets = chain.from_iterable(combinations(doubtful, size) for size in range(len(doubtful) + 1))
    sold = _carts(run, "sold")
    if any(_demand([*sold, *some]) == +gone for some in subsets):
        return None
    missing = (
        ", ".join(f"{count} {sku}" for sku, count in sorted(gone.items()) if count) or "nothing"
    )
    told = "; ".join(_named(cart) for cart in sold) or "no cart"
    return f"{told} was sold, and the shelves lack {missing}"


def _refused_for_nothing(run: Run) -> str | None:
    if not run.faults and len(run.args["carts"]) == 1 and run.history.of("in doubt"):
        return (
            f"{_named(run.args['carts'][0])} was alone, the database answered, and it was not sold"
        )
    for cart in _carts(run, "refused"):
        if all(run.result.get(sku, 0) >= count for sku, count in _demand([cart]).items()):
            return f"{_named(cart)} was refused, and at the end everything in it is still there"
    return None


def _named(cart: Cart) -> str:
    return "(" + ", ".join(f"{count} {sku}" for sku, count in cart) + ")"


CASES = (
    Case({"carts": (CARTS[0],), "shelf": 2}),
    Case({"carts": (CARTS[3],), "shelf": 2}),
    Case({"carts": (CARTS[3],), "shelf": 1}),
    Case({"carts": (CARTS[1],), "shelf": 2}),
    Case({"carts": (CARTS[2], CARTS[2]), "shelf": 1}),
    Case({"carts": (CARTS[0], CARTS[1], CARTS[5]), "shelf": 0}),
    *[
        Case(
            {"carts": (CARTS[0],) * count, "shelf": 1},
            (LoseReply(src="east", label=label, after="asked"),),
        )
        for label in ("COMMIT", "BEGIN", "UPDATE")
        for count in (1, 2)
    ],
)
"""Carts that take the last of everything, that name one SKU twice, that lack their first line or
their last; and a statement whose answer is lost, alone and beside another cart.
"""

WHOLE = Invariant("a cart is sold as a whole or not at all", _not_whole)
SERVED = replace(WHOLE, test=_refused_for_nothing)


@judge(
    "1.1b-2",
    title="Sell a cart without a lock",
    hints=(
        "One transaction for the whole cart. What has the first line done by the time you find "
        "that the second cannot be sold, and what undoes it?",
        "In one `async with begin_immediate(engine) as tx:`, a guarded UPDATE for each line. If "
        "one changes no row, raise an exception of your own inside the block, which rolls it "
        "back, and return False outside of it.",
    ),
    budget=150,
)
def judge_cart(answer: Any, budget: int) -> Finding:
    """Search for carts, crashes and lost answers after which half a cart is sold."""
    args = {
        "sell_cart": answer,
        "carts": st.lists(st.sampled_from(CARTS), min_size=1, max_size=4).map(tuple),
        "shelf": st.integers(0, len(SHELVES) - 1),
    }
    faults = [
        crashes(*SERVICES),
        lost_replies(*SERVICES),
        pauses(*SERVICES, up_to=2.0),
    ]
    return cases_first(
        cart_sale,
        (WHOLE, SERVED),
        CASES,
        lambda runs: worst_first(
            cart_sale, WHOLE, SERVED, runs=runs, faults=faults, args=args, max_steps=50_000
        ),
        budget=budget,
        args={"sell_cart": answer},
        max_steps=50_000,
    )
