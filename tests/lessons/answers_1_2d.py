"""What readers hand in for the exercises of lesson 1.2d: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from labkit.lessons.l1_2d.late_events import late_events
from tests.lessons.handed_in import Exercise

Effect = Callable[[AsyncConnection], Awaitable[None]]
Publish = Callable[[int], Awaitable[None]]

# -- 1.2d-1: events out of order

STATUS = {
    "PaymentProcessed": "paid",
    "InventoryReserved": "completed",
    "InventoryReservationFailed": "cancelled",
}


async def apply_stub(do: Any, event: str) -> bool:
    raise NotImplementedError


async def apply_guarded(do: Any, event: str) -> bool:
    sources = "('pending')" if event == "PaymentProcessed" else "('pending', 'paid')"
    guarded = f"UPDATE orders SET status = :new WHERE id = :order AND status IN {sources}"
    return bool(await do(guarded, new=STATUS[event]))


async def apply_by_version(do: Any, event: str) -> bool:
    while True:  # read, decide, and write if it is still what was read
        [(status,)] = await do("SELECT status FROM orders WHERE id = :order")
        if status in ("completed", "cancelled", STATUS[event]):
            return False
        if await do(
            "UPDATE orders SET status = :new WHERE id = :order AND status = :old",
            new=STATUS[event],
            old=status,
        ):
            return True


async def apply_comparing_once(do: Any, event: str) -> bool:
    [(status,)] = await do("SELECT status FROM orders WHERE id = :order")
    if status in ("completed", "cancelled", STATUS[event]):
        return False
    # When the status is another one by now, nothing changes, and nothing ever will.
    guarded = "UPDATE orders SET status = :new WHERE id = :order AND status = :old"
    return bool(await do(guarded, new=STATUS[event], old=status))


async def apply_unconditionally(do: Any, event: str) -> bool:
    return bool(await do("UPDATE orders SET status = :new WHERE id = :order", new=STATUS[event]))


async def apply_after_a_look(do: Any, event: str) -> bool:
    [(status,)] = await do("SELECT status FROM orders WHERE id = :order")
    if status in ("completed", "cancelled", STATUS[event]):
        return False
    return bool(await do("UPDATE orders SET status = :new WHERE id = :order", new=STATUS[event]))


async def apply_only_to_pending(do: Any, event: str) -> bool:
    return bool(
        await do(
            "UPDATE orders SET status = :new WHERE id = :order AND status = 'pending'",
            new=STATUS[event],
        )
    )


async def apply_only_to_paid(do: Any, event: str) -> bool:
    before = "pending" if event == "PaymentProcessed" else "paid"
    guarded = "UPDATE orders SET status = :new WHERE id = :order AND status = :before"
    return bool(await do(guarded, new=STATUS[event], before=before))


async def apply_unless_cancelled(do: Any, event: str) -> bool:
    guarded = "UPDATE orders SET status = :new WHERE id = :order AND status <> 'cancelled'"
    return bool(await do(guarded, new=STATUS[event]))


async def apply_to_every_order(do: Any, event: str) -> bool:
    guarded = (
        "UPDATE orders SET status = :new WHERE status IN ('pending', 'paid') AND status <> :new"
    )
    return bool(await do(guarded, new=STATUS[event]))


async def apply_paying_for_the_lost(do: Any, event: str) -> bool:
    new = "completed" if event == "PaymentProcessed" else STATUS[event]
    return bool(
        await do(
            "UPDATE orders SET status = :new WHERE id = :order AND status = 'pending'", new=new
        )
    )


async def apply_and_say_true(do: Any, event: str) -> bool:
    await apply_guarded(do, event)
    return True


async def apply_and_return_nothing(do: Any, event: str) -> Any:
    await apply_guarded(do, event)


async def apply_misspelt(do: Any, event: str) -> bool:
    return bool(await do("UPDATE order SET status = 'paid' WHERE id = :order"))


EXERCISES = (
    Exercise(
        "1.2d-1",
        scenarios=(late_events,),
        stub=apply_stub,
        to_write="apply_stub",
        right=(apply_guarded,),
        right_too=(apply_by_version,),
        wrong={
            apply_unconditionally: (
                "the order was completed, and PaymentProcessed, which came later, made it paid"
            ),
            apply_after_a_look: (
                "the order was completed, and PaymentProcessed, which came later, made it paid"
            ),
            apply_only_to_pending: (
                "InventoryReserved was heard, and in the end the order is still paid"
            ),
            apply_only_to_paid: (
                "InventoryReserved was heard, and in the end the order is still pending"
            ),
            apply_unless_cancelled: (
                "the order was completed, and PaymentProcessed, which came later, made it paid"
            ),
            apply_to_every_order: "PaymentProcessed is about order-1, and it made order-2 paid",
            apply_paying_for_the_lost: (
                "PaymentProcessed made the order 'completed'; it means 'paid'"
            ),
            apply_and_say_true: (
                "apply said True of PaymentProcessed, and the order had not changed"
            ),
            apply_comparing_once: "PaymentProcessed",
        },
        raising={
            apply_misspelt: "in apply_misspelt:  return bool(await do(",
        },
        odd={
            apply_and_return_nothing: "apply must return True or False, it returned None",
        },
    ),
)
