"""A directory for this process's servers that goes away with the process, however it ends.

A watchdog (a short shell script) waits at the end of a pipe. When this process ends, by `exit`, by
a kernel restart or by SIGKILL, the pipe closes: the watchdog wakes and stops every server whose
process id lies in the directory, and removes it. `PR_SET_PDEATHSIG` would be shorter, but it
follows the *thread* that started the child, is forgotten when the child changes its user, exists on
Linux only, and removes no files.

Left out: Windows, and surviving a SIGKILL of the watchdog itself.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import tempfile
import threading
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypedDict

_WATCHDOG = """
read -r _
cd "$1" || exit 0
each() { for file in */pid; do [ -f "$file" ] && read -r pid signal < "$file" && "$1"; done; }
ask() { kill -s "$signal" "$pid"; kill -s CONT "$pid"; }
note_alive() { kill -s 0 "$pid" && alive=yes; }
insist() { kill -s KILL "$pid"; }
each ask
for file in */stopped; do [ -f "$file" ] && while read -r pid; do kill -s CONT "$pid"; done < "$file"; done
for round in 1 2 3 4 5 6 7 8 9 10; do
    alive=; each note_alive
    [ "$alive" ] || break
    sleep 0.2
done
each insist
cd / && rm -rf -- "$1"
"""


class Scratch:
    """The directory and its watchdog. Made at the first use; every server has a directory of its
    own in it.
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
            self._watchdog.communicate()  # closes the pipe, and waits until the watchdog has done its work
            del self.path


@lru_cache
def _scratch_of(process: int) -> Scratch:
    return Scratch()


def scratch() -> Scratch:
    """This process's scratch directory."""
    return _scratch_of(os.getpid())


def unprivileged_user() -> int:
    """The user id to run a server as that refuses root: our own, or when we are root, that of
    `nobody`.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    import pwd  # there is none on Windows, where this module can still be imported

    with contextlib.suppress(KeyError):
        return pwd.getpwnam("nobody").pw_uid
    return 65534


class Identity(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that say as whom to run."""

    user: int
    group: int
    extra_groups: list[int]


def identity(user: int) -> Identity:
    """Run as `user`, with no rights of ours left; nothing to change when that is who we are."""
    if user == os.geteuid():
        return {}
    import pwd  # as above

    try:
        group = pwd.getpwuid(user).pw_gid
    except KeyError:
        group = user
    return {"user": user, "group": group, "extra_groups": []}
