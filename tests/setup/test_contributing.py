"""CONTRIBUTING names files and folders that exist."""

from __future__ import annotations

import re

import pytest

from tools.dev import ROOT

PLACE = re.compile(r"`((?:labkit|tests|tools|notebooks|data)/[\w./-]*|[\w-]+\.(?:toml|yml|md))`")


def missing(text: str) -> list[str]:
    return [place for place in PLACE.findall(text) if not (ROOT / place).exists()]


def test_every_place_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(PLACE.findall(text)) > 20
    assert missing(text) == []


@pytest.mark.parametrize("gone", ["labkit/course/judges/", "labkit/locks/striking.py"])
def test_a_place_that_is_gone_is_named(gone: str) -> None:
    assert missing(f"a judge in `{gone}`, and `labkit/locks/`") == [gone]
