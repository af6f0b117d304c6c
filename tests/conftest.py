"""The fixtures of every test: databases, Redis servers, and a test's own registry of judges."""

from __future__ import annotations

import pytest

from tests.support.databases import (  # noqa: F401  # fixtures
    database,
    postgres_server,
    postgres_url,
    sqlite_url,
    valkey_url,
)
from tests.support.exercises import kept, registry  # noqa: F401  # fixtures
from tests.support.servers import fake_server, real_server, server  # noqa: F401  # fixtures


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one worker, with their caches, unless they say otherwise."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
