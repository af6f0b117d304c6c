"""What holds for every run of pytest, of the tests and of nbval.

Figures are byte-stable on one version of matplotlib: elsewhere nbval leaves the SVG out, also the
one in an `<img>`, and compares the alternative texts and the tables beside it. A PNG shows measured
times and is never compared. And what is started under `nohup`, or in the background of a script,
ignores signals that the tests are about: here it no longer does."""

from __future__ import annotations

import platform
import re
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

pytest_plugins = ["tests.support.depth", "tests.support.cost", "tests.support.keeping"]
LOCK = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8")


def figures_are_pinned(system: str, machine: str, matplotlib: str) -> bool:
    """Whether the committed SVG must come out again to the byte: on Linux x86-64, with the locked
    matplotlib.
    """
    locked = re.search(r"^matplotlib==(\S+)", LOCK, re.M)
    return (
        system == "linux" and machine == "x86_64" and locked is not None and locked[1] == matplotlib
    )


def pytest_configure() -> None:
    for name, usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collectstart(collector: Any) -> None:
    if not hasattr(collector, "skip_compare"):
        return
    collector.sanitize_patterns[pixels_of("image/png")] = r"\1"
    if not figures_are_pinned(sys.platform, platform.machine(), version("matplotlib")):
        collector.skip_compare += ("image/svg+xml",)
        collector.sanitize_patterns[pixels_of("image/svg+xml")] = r"\1"


def pixels_of(kind: str) -> str:
    """A pattern for an `<img>` with a picture of this kind; group 1 is all but the picture, and so
    has the alternative text.
    """
    return rf'(<img [^>]*src="data:{re.escape(kind)};base64,)[^"]*'
