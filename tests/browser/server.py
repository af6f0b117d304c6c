"""A JupyterLab of our own for the browser: private folders, a random token, on loopback, on a copy
of the lessons.

The copy keeps autosave away from the committed files. It is either stripped of outputs, so that
whatever is on the page came from this session, or left as a fresh clone is: with its stored
outputs, and not trusted. The server and its kernels are one process group, ended
together."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat

START_SECONDS = 90


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that answers at `url`; `root` holds the copied notebooks."""

    url: str
    token: str
    root: Path
    settings: Path

    def set_theme(self, name: str) -> None:
        """The theme of pages opened from now on."""
        write_setting(self.settings, "apputils-extension", "themes", {"theme": name})


def write_setting(settings: Path, extension: str, plugin: str, value: dict[str, object]) -> None:
    folder = settings / "@jupyterlab" / extension
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(value))


def copy_of(source: Path, root: Path, *, stripped: bool) -> None:
    shutil.copytree(source, root, ignore=shutil.ignore_patterns(".*"))
    if not stripped:
        return
    for path in root.rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
        nbformat.write(notebook, path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            opener.open(f"{lab.url}/api?token={lab.token}", timeout=2).read()
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(
        "JupyterLab did not come up:\n" + "\n".join(log.read_text().splitlines()[-15:])
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@contextmanager
def jupyterlab(notebooks: Path, scratch: Path, *, stripped: bool = True) -> Iterator[Lab]:
    """A running JupyterLab on a copy of the folder `notebooks`."""
    lab = Lab(
        f"http://127.0.0.1:{free_port()}",
        secrets.token_hex(16),
        scratch / "root",
        scratch / "settings",
    )
    copy_of(notebooks, lab.root, stripped=stripped)
    write_setting(
        lab.settings,
        "apputils-extension",
        "notification",
        {"fetchNews": "false", "checkForUpdates": False},
    )
    # All cells stay on the page, so that every figure can be looked at.
    write_setting(
        lab.settings,
        "notebook-extension",
        "tracker",
        {"windowingMode": "none", "scrollPastEnd": False},
    )
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = dict(
        os.environ, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1", IPYTHONDIR=str(scratch / "ipython")
    )
    environment |= {f"JUPYTER_{name}": str(scratch / folder) for name, folder in folders.items()}
    environment |= {
        "JUPYTERLAB_SETTINGS_DIR": str(lab.settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"),
    }
    options = [
        "--no-browser", "--allow-root",
        "--ip=127.0.0.1", f"--port={lab.url.rsplit(':', 1)[1]}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={lab.token}", f"--ServerApp.root_dir={lab.root}",
        "--ServerApp.terminals_enabled=False",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = scratch / "lab.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_until_up(lab, server, log)
        yield lab
    finally:
        stop(server)
