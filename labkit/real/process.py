"""A server process: started, awaited, paused, killed, stopped for sure.

The child writes its process id into its directory *before* it becomes the server, so that the
watchdog of `scratch` knows of it from the first moment. It runs in a session of its own: a Ctrl-C
in the terminal reaches the notebook and not the server. A pause is SIGSTOP to the process and to
all its children (PostgreSQL answers each client from a child).

Left out: Windows, which has neither these signals nor a shell to write the id; and a server that
crashes by itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from labkit.real.errors import ServerUnavailable
from labkit.real.scratch import Identity

_START_TIMEOUT = 30.0


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
        note_id = 'echo "$$ $1" > pid && shift && exec "$@"'
        with (self.directory / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [
                    "/bin/sh",
                    "-c",
                    note_id,
                    self.name,
                    self._stop_signal.name.removeprefix("SIG"),
                    *self._command,
                ],
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
                raise ServerUnavailable(
                    f"{self.name} did not start: {' / '.join(lines[-4:]).strip(' /') or 'no message'}"
                )
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
        """SIGKILL to it and its children: it writes nothing more and says goodbye to nobody. Its
        files stay.
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
