"""Exercises and questions that got another id, so that nobody loses what they have passed.

`MOVES` has one table for each time that they were renumbered, oldest first: from the old id to the
new one, or to None when there is no such exercise any more. A table is applied once to a reader's
file, whole and at the same moment, so ids may also change places, and a new exercise may have the
id of one that is gone. An id that a table does not name stays. Never change a table that readers
may have; add another one."""

from __future__ import annotations

from collections.abc import Mapping

CHAPTER_1_1_IN_FOUR_LESSONS: Mapping[str, str | None] = {
    "1.1a-2": None,  # a store with fencing tokens; 1.1a-2 is now another exercise
    "1.1a-3": "1.1b-1",
    "1.1b-1": "1.1c-1",
    "1.1b-2": "1.1c-2",
    "1.1b-3": "1.1d-1",
    "1.1a-q3": "1.1b-q2",
    "1.1b-q1": "1.1c-q1",
    "1.1b-q2": "1.1c-q2",
    "1.1b-q3": "1.1d-q1",
}
CHAPTER_1_2_IN_FOUR_LESSONS: Mapping[str, str | None] = {
    "1.2a-1": "1.2b-1",
    "1.2a-2": "1.2a-1",
    "1.2a-3": "1.2a-2",
    "1.2b-1": "1.2d-1",
    "1.2b-2": "1.2c-1",
    "1.2b-3": "1.2c-2",
    "1.2b-q1": "1.2c-q1",
    "1.2b-q2": "1.2c-q2",
    "1.2b-q3": "1.2c-q3",
}


def ids_since(id: str) -> list[str]:
    """This id, and every other one that the exercise has had since somebody knew it by this one."""
    found = [id]
    for first in range(len(MOVES)):
        now: str | None = id
        for table in MOVES[first:]:
            now = table.get(now, now) if now else None
        found += [now] if now and now not in found else []
    return found


MOVES: tuple[Mapping[str, str | None], ...] = (
    CHAPTER_1_1_IN_FOUR_LESSONS,
    CHAPTER_1_2_IN_FOUR_LESSONS,
)
