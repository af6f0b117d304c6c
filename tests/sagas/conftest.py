"""The tests of the sagas run on both databases, and on a real Valkey."""

from __future__ import annotations

from tests.shop.databases import database, postgres_server, postgres_url, sqlite_url, valkey_url  # noqa: F401  # fixtures
