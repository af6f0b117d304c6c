"""What this reader has passed, in a file that git ignores: `.labkit/progress.json` beside the
notebooks.

`LABKIT_PROGRESS` names another file, or none at all when it is empty. Without it nothing is read or
written under pytest or in CI, so that no stored output depends on the reader. Guarantees: the file
is replaced whole or not at all; one that cannot be read is reported and set aside, never a crash;
what was passed under an old id counts under its new one (`labkit.course.moved`). Leaves out: two
kernels that finish an exercise in the same millisecond; the later one wins."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import labkit
from labkit.course.moved import MOVES


@dataclass(frozen=True)
class ExerciseRecord:
    """How one exercise, or one question of a self-test, stands."""

    passed: bool
    tries: int


@dataclass(frozen=True)
class Progress:
    """Every exercise and every question that was tried, by id ("1.1a-2", "1.1a-q3"), and a sentence
    on what is wrong with the file, if anything is.
    """

    entries: Mapping[str, ExerciseRecord] = field(default_factory=dict)
    trouble: str = ""

    def passed(self, id: str) -> bool:
        """Whether this exercise or question was passed once."""
        return id in self.entries and self.entries[id].passed


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


def is_kept(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process keeps progress: not under pytest (nbval), not in CI, unless a file is
    named.
    """
    if "LABKIT_PROGRESS" in environ:
        return bool(environ["LABKIT_PROGRESS"])
    return not any(environ.get(name) for name in ("CI", "PYTEST_VERSION", "PYTEST_CURRENT_TEST"))


def load(path: Path | None, moves: Sequence[Mapping[str, str | None]] | None = None) -> Progress:
    """What the file says, under the ids of today; nothing when there is none."""
    try:
        text = path.read_text(encoding="utf-8") if path else None
    except FileNotFoundError:
        return Progress()
    except (OSError, UnicodeDecodeError) as error:
        return Progress(trouble=f"progress.json cannot be read ({type(error).__name__})")
    if text is None:
        return Progress()
    try:
        body = json.loads(text)
        records = {str(id): _record(entry) for id, entry in body["exercises"].items()}
        moved_until = int(body.get("moves", 0))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Progress(trouble="progress.json is not what labkit writes")
    tables = MOVES if moves is None else moves
    for table in tables[moved_until:]:
        records = _moved(records, table)
    return Progress(records)


def _record(entry: Mapping[str, Any]) -> ExerciseRecord:
    return ExerciseRecord(bool(entry["passed"]), int(entry["tries"]))


def _moved(
    records: Mapping[str, ExerciseRecord], table: Mapping[str, str | None]
) -> dict[str, ExerciseRecord]:
    """The records under their new ids, without those of exercises that are gone. Two that become
    one are passed if either was, with the tries of both.
    """
    found: dict[str, ExerciseRecord] = {}
    for id, old in records.items():
        now = table.get(id, id)
        if now is None:
            continue
        before = found.get(now, ExerciseRecord(False, 0))
        found[now] = ExerciseRecord(before.passed or old.passed, before.tries + old.tries)
    return found


def record(id: str, *, passed: bool, environ: Mapping[str, str] = os.environ) -> str:
    """Keep the outcome of a check or of an answer. Returns a sentence when something is wrong with
    the file, else nothing.
    """
    path = location(environ)
    if path is None or not is_kept(environ):
        return ""
    before = load(path)
    trouble = before.trouble
    old = before.entries.get(id, ExerciseRecord(False, 0))
    entries = {**before.entries, id: ExerciseRecord(old.passed or passed, old.tries + 1)}
    try:
        if trouble:
            path.replace(path.with_suffix(".unreadable"))
            trouble += "; it was set aside as progress.unreadable and a new one begun"
        _write(path, entries)
    except OSError as error:
        trouble = f"progress could not be kept ({type(error).__name__})"
    return trouble


def _write(path: Path, entries: Mapping[str, ExerciseRecord]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "moves": len(MOVES),
        "exercises": {
            id: {"passed": entry.passed, "tries": entry.tries}
            for id, entry in sorted(entries.items())
        },
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
