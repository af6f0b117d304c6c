"""Whatever is sent: never a 500, always a problem that can be read; and any sequence of orders
agrees with a plain model.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from labkit.shop.at_once import open_shop
from labkit.shop.orders import Order
from labkit.shop.problems import Problem
from tests.shop.shops import ONE_TENT, SHELF, Shop, cart, in_shop
from tests.support.depth import examples
from tests.support.engines import engine_on, lost_commit

slow_to_draw = {"suppress_health_check": [HealthCheck.too_slow]}

JSON = b"application/json"
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
)
skus = st.sampled_from(["tent", "mat", "mug", "yacht"]) | st.text(st.characters(), max_size=5)
items = st.fixed_dictionaries({"sku": skus | anything, "quantity": st.integers(-1, 102) | anything})
nearly = st.fixed_dictionaries(
    {
        "items": st.lists(items, max_size=3) | anything,
        "customer": st.just("ada") | anything,
        "country": st.just("PT") | anything,
    }
)
bodies = st.binary(max_size=40) | (anything | nearly).map(lambda value: json.dumps(value).encode())


@pytest.mark.search
def test_any_body_and_any_key_get_an_answer_that_can_be_read_and_never_a_500(database: str) -> None:
    with asyncio.Runner() as runner:
        exit_engine = engine_on(database)
        engine = runner.run(exit_engine.__aenter__())
        runner.run(open_shop(engine, SHELF))
        shop = Shop(engine, None)

        @examples("cheap", **slow_to_draw)
        @example(body=b"[" * 100_000, key=None, kind=JSON)
        @example(body=b'{"items": 1' + b"0" * 5000 + b"}", key=None, kind=JSON)
        @example(
            body=b'{"items": [{"sku": "\\ud800", "quantity": NaN}],'
            b' "customer": "\\u0000", "country": 1}',
            key=None,
            kind=JSON,
        )
        @example(body=json.dumps(ONE_TENT).encode(), key=b"k", kind=JSON)
        @given(
            body=bodies,
            key=st.none() | st.binary(max_size=4),
            kind=st.sampled_from([JSON, JSON, JSON, b"text/plain", b""]),
        )
        def check(body: bytes, key: bytes | None, kind: bytes) -> None:
            headers: dict[bytes, bytes] = {b"Content-Type": kind}
            if key is not None:
                headers[b"Idempotency-Key"] = key
            answer = runner.run(shop.client.post("/orders", content=body, headers=headers))
            assert answer.status_code in {201, 400, 404, 409, 422}
            if answer.status_code == 201:
                Order.model_validate_json(answer.content)
            else:
                assert answer.headers["content-type"] == "application/problem+json"
                assert Problem.model_validate_json(answer.content).status == answer.status_code

        check()
        runner.run(shop.assert_books_balance())
        runner.run(exit_engine.__aexit__(None, None, None))


@dataclass
class Model:
    """The shop as one would explain it: a dictionary of stock, and the first answer to each key."""

    stock: dict[str, int] = field(
        default_factory=lambda: {product.sku: product.stock for product in SHELF}
    )
    answers: dict[str, tuple[tuple[tuple[str, int], ...], int]] = field(default_factory=dict)

    def status(self, lines: tuple[tuple[str, int], ...], key: str | None) -> int:
        if key in self.answers:
            first, status = self.answers[key]
            return status if first == lines else 422
        wanted = {
            sku: sum(quantity for other, quantity in lines if other == sku) for sku, _ in lines
        }
        if any(sku not in self.stock for sku in wanted):
            return 404
        return 409 if any(self.stock[sku] < quantity for sku, quantity in wanted.items()) else 201

    def happened(self, lines: tuple[tuple[str, int], ...], key: str | None, status: int) -> None:
        if status == 201 and key not in self.answers:
            for sku, quantity in lines:
                self.stock[sku] -= quantity
        if key is not None and status != 422:
            self.answers.setdefault(key, (lines, status))


lines_of_a_cart = st.lists(
    st.tuples(st.sampled_from(["tent", "mat", "mug", "yacht"]), st.integers(1, 4)),
    min_size=1,
    max_size=3,
)
steps = st.tuples(
    lines_of_a_cart.map(tuple),
    st.sampled_from([None, "k1", "k2", "k3"]),
    st.sampled_from(["", "", "answer lost", "commit lost"]),
)


@examples("fair", **slow_to_draw)
@given(st.lists(steps, min_size=1, max_size=12))
def test_any_sequence_of_orders_repeats_and_lost_answers_agrees_with_the_model(
    sequence: list[Any],
) -> None:
    async def scenario(shop: Shop) -> None:
        model = Model()
        for lines, key, fault in sequence:
            body = cart(*lines)
            expected, known = model.status(lines, key), key in model.answers
            strikes = fault and expected == 201 and not known
            commit_of_the_sale = 1 if key is None else 2
            injected = (
                lost_commit(shop.engine, commit_of_the_sale, executed=fault == "answer lost")
                if strikes
                else nullcontext()
            )
            with injected:
                answer = await shop.order(body, key)
            if strikes:
                assert (answer.status_code, answer.json()["outcome"]) == (503, "unknown")
            else:
                assert answer.status_code == expected
                assert ("idempotent-replayed" in answer.headers) == (known and expected != 422)
            if not (strikes and fault == "commit lost"):
                model.happened(lines, key, expected)
            assert {sku: now for sku, (_, now, _) in (await shop.books()).items()} == model.stock

    with tempfile.TemporaryDirectory() as directory:
        in_shop(f"sqlite+aiosqlite:///{directory}/shop.db", scenario)
