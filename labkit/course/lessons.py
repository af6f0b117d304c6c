"""The map of the course: its lessons as their notebooks name themselves, their exercises, and what
the reader has passed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.course import progress
from labkit.course.judge import Judge
from labkit.course.judge import judges as all_judges
from labkit.course.progress import Progress
from labkit.course.selftest import question_id, self_test
from labkit.course.shown import Shown


@dataclass(frozen=True)
class Lesson:
    """A notebook: its number ("1.1a", "00"), its title, and the minutes that it takes to read and
    to do its exercises (None when it does not say).
    """

    number: str
    title: str
    minutes: int | None
    exercise_minutes: int | None = None


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
    exercises = re.search(r"(\d+)\s*minutes of exercises", text)
    return Lesson(
        number,
        title[1] if title else path.stem,
        int(minutes[1]) if minutes else None,
        int(exercises[1]) if exercises else None,
    )


def map_of(
    found: list[Lesson],
    judges: Mapping[str, Judge],
    progress: Progress,
    questions: Mapping[str, int],
) -> str:
    """The map as text: [x] passed, [~] tried, [ ] not yet. `questions` says how many a lesson's
    self-test has.

    A lesson is done when all its exercises are passed and all its questions answered, whether or
    not it was read."""
    known = {lesson.number for lesson in found}
    extra = dict.fromkeys(judge.lesson for judge in judges.values() if judge.lesson not in known)
    lines: list[str] = [progress.trouble] if progress.trouble else []
    for lesson in [*found, *(Lesson(number, "", None) for number in extra)]:
        number = lesson.number
        mine = [judge for judge in judges.values() if judge.lesson == number]
        asked = [question_id(number, each + 1) for each in range(questions.get(number, 0))]
        marks = [progress.passed(id) for id in [*(judge.id for judge in mine), *asked]]
        title = lesson.title.removeprefix(number).lstrip(" .:—-")
        minutes = f"{lesson.minutes} min" if lesson.minutes else ""
        state = "done" if marks and all(marks) else ""
        lines.append(f"{number:<6}{title:<58}{minutes:>7}  {state}".rstrip())
        lines += [f"      {_mark(progress, judge.id)} {judge.id}  {judge.title}" for judge in mine]
        if asked:
            right = sum(map(progress.passed, asked))
            mark = "[x]" if right == len(asked) else "[~]" if _any(progress, asked) else "[ ]"
            lines.append(f"      {mark} self-test: {right} of {len(asked)} questions")
    total = sum(map(progress.passed, judges))
    lines.append(
        f"{total} of {len(judges)} exercises passed." if judges else "There are no exercises yet."
    )
    return "\n".join(lines)


def course_map() -> str:
    """The map of this course with what this reader has passed."""
    found = lessons(progress.root() / "notebooks")
    tests = {lesson.number: self_test(lesson.number) for lesson in found}
    questions = {number: len(test.questions) for number, test in tests.items() if test}
    return map_of(found, all_judges(), progress.load(progress.location()), questions)


def show_progress() -> Shown:
    """The map of the course, for a cell: which exercises and questions you have passed.

    Where outputs are compared or stored, a fixed sentence stands for it."""
    if not progress.is_kept():
        return Shown("Run this cell: it shows the lessons, and what you have passed.")
    return Shown(course_map())


def _any(progress: Progress, ids: Sequence[str]) -> bool:
    return any(id in progress.entries for id in ids)


def _mark(progress: Progress, id: str) -> str:
    return "[x]" if progress.passed(id) else "[~]" if id in progress.entries else "[ ]"
