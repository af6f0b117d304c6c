"""One scenario for every shop of lessons 1.2c and 1.2d: customers come, and we look what became of
their orders.

Shows: customers place their orders at the node `orders`, at planned moments ("arrives" in the
history). Then the world lives on, so that late messages arrive, and the shop's tables are counted.

Leaves out: customers who give up or order again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from typing import Any

from labkit.lessons.shared.four_stores import End
from labkit.world import Run, World

Later = Callable[[World], Awaitable[object]]


async def checkout(
    world: World,
    shop: Callable[..., Awaitable[tuple[Any, Callable[[], Awaitable[End]]]]],
    stock: int = 5,
    customers: Sequence[Mapping[str, str]] = ({},),
    every: float = 0.5,
    within: float = 3.0,
    later: Later | None = None,
    **wiring: Any,
) -> End:
    """Open `shop` with so many stoves; a customer comes `every` seconds; look `within` seconds
    after the last order was accepted.

    `later` is what an operator does then; after it we wait for as long again."""
    place, end = await shop(world, stock, **wiring)

    async def customer(number: int, wish: Mapping[str, str]) -> None:
        await asyncio.sleep(number * every)
        world.record("arrives", order=f"order-{number + 1}")
        await place(f"order-{number + 1}", **wish)

    desk = world.node("orders")
    orders = [desk.start(customer, *numbered) for numbered in enumerate(customers)]
    await world.join(*orders, return_exceptions=True)
    await asyncio.sleep(within)
    if later is not None:
        await later(world)
        await asyncio.sleep(within)
    return await end()


def waits(run: Run) -> dict[str, float]:
    """Seconds from the moment at which a customer came to the last thing done for the order.

    Infinite when nothing was done for an order that was accepted. An order that was never accepted
    is left out."""
    came = {event.data["order"]: event.at for event in run.history.of("arrives")}
    last = {event.data["order"]: inf for event in run.history.of("placed")}
    last |= {event.data["order"]: event.at for event in run.history.of("settled")}
    return {order: last[order] - at for order, at in came.items() if order in last}
