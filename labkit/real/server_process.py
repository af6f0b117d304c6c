"""A server process: started, awaited, paused, killed, and reliably stopped, however this process
ends.

All servers live in one directory, the `Scratch` of this process. A watchdog (a short shell script)
waits at the end of a pipe. When this process ends, by `exit`, by a kernel restart or by SIGKILL,
the pipe closes: the watchdog wakes, stops every server whose process id lies in the directory, and
removes it. `PR_SET_PDEATHSIG` would be shorter, but it follows the *thread* that started the child,
is forgotten when the child changes its user, exists on Linux only, and removes no files.

The child writes its process id into its directory *before* it becomes the server, so that the
watchdog knows of it from the first moment. It runs in a session of its own: a Ctrl-C in the
terminal reaches the notebook and not the server. A pause is SIGSTOP to the process and to all its
children (PostgreSQL answers each client from a child).

Leaves out: Windows, which has neither these signals nor a shell to write the id; a server that
crashes by itself; and surviving a SIGKILL of the watchdog."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypedDict

import psutil

from labkit.real.errors import ServerUnavailable

_START_TIMEOUT = 30.0
_NOTE_ID = 'echo "$$ $1" > pid && shift && exec "$@"'
_WATCHDOG = """
read -r _
cd "$1" || exit 0
each() { for file in */pid; do [ -f "$file" ] && read -r pid signal < "$file" && "$1"; done; }
ask() { kill -s "$signal" "$pid"; kill -s CONT "$pid"; }
note_alive() { kill -s 0 "$pid" && alive=yes; }
insist() { kill -s KILL "$pid"; }
each ask
for file in */stopped; do
    [ -f "$file" ] && while read -r pid; do kill -s CONT "$pid"; done < "$file"
done
for round in 1 2 3 4 5 6 7 8 9 10; do
    alive=; each note_alive
    [ "$alive" ] || break
    sleep 0.2
done
each insist
cd / && rm -rf -- "$1"
"""


class ServerProcess:
    """One server in its own directory. It can be killed and started again on the same data; `stop`
    also removes the data.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        *,
        ready: Callable[[], bool],
        stop_signal: signal.Signals = signal.SIGTERM,
        run_as: Identity | None = None,
    ) -> None:
        self.name = name
        self.directory = directory
        self._command = command
        self._ready = ready
        self._stop_signal = stop_signal
        self._identity: Identity = run_as or {}
        self._child: subprocess.Popen[bytes] | None = None
        self._pauses = 0
        self._stopped: list[psutil.Process] = []

    @property
    def pid(self) -> int | None:
        """The process id, or None when the server is down."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self._child is not None:
            raise ServerUnavailable(f"{self.name} is running already")
        stop = self._stop_signal.name.removeprefix("SIG")
        with (self.directory / "log").open("ab") as log:
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", _NOTE_ID, self.name, stop, *self._command],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                **self._identity,
            )
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._ready():
            if self._child.poll() is not None or time.monotonic() > deadline:
                lines = (self.directory / "log").read_text(errors="replace").split("\n")
                self.kill()
                said = " / ".join(lines[-4:]).strip(" /") or "no message"
                raise ServerUnavailable(f"{self.name} did not start: {said}")
            time.sleep(0.005)

    def pause(self) -> None:
        """Stop it where it stands (SIGSTOP), its children too. Connections stay open, nothing is
        lost. Pauses may overlap.
        """
        self._pauses += 1
        if self._child is None or self._pauses > 1:
            return
        self._stopped = _family(psutil.Process(self._child.pid))
        (self.directory / "stopped").write_text(
            "".join(f"{process.pid}\n" for process in self._stopped)
        )
        for process in self._stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        _wait_while(self._stopped, but=psutil.STATUS_STOPPED)

    def resume(self) -> None:
        """End one pause; the last one lets it run on (SIGCONT)."""
        self._pauses = max(0, self._pauses - 1)
        if self._pauses == 0:
            self.wake()

    def wake(self) -> None:
        """End every pause."""
        self._pauses = 0
        stopped, self._stopped = self._stopped, []
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        (self.directory / "stopped").unlink(missing_ok=True)

    def kill(self) -> None:
        """Send SIGKILL to it and its children: nothing more is written, and no connection is closed
        cleanly. Its files stay.
        """
        if self._child is None:
            return
        if self._child.poll() is None:
            family = _family(psutil.Process(self._child.pid))
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._child.wait()
            _wait_while(family)
        for note in ("pid", "stopped"):
            (self.directory / note).unlink(missing_ok=True)
        self._child = None
        self._stopped = []

    def stop(self) -> None:
        """Ask it to end, kill it if it does not, and remove its directory. Stopping twice is no
        error.
        """
        if self._child is not None:
            self.wake()
            self._child.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=5.0)
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def _family(parent: psutil.Process) -> list[psutil.Process]:
    """The process and its children. It is stopped first, so that it makes no more of them."""
    parent.suspend()
    _wait_while([parent], but=psutil.STATUS_STOPPED)
    return [*parent.children(recursive=True), parent]


def _wait_while(processes: Sequence[psutil.Process], but: str = psutil.STATUS_ZOMBIE) -> None:
    """Wait while any of them is there and in another state. A signal takes a moment to reach a
    process on a processor.
    """
    while any(_state(process) not in (but, psutil.STATUS_ZOMBIE, None) for process in processes):
        time.sleep(0.001)


def _state(process: psutil.Process) -> str | None:
    try:
        return process.status() if process.is_running() else None
    except psutil.NoSuchProcess:
        return None


# -- where servers live, and as whom they run


class Scratch:
    """This process's scratch directory and its watchdog, made at the first use. Every server has a
    directory of its own in it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    @cached_property
    def path(self) -> Path:
        """The directory. Others may pass through it, which the user that PostgreSQL runs as must;
        they cannot list it.
        """
        path = Path(tempfile.mkdtemp(prefix="labkit-"))
        path.chmod(0o711)
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "labkit-watchdog", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
        atexit.register(self.close)
        return path

    def directory(self, name: str, user: int) -> Path:
        """A new directory that only `user` can read."""
        with self._lock:
            self._count += 1
            path = self.path / f"{name}-{self._count}"
        path.mkdir(mode=0o700)
        os.chown(path, user, -1)
        return path

    def close(self) -> None:
        """Stop what still runs and remove the directory. In a forked child it does nothing: the
        parent's end is still open.
        """
        if "path" in self.__dict__:
            self._watchdog.communicate()  # closes the pipe, and waits for the watchdog to end
            del self.path


@lru_cache
def _scratch_of(process: int) -> Scratch:
    return Scratch()


def scratch() -> Scratch:
    """This process's scratch directory."""
    return _scratch_of(os.getpid())


def unprivileged_user() -> int:
    """The user id for a server that refuses to run as root: our own, or that of `nobody` when we
    are root.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    import pwd  # there is none on Windows, where this module can still be imported

    with contextlib.suppress(KeyError):
        return pwd.getpwnam("nobody").pw_uid
    return 65534


class Identity(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that say which user the process runs as."""

    user: int
    group: int
    extra_groups: list[int]


def identity(user: int) -> Identity:
    """Run as `user`, with none of our privileges; nothing changes when that is who we are."""
    if user == os.geteuid():
        return {}
    import pwd  # as above

    try:
        group = pwd.getpwuid(user).pw_gid
    except KeyError:
        group = user
    return {"user": user, "group": group, "extra_groups": []}
