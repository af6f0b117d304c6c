"""Build the website: `python -m tools.website [--open]`. It lies in build/site/html afterwards."""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tools.website.source import ROOT, write_source

HERE = Path(__file__).resolve().parent
TARGET = ROOT / "build" / "site"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def build(target: Path = TARGET) -> int:
    """Write the source and let Sphinx build it; the exit code, 1 if there was any warning."""
    source = target / "source"
    write_source(source)
    options = ["-b", "html", "-q", "-W", "--keep-going", "-j", "2", "-d", str(target / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, "-c", str(HERE)]
    return subprocess.call([*command, str(source), str(target / "html")], cwd=ROOT)


def server(folder: Path) -> ThreadingHTTPServer:
    """A server of a folder on loopback, on a free port, not yet started."""
    return ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make site", description="Build the course's website.")
    parser.add_argument(
        "--open", action="store_true", help="serve it on this machine and open the browser"
    )
    chosen = parser.parse_args()
    code = build()
    if code:
        return code
    print(f"the website is in {(TARGET / 'html').relative_to(ROOT)}; start with index.html")
    if chosen.open:
        serving = server(TARGET / "html")
        address = f"http://127.0.0.1:{serving.server_port}/"
        print(f"serving it at {address}; Ctrl-C stops it", flush=True)
        webbrowser.open(address)
        serving.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
