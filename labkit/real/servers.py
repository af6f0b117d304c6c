"""Valkey and PostgreSQL from wheels, each in a directory of its own, reached by a Unix socket that
only this user can open.

    with valkey() as url:  # "unix:///…/socket"
        client = Redis.from_url(url)

Valkey keeps everything in memory (no snapshots, no append-only file): what is killed has lost its
data. PostgreSQL runs with its defaults, fsync on, and recovers after a kill; where we are root it
runs as `nobody`.

Left out: CREATE DATABASE (its templates are dropped, see `programs`) and Windows (no Valkey wheel,
no SIGSTOP): there `REDIS_URL` and `DATABASE_URL` name what to use, see `given`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from labkit.real.errors import ServerUnavailable
from labkit.real.process import ServerProcess
from labkit.real.programs import POSTGRES, VALKEY, Program, find, reachable, run_as, template
from labkit.real.scratch import identity, scratch, unprivileged_user


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
            "dynamic_shared_memory_type": "mmap",  # in the data directory, so that nothing is left in /dev/shm after a kill
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
        return status[7:8] == ["ready"] and status[0] == str(
            self.pid
        )  # else the file is that of a killed server

    def _status(self) -> list[str]:
        """The lines of postmaster.pid, as pg_ctl reads them: 1 is the process id, 7 the shared
        memory, 8 the state.
        """
        with contextlib.suppress(OSError):
            return [
                line.strip() for line in (self._data / "postmaster.pid").read_text().split("\n")
            ]
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
    """For each server a world can ask for, whether it can be had here: by a wheel, or because a URL
    names it.
    """
    return {
        "redis": bool(os.environ.get("REDIS_URL")) or _has(VALKEY),
        "database": bool(os.environ.get("DATABASE_URL")) or _has(POSTGRES),
    }


def _has(program: Program) -> bool:
    with contextlib.suppress(ServerUnavailable):
        return find(program).exists()
    return False
