"""The fixtures of every test: databases, Redis servers, and a registry of judges of the test's own."""

from __future__ import annotations

from tests.support.databases import (  # noqa: F401  # fixtures
    database,
    postgres_server,
    postgres_url,
    sqlite_url,
    valkey_url,
)
from tests.support.exercises import kept, registry  # noqa: F401  # fixtures
from tests.support.servers import fake_server, real_server, server  # noqa: F401  # fixtures
