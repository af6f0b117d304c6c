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
    code = subprocess.call([*command, str(source), str(target / "html")], cwd=ROOT)
    drop_stale(source, target / "html")
    return code


# Pages that Sphinx and its extensions write without a source of their own.
GENERATED = {"search.html", "genindex.html"}


def drop_stale(source: Path, html: Path) -> None:
    """Delete the pages and pictures whose source is gone: Sphinx leaves those of a lesson that was
    renamed.
    """
    sources = [*source.rglob("*.md"), *source.rglob("*.ipynb")]
    pages = {html / path.relative_to(source).with_suffix(".html") for path in sources}
    pages |= {html / name for name in GENERATED}
    pictures = {html / "_static" / path.name for path in (source / "pictures").glob("*")}
    stale = {path for path in html.rglob("*.html") if _is_page(path, html)} - pages
    stale |= set(html.glob("_static/figure-*")) - pictures
    for path in stale:
        path.unlink()
    for folder in {path.parent for path in stale}:
        if not any(folder.iterdir()):
            folder.rmdir()


def _is_page(path: Path, html: Path) -> bool:
    """The theme keeps templates among its own files, which are no pages."""
    return "_static" not in path.relative_to(html).parts


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
