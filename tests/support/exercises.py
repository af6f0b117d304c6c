"""A registry of judges of the test's own, and a progress file of its own."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from labkit.course.judge import judges


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(importlib.import_module("labkit.course.judge"), "_JUDGES", judges())


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The progress file of this test."""
    path = tmp_path / ".labkit" / "progress.json"
    monkeypatch.setenv("LABKIT_PROGRESS", str(path))
    return path
