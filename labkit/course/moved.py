"""Exercises that got another id, so that nobody loses what they have passed.

`MOVES` has one table for each time that exercises were renumbered, oldest first: from the old
id to the new one. A table is applied once to a reader's file, whole and at the same moment, so ids
may also change places. An exercise that a table does not name keeps its id. Never change a table
that readers may have; add another one."""

from __future__ import annotations

from collections.abc import Mapping

MOVES: tuple[Mapping[str, str], ...] = ()
