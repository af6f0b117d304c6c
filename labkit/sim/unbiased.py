"""Keep hypothesis from looking into other modules: a search must depend on what it was given, and
on nothing else.

Hypothesis collects the numbers and strings in the source of every module of the project that
happens to be loaded, and tries them more often. That finds bugs in a test suite. But here it would
make a search, and a notebook's output, depend on which lessons and judges were imported before.

Leaves out: the constants that hypothesis brings along itself (0, powers of two, odd strings), which
are always the same. These are names inside hypothesis: `tests/sim/test_unbiased.py` fails when a
new version has others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants


@contextmanager
def unbiased() -> Iterator[None]:
    """Let every search in the block see no constants of loaded modules."""
    kept = providers.CONSTANTS_CACHE, providers._get_local_constants
    providers.CONSTANTS_CACHE, providers._get_local_constants = LRUCache(1024), Constants
    try:
        yield
    finally:
        providers.CONSTANTS_CACHE, providers._get_local_constants = kept
