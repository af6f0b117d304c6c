"""What readers hand in for the exercises of lesson 1.1b: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from labkit.base import DatabaseUnavailable, begin_immediate, reading
from labkit.lessons.l1_1b.cart_sale import cart_sale
from labkit.lessons.l1_1b.carts import carts
from labkit.locks import LockTimeout
from tests.lessons.handed_in import Exercise

# -- 1.1b-1: lock a cart


@asynccontextmanager
async def cart_stub(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    raise NotImplementedError
    yield


@asynccontextmanager
async def cart_on_a_stack(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
        yield


@asynccontextmanager
async def cart_by_recursion(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    first, *rest = sorted(set(skus), reverse=True)
    async with locks.hold(first):
        if rest:
            async with cart_by_recursion(locks, rest):
                yield
        else:
            yield


@asynccontextmanager
async def cart_in_the_order_given(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in dict.fromkeys(skus):
            await stack.enter_async_context(locks.hold(sku))
        yield


@asynccontextmanager
async def cart_all_at_once(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    holds = [locks.hold(sku) for sku in sorted(set(skus))]
    await asyncio.gather(*[hold.__aenter__() for hold in holds])
    try:
        yield
    finally:
        for hold in holds:
            await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_gathered(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await asyncio.gather(
            *[stack.enter_async_context(locks.hold(sku)) for sku in sorted(set(skus))]
        )
        yield


@asynccontextmanager
async def cart_given_up_at_once(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with cart_on_a_stack(locks, skus):
        raise LockTimeout("no patience")
    yield


@asynccontextmanager
async def cart_without_patience(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(locks.hold(min(skus)).__aenter__(), 0.001)
    except TimeoutError:
        raise LockTimeout("no patience") from None
    yield


@asynccontextmanager
async def cart_with_doubles(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(skus):
            await stack.enter_async_context(locks.hold(sku))
        yield


@asynccontextmanager
async def cart_of_the_first(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with locks.hold(min(skus)):
        yield


@asynccontextmanager
async def cart_left_when_the_second_fails(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    holds = [locks.hold(sku) for sku in sorted(set(skus))]
    for hold in holds:
        await hold.__aenter__()
    try:
        yield
    finally:
        for hold in holds:
            await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_left_when_the_body_fails(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    holds = [locks.hold(sku) for sku in sorted(set(skus))]
    for hold in holds:
        await hold.__aenter__()
    yield
    for hold in holds:
        await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_let_go_too_early(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
    yield


@asynccontextmanager
async def cart_let_go_while_packing(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
        letting_go = asyncio.create_task(stack.pop_all().aclose())
        yield
    await letting_go


@asynccontextmanager
async def cart_that_swallows(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for sku in sorted(set(skus)):
            await stack.enter_async_context(locks.hold(sku))
        with suppress(Exception):
            yield


def _in_this_order(order: Callable[[Sequence[str]], Sequence[str]]) -> Any:
    """A `hold_cart` that takes the locks in an order of its own."""

    @asynccontextmanager
    async def hold_cart(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for sku in order(skus):
                await stack.enter_async_context(locks.hold(sku))
            yield

    return hold_cart


def _named(name: str, order: Callable[[Sequence[str]], Sequence[str]]) -> Any:
    made = _in_this_order(order)
    made.__name__ = name
    return made


cart_by_length = _named("cart_by_length", lambda skus: sorted(set(skus), key=len))
cart_by_the_last_letter = _named(
    "cart_by_the_last_letter", lambda skus: sorted(set(skus), key=lambda sku: sku[-1])
)
cart_by_hash = _named("cart_by_hash", lambda skus: sorted(set(skus), key=hash))
cart_in_the_order_of_a_set = _named("cart_in_the_order_of_a_set", lambda skus: list(set(skus)))
cart_of_the_first_and_last = _named(
    "cart_of_the_first_and_last", lambda skus: sorted({min(skus), max(skus)})
)
cart_without_what_is_there_twice = _named(
    "cart_without_what_is_there_twice",
    lambda skus: [sku for sku in sorted(skus) if skus.count(sku) == 1] or [skus[0]],
)
cart_with_two_exchanged = _named(
    "cart_with_two_exchanged",
    lambda skus: [*sorted([*dict.fromkeys(skus)][:2]), *[*dict.fromkeys(skus)][2:]],
)


@asynccontextmanager
async def cart_freed_by_hand(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    """Right: whatever raises, `finally` lets go of what it has."""
    held: list[Any] = []
    try:
        for sku in sorted(set(skus)):
            hold = locks.hold(sku)
            await hold.__aenter__()
            held.append(hold)
        yield
    finally:
        for hold in reversed(held):
            await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_left_by_who_leaves(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    """A cancellation is not an `Exception`."""
    held: list[Any] = []
    try:
        for sku in sorted(set(skus)):
            hold = locks.hold(sku)
            await hold.__aenter__()
            held.append(hold)
        yield
    except Exception:
        for hold in held:
            await hold.__aexit__(None, None, None)
        raise
    for hold in held:
        await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_left_while_it_waits(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    held: list[Any] = []
    for sku in sorted(set(skus)):
        hold = locks.hold(sku)
        try:
            await hold.__aenter__()
        except LockTimeout:
            for earlier in held:
                await earlier.__aexit__(None, None, None)
            raise
        held.append(hold)
    try:
        yield
    finally:
        for hold in held:
            await hold.__aexit__(None, None, None)


@asynccontextmanager
async def cart_that_keeps_who_leaves(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with cart_on_a_stack(locks, skus):
        with suppress(asyncio.CancelledError):
            yield


@asynccontextmanager
async def cart_of_several_keys(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with locks.hold(*sorted(set(skus))):
        yield


@asynccontextmanager
async def cart_of_an_unknown_item(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    async with locks.hold(f"lock:{min(skus)}"):
        yield


# -- 1.1b-2: sell a cart without a lock

TAKE = "UPDATE inventory SET stock = stock - :quantity WHERE sku = :sku AND stock >= :quantity"
RETURN = "UPDATE inventory SET stock = stock + :quantity WHERE sku = :sku"
STOCK = "SELECT stock FROM inventory WHERE sku = :sku"
Lines = list[tuple[str, int]]


class Missing(Exception):
    """Something in the cart is missing."""


async def take(connection: Any, sku: str, quantity: int, statement: str = TAKE) -> bool:
    changed = await connection.execute(text(statement), {"sku": sku, "quantity": quantity})
    return bool(changed.rowcount)


async def sale_stub(engine: AsyncEngine, lines: Lines) -> bool:
    raise NotImplementedError


async def sale_rolled_back_by_an_exception(engine: AsyncEngine, lines: Lines) -> bool:
    try:
        async with begin_immediate(engine) as tx:
            for sku, quantity in lines:
                if not await take(tx, sku, quantity):
                    raise Missing(sku)
    except Missing:
        return False
    return True


async def sale_rolled_back_by_hand(engine: AsyncEngine, lines: Lines) -> bool:
    async with engine.connect() as connection:
        for sku, quantity in sorted(lines):
            if not await take(connection, sku, quantity):
                await connection.rollback()
                return False
        await connection.commit()
    return True


async def sale_of_sums_looked_up_inside(engine: AsyncEngine, lines: Lines) -> bool:
    """Right, because `begin_immediate` lets one writer in at a time."""
    wanted: dict[str, int] = {}
    for sku, quantity in lines:
        wanted[sku] = wanted.get(sku, 0) + quantity
    async with begin_immediate(engine) as tx:
        for sku, quantity in wanted.items():
            if (await tx.scalar(text(STOCK), {"sku": sku}) or 0) < quantity:
                return False
        for sku, quantity in wanted.items():
            await take(tx, sku, quantity)
    return True


async def sale_returned_from_inside(engine: AsyncEngine, lines: Lines) -> bool:
    async with begin_immediate(engine) as tx:
        for sku, quantity in lines:
            if not await take(tx, sku, quantity):
                return False
    return True


async def sale_line_by_line(engine: AsyncEngine, lines: Lines) -> bool:
    for sku, quantity in lines:
        async with begin_immediate(engine) as tx:
            if not await take(tx, sku, quantity):
                return False
    return True


async def sale_looked_up_before(engine: AsyncEngine, lines: Lines) -> bool:
    async with reading(engine) as connection:
        for sku, quantity in lines:
            if (await connection.scalar(text(STOCK), {"sku": sku}) or 0) < quantity:
                return False
    async with begin_immediate(engine) as tx:
        for sku, quantity in lines:
            await take(tx, sku, quantity)
    return True


async def sale_looked_up_line_by_line(engine: AsyncEngine, lines: Lines) -> bool:
    """Each line is looked up by itself: two lines of one SKU are both found on the shelf."""
    async with begin_immediate(engine) as tx:
        for sku, quantity in lines:
            if (await tx.scalar(text(STOCK), {"sku": sku}) or 0) < quantity:
                return False
        for sku, quantity in lines:
            await take(tx, sku, quantity)
    return True


async def sale_whatever_was_changed(engine: AsyncEngine, lines: Lines) -> bool:
    async with begin_immediate(engine) as tx:
        for sku, quantity in lines:
            await take(tx, sku, quantity)
    return True


async def sale_given_back_later(engine: AsyncEngine, lines: Lines) -> bool:
    taken: Lines = []
    for sku, quantity in lines:
        async with begin_immediate(engine) as tx:
            enough = await take(tx, sku, quantity)
        if not enough:
            for back, count in taken:
                async with begin_immediate(engine) as tx:
                    await take(tx, back, count, RETURN)
            return False
        taken.append((sku, quantity))
    return True


async def sale_given_back_in_one_step(engine: AsyncEngine, lines: Lines) -> bool:
    """Gives all of it back in one transaction; a crash may come before that."""
    taken: Lines = []
    for sku, quantity in lines:
        async with begin_immediate(engine) as tx:
            if await take(tx, sku, quantity):
                taken.append((sku, quantity))
    if len(taken) < len(lines):
        async with begin_immediate(engine) as tx:
            for sku, quantity in taken:
                await take(tx, sku, quantity, RETURN)
        return False
    return True


async def sale_of_each_item_once(engine: AsyncEngine, lines: Lines) -> bool:
    return await sale_rolled_back_by_an_exception(engine, list(dict(lines).items()))


async def sale_refused_when_in_doubt(engine: AsyncEngine, lines: Lines) -> bool:
    try:
        return await sale_rolled_back_by_an_exception(engine, lines)
    except Exception:
        return False


async def sale_told_when_in_doubt(engine: AsyncEngine, lines: Lines) -> bool:
    try:
        return await sale_rolled_back_by_an_exception(engine, lines)
    except Exception:
        return True


async def sale_asked_again(engine: AsyncEngine, lines: Lines) -> bool:
    for _ in range(3):
        with suppress(Exception):
            return await sale_rolled_back_by_an_exception(engine, lines)
    return False


async def sale_asked_again_and_raised(engine: AsyncEngine, lines: Lines) -> bool:
    """A commit whose answer was lost has happened, and is made again."""
    try:
        return await sale_rolled_back_by_an_exception(engine, lines)
    except Exception:
        return await sale_rolled_back_by_an_exception(engine, lines)


async def sale_never_of_the_last(engine: AsyncEngine, lines: Lines) -> bool:
    try:
        async with begin_immediate(engine) as tx:
            for sku, quantity in lines:
                if not await take(tx, sku, quantity, TAKE.replace(">=", ">")):
                    raise Missing(sku)
    except Missing:
        return False
    return True


async def sale_of_one_each(engine: AsyncEngine, lines: Lines) -> bool:
    return await sale_rolled_back_by_an_exception(engine, [(sku, 1) for sku, _ in lines])


async def sale_of_the_first_two_lines(engine: AsyncEngine, lines: Lines) -> bool:
    return await sale_rolled_back_by_an_exception(engine, lines[:2])


async def sale_while_one_is_left(engine: AsyncEngine, lines: Lines) -> bool:
    at_least_one = TAKE.replace(">= :quantity", ">= 1")
    try:
        async with begin_immediate(engine) as tx:
            for sku, quantity in lines:
                if not await take(tx, sku, quantity, at_least_one):
                    raise Missing(sku)
    except Missing:
        return False
    return True


async def sale_never_committed(engine: AsyncEngine, lines: Lines) -> bool:
    async with engine.connect() as connection:
        for sku, quantity in lines:
            if not await take(connection, sku, quantity):
                return False
    return True


async def sale_that_always_fails(engine: AsyncEngine, lines: Lines) -> bool:
    """Sells nothing, and leaves every cart in doubt."""
    raise DatabaseUnavailable("failed", "never tried")


async def sale_believed_when_anything_changed(engine: AsyncEngine, lines: Lines) -> bool:
    """After an error it looks whether the stock has changed. Others sell, too."""
    for _ in range(2):
        before = await _stock(engine)
        try:
            return await sale_rolled_back_by_an_exception(engine, lines)
        except Exception:
            if await _stock(engine) != before:
                return True
    return False


async def _stock(engine: AsyncEngine) -> dict[str, int]:
    async with reading(engine) as connection:
        rows = await connection.execute(text("SELECT sku, stock FROM inventory"))
        return {sku: stock for sku, stock in rows}


async def sale_refused(engine: AsyncEngine, lines: Lines) -> bool:
    return False


async def sale_with_the_counted_stock(engine: AsyncEngine, lines: Lines) -> bool:
    """Writes what it has read and counted down, in another transaction than the read's."""
    async with reading(engine) as connection:
        left = {sku: await connection.scalar(text(STOCK), {"sku": sku}) or 0 for sku, _ in lines}
    for sku, quantity in lines:
        left[sku] -= quantity
    if min(left.values()) < 0:
        return False
    async with begin_immediate(engine) as tx:
        for sku, count in left.items():
            statement = "UPDATE inventory SET stock = :quantity WHERE sku = :sku"
            await take(tx, sku, count, statement)
    return True


async def sale_that_says_how_many(engine: AsyncEngine, lines: Lines) -> Any:
    return len(lines) if await sale_rolled_back_by_an_exception(engine, lines) else 0


async def sale_from_another_column(engine: AsyncEngine, lines: Lines) -> bool:
    async with begin_immediate(engine) as tx:
        await tx.execute(text("UPDATE inventory SET quantity = 0"))
    return True


async def sale_without_a_guard(engine: AsyncEngine, lines: Lines) -> bool:
    async with begin_immediate(engine) as tx:
        for sku, quantity in lines:
            unguarded = "UPDATE inventory SET stock = stock - :quantity WHERE sku = :sku"
            await take(tx, sku, quantity, unguarded)
    return True


@asynccontextmanager
async def cart_without_await(locks: Any, skus: Sequence[str]) -> AsyncIterator[None]:
    for sku in skus:
        locks.hold(sku).__aenter__()  # without await
    yield


async def sale_without_await(engine: AsyncEngine, lines: Lines) -> bool:
    async with begin_immediate(engine) as connection:
        connection.execute(text("UPDATE inventory SET stock = 0"))  # type: ignore[unused-coroutine]  # without await
    return True


EXERCISES = (
    Exercise(
        "1.1b-1",
        scenarios=(carts,),
        stub=cart_stub,
        to_write="cart_stub",
        right=(
            cart_on_a_stack,
            cart_by_recursion,
        ),
        right_too=(cart_freed_by_hand,),
        wrong={
            cart_in_the_order_given: (
                "anna waited 2 s for tent, which ben held, while ben waited for stove, which anna"
                " held"
            ),
            cart_all_at_once: "locked",
            cart_gathered: (
                "ben waited 2 s for stove, which anna held, while anna waited for tent,"
                " which ben held"
            ),
            cart_given_up_at_once: "anna gave up, and had every lock it had asked for",
            cart_without_patience: "ms for stove, which nobody held",
            cart_by_length: "anna waited 2 s for spade, which ben held, while ben",
            cart_by_the_last_letter: "anna waited 2 s for spade, which ben held, while ben",
            cart_by_hash: "which ben held, while ben waited for",
            cart_in_the_order_of_a_set: "which ben held, while ben waited for",
            cart_of_the_first_and_last: "anna began to pack without the lock of stove",
            cart_without_what_is_there_twice: "anna began to pack without the lock of stove",
            cart_with_two_exchanged: "which anna held, while anna waited for",
            cart_left_by_who_leaves: "anna left while it was packing and left stove, tent locked",
            cart_left_while_it_waits: "anna left while it was waiting and left stove locked",
            cart_that_keeps_who_leaves: "hold_cart did not let the cancellation out",
            cart_with_doubles: "anna waited 2 s for stove, which anna held already",
            cart_of_the_first: "anna began to pack without the lock of tent",
            cart_let_go_too_early: "anna began to pack without the lock of stove, tent",
            cart_let_go_while_packing: "anna was still packing without the lock of stove",
            cart_left_when_the_second_fails: "anna gave up waiting for tent and left stove locked",
            cart_left_when_the_body_fails: "left stove",
            cart_that_swallows: (
                "anna's card was declined, and hold_cart did not let that error out"
            ),
        },
        forgetful={cart_without_await: "ItemLock.__aenter__"},
        raising={
            cart_of_several_keys: (
                "in cart_of_several_keys:  async with locks.hold(*sorted(set(skus)))"
            ),
        },
        odd={
            cart_of_an_unknown_item: "'stove' or 'tent' or 'spade', got 'lock:stove'",
        },
    ),
    Exercise(
        "1.1b-2",
        scenarios=(cart_sale,),
        stub=sale_stub,
        to_write="sale_stub",
        right=(sale_rolled_back_by_an_exception,),
        right_too=(sale_rolled_back_by_hand, sale_of_sums_looked_up_inside),
        wrong={
            sale_returned_from_inside: "was sold, and the shelves lack",
            sale_line_by_line: "no cart was sold, and the shelves lack 1 stove",
            sale_looked_up_before: "was sold, and the shelves lack",
            sale_looked_up_line_by_line: "was sold, and the shelves lack",
            sale_whatever_was_changed: "was sold, and the shelves lack",
            sale_given_back_later: "no cart was sold, and the shelves lack 1 stove",
            sale_given_back_in_one_step: "no cart was sold, and the shelves lack 1 stove",
            sale_of_each_item_once: "(1 stove, 1 stove) was sold, and the shelves lack 1 stove",
            sale_refused_when_in_doubt: "no cart was sold, and the shelves lack 1 stove, 1 tent",
            sale_told_when_in_doubt: "was sold, and the shelves lack",
            sale_asked_again: "and the shelves lack",
            sale_asked_again_and_raised: "and the shelves lack",
            sale_never_of_the_last: "everything in it is still there",
            sale_of_one_each: "was sold, and the shelves lack",
            sale_of_the_first_two_lines: "was sold, and the shelves lack",
            sale_never_committed: "was sold, and the shelves lack nothing",
            sale_that_always_fails: "was alone, the database answered, and it was not sold",
            sale_believed_when_anything_changed: "was sold, and the shelves lack",
            sale_refused: "was refused, and at the end everything in it is still there",
            sale_with_the_counted_stock: "was sold, and the shelves lack",
        },
        forgetful={sale_without_await: "AsyncConnection.execute"},
        raising={
            sale_from_another_column: "in sale_from_another_column:  await tx.execute(",
            sale_while_one_is_left: "CHECK constraint failed",
            sale_without_a_guard: "CHECK constraint failed",
        },
        odd={
            sale_that_says_how_many: "sell_cart must return True or False, got",
        },
    ),
)
