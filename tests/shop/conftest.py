"""The tests of the shop run on both databases."""

from __future__ import annotations

from tests.shop.databases import database, postgres_server, postgres_url, sqlite_url, valkey_url  # noqa: F401  # fixtures
