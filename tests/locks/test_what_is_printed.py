"""What a reader prints says facts, and no address."""

from __future__ import annotations

import random

import pytest
from fakeredis import FakeAsyncRedis
from sqlalchemy.ext.asyncio import create_async_engine

from labkit.base import IdempotencyKeys
from labkit.inventory import Inventory
from labkit.locks import Lock, LockManager, Majority, RedlockExperiment, SqlFencedStore
from labkit.shop import AtOnce

ENGINE = create_async_engine("sqlite+aiosqlite://")
REDIS = FakeAsyncRedis()
REDLOCK = RedlockExperiment([REDIS] * 3, ids=lambda: "owner", rng=random.Random(1))


@pytest.mark.parametrize(
    ("thing", "printed"),
    [
        (Lock(REDIS, "stove"), "<Lock 'stove', not acquired>"),
        (
            LockManager(REDIS, ids=lambda: "owner", rng=random.Random(1)),
            "<LockManager, lease 10 s, wait 10 s>",
        ),
        (REDLOCK, "<RedlockExperiment on 3 servers, lease 10 s>"),
        (Majority(REDLOCK, "stove", "ada", 1.0), "<Majority for 'stove', held by 'ada'>"),
        (SqlFencedStore(ENGINE), "<SqlFencedStore on sqlite>"),
        (Inventory(ENGINE), "<Inventory, guarded>"),
        (IdempotencyKeys(ENGINE, lambda: 0.0), "<IdempotencyKeys, claimed for 60 s>"),
        (AtOnce(ENGINE, lambda: 0.0), "<AtOnce, the database alone, within 5 s>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_says_what_it_is(thing: object, printed: str) -> None:
    assert repr(thing) == printed


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_claim_needs_a_time_to_end(seconds: float) -> None:
    with pytest.raises(
        ValueError, match=f"^claim_for must be more than 0 seconds and finite, got {seconds!r}"
    ):
        IdempotencyKeys(ENGINE, lambda: 0.0, claim_for=seconds)
