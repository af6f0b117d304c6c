"""The course from the command line: `python -m labkit.course progress`, and the commands for the
reader's copy of the lessons: `prepare`, `update`, `reset`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from labkit.course.lessons import course_map
from labkit.course.progress import root
from labkit.course.reading import Reading, ReadingError

MARKS = (
    "Print every lesson with its exercises: [x] passed, [~] tried, [ ] not yet. What you pass is "
    "kept in .labkit/progress.json; LABKIT_PROGRESS names another file."
)


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.course", description="The course, from the command line."
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser(
        "progress", help="print the lessons and what you have passed", description=MARKS
    )
    commands.add_parser("prepare", help="copy the lessons into reading/, where they are read")
    update = commands.add_parser("update", help="take newer lessons, and keep your answers")
    update.add_argument("lesson", nargs="*", help="such as 1_1a; all when none is named")
    reset = commands.add_parser("reset", help="bring a lesson or an exercise back as it was")
    reset.add_argument("part", help="a lesson such as 1_1a, or an exercise such as 1.1a-2")
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return 0
    if asked.command == "progress":
        print(course_map())
        return 0
    reading = Reading.of(root())
    try:
        if asked.command == "prepare":
            said = reading.prepare()
        elif asked.command == "update":
            said = reading.update(asked.lesson)
        else:
            said = reading.reset(asked.part)
    except ReadingError as error:
        print(f"labkit: {error}", file=sys.stderr)
        return 2
    for sentence in said:
        print(f"labkit: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
