"""`python -m labkit.course progress`: the map of the course, with what this reader has passed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from labkit.course import progress
from labkit.course.judge import judges
from labkit.course.lessons import lessons, map_of


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.course", description="The course, from the command line."
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser(
        "progress",
        help="print the lessons and which of their exercises you have passed",
        description="Print every lesson with its exercises: [x] passed, [~] tried, [ ] not yet. "
        "A check in a notebook is kept in .labkit/progress.json; LABKIT_PROGRESS names another file.",
    )
    if parser.parse_args(arguments).command is None:
        parser.print_help()
        return 0
    print(
        map_of(lessons(progress.root() / "notebooks"), judges(), progress.load(progress.location()))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
