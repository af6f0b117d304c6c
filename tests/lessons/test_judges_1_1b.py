"""What is special to the judges of lesson 1.1b: `test_judges.py` has what all judges have in
common.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from labkit import world
from labkit.lessons.l1_1b.cart_sale import SERVED, WHOLE, cart_sale
from labkit.lessons.l1_1b.carts import WHOLE_CARTS, carts
from labkit.sim import run
from tests.lessons import answers_1_1b as answers
from tests.lessons.kept_runs import checked

pytestmark = pytest.mark.usefixtures("kept")
CART, SALE = "1.1b-1", "1.1b-2"


def test_the_line_of_the_reader_keeps_its_colon() -> None:
    assert "async with locks.hold(*sorted(set(skus))):\n" in str(
        checked(CART, answers.cart_of_several_keys)
    )


def test_the_picture_of_a_deadlock_shows_who_wanted_what() -> None:
    figure = checked(CART, answers.cart_in_the_order_given).figure()
    assert figure is not None
    table = figure.table()
    for node, item in (("anna", "stove"), ("anna", "tent"), ("ben", "stove"), ("ben", "tent")):
        assert re.search(rf"{node} +wants +item={item}", table)


def test_carts_in_opposite_order_are_both_sold_in_a_fraction_of_the_wait() -> None:
    orders = (("stove", "tent"), ("tent", "stove"), ("stove", "stove"))
    made = run(
        carts,
        args={
            "hold_cart": answers.cart_on_a_stack,
            "carts": orders,
            "declined": None,
            "counted": None,
        },
    )
    assert WHOLE_CARTS.check(made) and len(made.history.of("sold")) == 3
    assert made.seconds < 1.0  # virtual


def test_a_cart_whose_item_is_being_counted_is_given_up_and_leaves_nothing_locked() -> None:
    args = {
        "hold_cart": answers.cart_on_a_stack,
        "carts": (("stove", "tent"),),
        "declined": None,
        "counted": "tent",
    }
    made = run(carts, args=args)
    assert WHOLE_CARTS.check(made)
    assert [event.kind for event in made.history.events if event.node == "anna"] == [
        "wants",
        "wants",
        "gave up",
    ]


@pytest.mark.parametrize("node", ["east", "north"])
@pytest.mark.parametrize("at", [0.001, 0.004, 0.007, 0.01])
@pytest.mark.parametrize("fault", ["crash", "pause", "lost answer"])
def test_a_cart_in_one_transaction_is_whole_whatever_strikes(
    node: str, at: float, fault: str
) -> None:
    struck: dict[str, Any] = {
        "crash": world.Crash(node, at=at),
        "pause": world.Pause(node, at=at, for_=1.0),
        "lost answer": world.LoseReply(node, at=at),
    }
    cart = (("stove", 1), ("tent", 1))
    args = {
        "sell_cart": answers.sale_rolled_back_by_an_exception,
        "carts": (cart, (("stove", 1), ("kayak", 1)), (("stove", 1), ("stove", 1))),
        "shelf": 0,
    }
    made = run(cart_sale, faults=[struck[fault]], args=args)
    assert WHOLE.check(made) and SERVED.check(made)


def test_the_last_of_a_shelf_may_be_sold_and_is_not_refused() -> None:
    cart = (("stove", 1), ("stove", 1))
    args: dict[str, Any] = {"carts": (cart,), "shelf": 0}
    for sell_cart, holds in (
        (answers.sale_rolled_back_by_an_exception, True),
        (answers.sale_refused, False),
    ):
        made = run(cart_sale, args={"sell_cart": sell_cart, **args})
        assert WHOLE.check(made) and bool(SERVED.check(made)) == holds
