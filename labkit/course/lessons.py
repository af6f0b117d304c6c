"""The map of the course: its lessons as their notebooks name themselves, their exercises, and what
the reader has passed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.course.judge import Judge
from labkit.course.progress import Progress


@dataclass(frozen=True)
class Lesson:
    """A notebook: its number ("1.1a", "00"), its title, and the minutes it takes (None when it does
    not say).
    """

    number: str
    title: str
    minutes: int | None


def lessons(folder: Path) -> list[Lesson]:
    """The lessons in a folder of notebooks, in order of file name."""
    return [_lesson(path) for path in sorted(folder.glob("*.ipynb"))]


def _lesson(path: Path) -> Lesson:
    named = re.match(r"(\d+)(?:_(\d+[a-z]?))?(?:_|$)", path.stem)
    number = ".".join(part for part in named.groups() if part) if named else path.stem
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "".join(cells[0]["source"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        text = ""
    title = re.search(r"^#\s+(.+?)\s*$", text, re.M)
    minutes = re.search(r"(\d+)\s*min", text)
    return Lesson(number, title[1] if title else path.stem, int(minutes[1]) if minutes else None)


def map_of(found: list[Lesson], judges: Mapping[str, Judge], progress: Progress) -> str:
    """The map as text: [x] passed, [~] tried, [ ] not yet."""
    known = {lesson.number for lesson in found}
    extra = dict.fromkeys(judge.lesson for judge in judges.values() if judge.lesson not in known)
    lines: list[str] = [progress.trouble] if progress.trouble else []
    for lesson in [*found, *(Lesson(number, "", None) for number in extra)]:
        mine = [judge for judge in judges.values() if judge.lesson == lesson.number]
        done = sum(_passed(progress, judge.id) for judge in mine)
        title = lesson.title.removeprefix(lesson.number).lstrip(" .:—-")
        minutes = f"{lesson.minutes} min" if lesson.minutes else ""
        score = f"{done} of {len(mine)}" if mine else ""
        lines.append(f"{lesson.number:<6}{title:<58}{minutes:>7}  {score}".rstrip())
        lines += [f"      {_mark(progress, judge.id)} {judge.id}  {judge.title}" for judge in mine]
    total = sum(_passed(progress, id) for id in judges)
    lines.append(
        f"{total} of {len(judges)} exercises passed." if judges else "There are no exercises yet."
    )
    return "\n".join(lines)


def _passed(progress: Progress, id: str) -> bool:
    return id in progress.entries and progress.entries[id].passed


def _mark(progress: Progress, id: str) -> str:
    return "[x]" if _passed(progress, id) else "[~]" if id in progress.entries else "[ ]"
