"""A search sees what it was given: not the constants of the modules that happen to be loaded."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

from labkit.check import Invariant
from labkit.sim import falsify
from labkit.world import World

NUMBERS = range(700_000, 701_000)


def searched() -> list[int]:
    """The numbers that a search tries, in order."""
    tried: list[int] = []

    async def scenario(world: World, number: int) -> None:
        tried.append(number)

    falsify(
        scenario,
        Invariant("nothing is asked", lambda run: True),
        args={"number": st.integers(0, 10**6)},
        runs=300,
    )
    return tried


def local_constants() -> set[int]:
    return {number for number in providers._get_local_constants().integers if number in NUMBERS}


def test_a_search_is_the_same_whatever_else_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = searched()
    other = tmp_path / "full_of_numbers.py"
    other.write_text(f"numbers = {list(NUMBERS)}")
    module = ModuleType("full_of_numbers")
    module.__file__ = str(other)
    monkeypatch.setitem(sys.modules, "full_of_numbers", module)
    assert len(local_constants()) == len(NUMBERS), "hypothesis would have used them"
    assert searched() == before


def test_hypothesis_is_left_as_it_was() -> None:
    before = providers.CONSTANTS_CACHE, providers._get_local_constants
    searched()
    assert (providers.CONSTANTS_CACHE, providers._get_local_constants) == before
