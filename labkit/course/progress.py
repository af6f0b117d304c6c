"""What this reader has passed, in a file that git ignores: `.labkit/progress.json` beside the
notebooks.

`LABKIT_PROGRESS` names another file, or none at all when it is empty. Without it nothing is written
under pytest or in CI, and no output depends on the file but that of `python -m labkit.course
progress`. Guarantees: the file is replaced whole or not at all; one that cannot be read is said so
and set aside, never a crash. Leaves out: two kernels that finish an exercise in the same
millisecond; the later one wins."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import labkit


@dataclass(frozen=True)
class Entry:
    """How one exercise stands."""

    passed: bool
    tries: int


@dataclass(frozen=True)
class Progress:
    """Every exercise tried, by id, and a sentence on what is wrong with the file, if anything is."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    trouble: str = ""


def root() -> Path:
    """The folder that holds `notebooks`: the checkout labkit is installed from, else the current
    folder.
    """
    checkout = Path(labkit.__file__).resolve().parents[1]
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def location(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where progress is kept."""
    named = environ.get("LABKIT_PROGRESS")
    if named is not None:
        return Path(named) if named else None
    return root() / ".labkit" / "progress.json"


def writes(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a check is to be kept here: not under pytest (nbval), not in CI, unless a file is
    named.
    """
    if "LABKIT_PROGRESS" in environ:
        return bool(environ["LABKIT_PROGRESS"])
    return not any(environ.get(name) for name in ("CI", "PYTEST_VERSION", "PYTEST_CURRENT_TEST"))


def load(path: Path | None) -> Progress:
    """What the file says; nothing when there is none."""
    try:
        text = path.read_text(encoding="utf-8") if path else None
    except FileNotFoundError:
        return Progress()
    except (OSError, UnicodeDecodeError) as error:
        return Progress(trouble=f"progress.json cannot be read ({type(error).__name__})")
    try:
        found = json.loads(text)["exercises"] if text is not None else {}
        return Progress(
            {
                str(id): Entry(bool(entry["passed"]), int(entry["tries"]))
                for id, entry in found.items()
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Progress(trouble="progress.json is not what labkit writes")


def record(id: str, *, passed: bool, environ: Mapping[str, str] = os.environ) -> str:
    """Keep the outcome of a check. Returns a sentence when something is wrong with the file, else
    nothing.
    """
    path = location(environ)
    if path is None or not writes(environ):
        return ""
    before = load(path)
    trouble = before.trouble
    old = before.entries.get(id, Entry(False, 0))
    entries = {**before.entries, id: Entry(old.passed or passed, old.tries + 1)}
    try:
        if trouble:
            path.replace(path.with_suffix(".unreadable"))
            trouble += "; it was set aside as progress.unreadable and a new one begun"
        _write(path, entries)
    except OSError as error:
        trouble = f"progress could not be kept ({type(error).__name__})"
    return trouble


def _write(path: Path, entries: Mapping[str, Entry]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "exercises": {
            id: {"passed": entry.passed, "tries": entry.tries}
            for id, entry in sorted(entries.items())
        }
    }
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, suffix=".new", delete=False
    ) as new:
        json.dump(body, new, indent=1)
    try:
        os.replace(new.name, path)
    except OSError:
        os.unlink(new.name)
        raise
