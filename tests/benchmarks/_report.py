"""How a benchmark reports: a table on the screen, and the same rows with the facts of the machine
in data/results/NAME.json.

A measured time means nothing without the machine it was measured on, so the two are written
together. No host name, no user, no path is recorded."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "data" / "results"
Row = Mapping[str, str | int | float]


def machine(packages: Sequence[str] = ()) -> dict[str, object]:
    """What the figures depend on: processor, number of cores, platform, Python, and the versions of
    these packages.
    """
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version(name) for name in packages},
    }


def report(name: str, rows: Sequence[Row], *, packages: Sequence[str] = (), note: str = "") -> Path:
    """Print `rows` (the same columns in each) as a table, write them to data/results/`name`.json,
    return that path.
    """
    content = {
        "benchmark": name,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "note": note,
        "machine": machine(packages),
        "rows": rows,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print("\n".join([name, table(rows), *([note] if note else [])]))
    return path


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text, figures to the right."""
    head = list(rows[0])
    cells = [head, *([_text(row[column]) for column in head] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    figures = [not isinstance(rows[0][column], str) for column in head]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, figures, strict=True)
        ).rstrip()
        for line in cells
    )


def _text(value: str | int | float) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, float)
        else f"{value}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"
