"""What readers hand in for the exercises of lesson 1.2d: the stubs, right answers, and wrong ones
that are easy to write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from labkit.lessons.l1_2d.late_events import late_events
from labkit.lessons.l1_2d.two_events import two_events
from tests.lessons.handed_in import Exercise

Do = Callable[..., Awaitable[Any]]

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


async def apply_without_await(do: Any, event: str) -> bool:
    changed = "UPDATE orders SET status = :new WHERE id = :order"
    do(changed, new=STATUS[event])  # without await
    return True


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


# -- 1.2d-2: wait for two events

COLUMN = {"PaymentCharged": "charged", "GoodsPacked": "packed"}
BOOK = (
    "UPDATE parcels SET state = 'booked' WHERE id = :order AND state = 'waiting' "
    "AND charged = 1 AND packed = 1"
)
TURN = "UPDATE parcels SET state = 'cancelled' WHERE id = :order AND state = :old"


async def hear_stub(do: Do, event: str) -> str | None:
    raise NotImplementedError


async def write_down(do: Do, event: str) -> None:
    await do(f"UPDATE parcels SET {COLUMN[event]} = 1 WHERE id = :order")


async def time_out(do: Do) -> str | None:
    if await do(TURN, old="booked"):
        return "cancel"
    await do(TURN, old="waiting")
    # between the two, the other worker may have booked it
    return "cancel" if await do(TURN, old="booked") else None


async def hear_in_two_updates(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_waiting_first(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        await do(TURN, old="waiting")
        return "cancel" if await do(TURN, old="booked") else None
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_in_one_update(do: Do, event: str) -> str | None:
    """The state remembers everything, and each event is one compare-and-swap."""
    after = {
        ("waiting", "PaymentCharged"): ("charged", None),
        ("waiting", "GoodsPacked"): ("packed", None),
        ("charged", "GoodsPacked"): ("booked", "book"),
        ("packed", "PaymentCharged"): ("booked", "book"),
        ("waiting", "OrderTimedOut"): ("cancelled", None),
        ("charged", "OrderTimedOut"): ("cancelled", None),
        ("packed", "OrderTimedOut"): ("cancelled", None),
        ("booked", "OrderTimedOut"): ("cancelled", "cancel"),
    }
    swap = "UPDATE parcels SET state = :new WHERE id = :order AND state = :old"
    while True:
        [(old,)] = await do("SELECT state FROM parcels WHERE id = :order")
        if (old, event) not in after:
            return None
        new, said = after[old, event]
        if await do(swap, old=old, new=new):
            return said


async def hear_for_whatever_order(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    await write_down(do, event)
    return "book" if await do(BOOK.replace("id = :order AND ", "")) else None


async def hear_without_await(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    write_down(do, event)  # type: ignore[unused-coroutine]  # without await
    return "book" if await do(BOOK) else None


async def hear_after_a_look(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    await write_down(do, event)
    [row] = await do("SELECT charged, packed, state FROM parcels WHERE id = :order")
    if row != (1, 1, "waiting"):
        return None
    await do("UPDATE parcels SET state = 'booked' WHERE id = :order")
    return "book"


async def hear_the_payment_only(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    return "book" if event == "PaymentCharged" else None


async def hear_in_one_order(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    await write_down(do, event)
    return "book" if event == "GoodsPacked" and await do(BOOK) else None


async def hear_no_time_out(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return None
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_without_a_tombstone(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return "cancel" if await do(TURN, old="booked") else None
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_cancelling_always(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        await time_out(do)
        return "cancel"
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_booking_again(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    await write_down(do, event)
    again = BOOK.replace("state = 'waiting'", "state IN ('waiting', 'booked')")
    return "book" if await do(again) else None


async def hear_counting(do: Do, event: str) -> str | None:
    """Counts messages, and takes one that comes twice for two."""
    if event == "OrderTimedOut":
        return await time_out(do)
    await do("UPDATE parcels SET charged = charged + 1 WHERE id = :order")
    two = BOOK.replace("charged = 1 AND packed = 1", "charged = 2")
    return "book" if await do(two) else None


async def hear_every_order(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        return await time_out(do)
    await do(f"UPDATE parcels SET {COLUMN[event]} = 1")
    return "book" if await do(BOOK) else None


async def hear_the_look_first(do: Do, event: str) -> str | None:
    """Tries to book before the event is written down."""
    if event == "OrderTimedOut":
        return await time_out(do)
    booked = await do(BOOK)
    await write_down(do, event)
    return "book" if booked else None


async def hear_cancelling_twice(do: Do, event: str) -> str | None:
    if event == "OrderTimedOut":
        [(state,)] = await do("SELECT state FROM parcels WHERE id = :order")
        await do("UPDATE parcels SET state = 'cancelled' WHERE id = :order")
        return "cancel" if state in ("booked", "cancelled") else None
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_overtaken(do: Do, event: str) -> str | None:
    """Looks for a parcel to cancel, and then makes the order void whatever it is by then."""
    if event == "OrderTimedOut":
        if await do(TURN, old="booked"):
            return "cancel"
        await do("UPDATE parcels SET state = 'cancelled' WHERE id = :order")
        return None
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_once_overtaken(do: Do, event: str) -> str | None:
    """In the other order: the parcel is booked between its two statements."""
    if event == "OrderTimedOut":
        if await do(TURN, old="booked"):
            return "cancel"
        await do(TURN, old="waiting")
        return None
    await write_down(do, event)
    return "book" if await do(BOOK) else None


async def hear_misspelt(do: Do, event: str) -> str | None:
    await do("UPDATE parcel SET charged = 1")
    return None


async def hear_and_say_true(do: Do, event: str) -> Any:
    if event == "OrderTimedOut":
        return await time_out(do)
    await write_down(do, event)
    return bool(await do(BOOK))


EXERCISES = (
    Exercise(
        "1.2d-1",
        scenarios=(late_events,),
        stub=apply_stub,
        to_write="apply_stub",
        right=(apply_guarded,),
        right_too=(apply_by_version,),
        forgetful={apply_without_await: "do"},
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
    Exercise(
        "1.2d-2",
        scenarios=(two_events,),
        stub=hear_stub,
        to_write="hear_stub",
        right=(hear_waiting_first, hear_in_two_updates),
        right_too=(hear_in_one_update,),
        forgetful={hear_without_await: "write_down"},
        wrong={
            hear_for_whatever_order: '"book" was returned 2 times for one order',
            hear_after_a_look: '"book" was returned 2 times for one order',
            hear_the_payment_only: '"book" was returned 2 times for one order',
            hear_in_one_order: '"book" was never returned, although both events were heard',
            hear_no_time_out: ("the order timed out, a parcel was booked, and nobody cancelled it"),
            hear_without_a_tombstone: (
                "the order timed out, a parcel was booked, and nobody cancelled it"
            ),
            hear_cancelling_always: '"cancel" was returned, and "book" never was',
            hear_booking_again: '"book" was returned 2 times for one order',
            hear_counting: '"book" was returned, and PaymentCharged was never heard',
            hear_every_order: ("the row of another order was changed"),
            hear_the_look_first: '"book" was never returned, although both events were heard',
            hear_cancelling_twice: '"cancel" was returned 2 times for one parcel',
            hear_overtaken: "the order timed out, a parcel was booked, and nobody cancelled it",
            hear_once_overtaken: (
                "the order timed out, a parcel was booked, and nobody cancelled it"
            ),
        },
        raising={hear_misspelt: "in hear_misspelt:  await do("},
        odd={hear_and_say_true: 'hear must return "book", "cancel" or None, it returned'},
    ),
)
