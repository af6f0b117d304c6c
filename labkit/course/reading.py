"""The reader's own copy of the lessons: what `make lab` opens.

Reading a notebook writes outputs and answers into it. So lessons are read in the folder `reading/`,
which git ignores, and the originals in `notebooks/` stay as they were. The copy stands beside the
originals and is arranged like them, so every relative link opens what it names from there too.

Guarantees: what a reader has written is never overwritten without a backup, which is left in
`reading/backups/`. A lesson that the reader has not touched follows its original. Leaves out:
moving cells that the reader added to the newer lesson; they stay in the backup."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]
CHECK = re.compile(r"""\s*check\(\s*["']([\d.a-z]+-\d+)["']""")


class ReadingError(ValueError):
    """A lesson or an exercise that does not exist, or a notebook that cannot be read."""


@dataclass(frozen=True)
class Reading:
    """The originals, the reader's copies, and the originals as they were when they were copied."""

    originals: Path
    copies: Path
    copied_from: Path

    @classmethod
    def of(cls, root: Path) -> Reading:
        """The three folders of a checkout."""
        return cls(root / "notebooks", root / "reading", root / ".labkit" / "originals")

    def prepare(self) -> list[str]:
        """Copy every lesson that has no copy yet, and say which originals have moved on since."""
        said = []
        for name in self._names():
            copy, original = self.copies / name, self.originals / name
            base = self.copied_from / name
            if not copy.exists():
                self._take(name)
            elif not base.exists() or base.read_bytes() == original.read_bytes():
                continue
            elif copy.read_bytes() == base.read_bytes():
                self._take(name)
                said.append(
                    f"{name} has a newer version, and you have it: you had not changed yours"
                )
            elif "solutions" not in Path(name).parts:
                said.append(
                    f"{name} has a newer version; `make update ONLY={Path(name).stem}` takes it "
                    "and keeps your answers"
                )
        return said

    def update(self, parts: Sequence[str] = ()) -> list[str]:
        """Take the newer version of the lessons named, or of all, with the reader's answers in."""
        said = []
        for name in self._chosen(parts):
            copy, original = self.copies / name, self.originals / name
            base = self.copied_from / name
            if copy.exists() and base.exists() and base.read_bytes() == original.read_bytes():
                continue
            if not copy.exists() or not base.exists():
                self._take(name)
                continue
            new, kept = with_answers(_read(original), _read(copy), _read(base))
            saved = self._back_up(name)
            self._take(name)
            _write(copy, new)
            answers = (
                f"your answers to {', '.join(kept)} are in it" if kept else "no answer to keep"
            )
            said.append(f"{name} is the newer version; {answers}; the old one is {saved}")
        return said or ["every lesson is the newest version"]

    def reset(self, part: str) -> list[str]:
        """Bring an exercise ("1.1a-2") or a whole lesson ("1.1a", "1_1a") back to the original."""
        exercise = part if "-" in part else ""
        lesson = exercise.rpartition("-")[0] or part
        names = [
            name
            for name in self._names()
            if Path(name).parent == Path() and Path(name).stem.startswith(lesson.replace(".", "_"))
        ]
        if len(names) != 1:
            known = ", ".join(Path(name).stem for name in self._names() if "/" not in name)
            raise ReadingError(f"a lesson or exercise of one of {known} is needed, got {part!r}")
        (name,) = names
        original = _read(self.originals / name)
        if exercise and exercise not in {id for id, _, _ in exercises(original)}:
            known = ", ".join(id for id, _, _ in exercises(original)) or "none"
            raise ReadingError(f"{name} has no exercise {exercise!r}; it has {known}")
        if not (self.copies / name).exists():
            self._take(name)
            return [f"{name} is as it was"]
        saved = self._back_up(name)
        if exercise:
            _write(self.copies / name, with_stub(_read(self.copies / name), original, exercise))
        else:
            self._take(name)
        what = f"exercise {exercise} of {name}" if exercise else name
        return [
            f"{what} is as it was; what you had is {saved}",
            "if it is open in JupyterLab, choose File > Reload Notebook from Disk",
        ]

    def _names(self) -> list[str]:
        """Every original's path below the folder of originals, in order."""
        found = (path.relative_to(self.originals) for path in self.originals.rglob("*.ipynb"))
        return sorted(path.as_posix() for path in found if ".ipynb_checkpoints" not in path.parts)

    def _chosen(self, parts: Sequence[str]) -> list[str]:
        wanted = [part.replace(".", "_") for part in parts]
        chosen = [name for name in self._names() if not wanted or any(p in name for p in wanted)]
        if not chosen:
            raise ReadingError(f"no lesson has {' or '.join(parts)} in its name")
        return chosen

    def _take(self, name: str) -> None:
        for folder in (self.copies, self.copied_from):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            new = (folder / name).with_suffix(".new")
            shutil.copyfile(self.originals / name, new)
            new.replace(folder / name)

    def _back_up(self, name: str) -> str:
        folder = self.copies / "backups"
        folder.mkdir(parents=True, exist_ok=True)
        stem, number = Path(name).stem, 1
        while (folder / f"{stem}_{number}.ipynb").exists():
            number += 1
        saved = folder / f"{stem}_{number}.ipynb"
        shutil.copyfile(self.copies / name, saved)
        return f"{self.copies.name}/backups/{saved.name}"


def exercises(notebook: Notebook) -> Iterator[tuple[str, int, int]]:
    """Each exercise of a notebook: its id, the place of the cell to be written, and of its check.

    The cell to be written is the code cell before the one that checks it."""
    before = None
    for place, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        checked = CHECK.match(_source(cell))
        if checked and before is not None and not CHECK.match(_source(notebook["cells"][before])):
            yield checked[1], before, place
        before = place


def with_stub(mine: Notebook, original: Notebook, exercise: str) -> Notebook:
    """The reader's notebook with one exercise as the original has it, its outputs included."""
    stub, check = next((stub, check) for id, stub, check in exercises(original) if id == exercise)
    new = {cell.get("id"): cell for cell in (original["cells"][stub], original["cells"][check])}
    cells = [new.pop(cell.get("id"), cell) for cell in mine["cells"]]
    return {
        **mine,
        "cells": [*cells, *new.values()],
    }  # what the reader had deleted comes at the end


def with_answers(new: Notebook, mine: Notebook, base: Notebook) -> tuple[Notebook, list[str]]:
    """The new notebook with the reader's answers, and the exercises that they answer.

    An answer is a cell to be written that differs from what it was when the lesson was copied."""
    stubs = {id: _source(base["cells"][stub]) for id, stub, _ in exercises(base)}
    written = {id: _source(mine["cells"][stub]) for id, stub, _ in exercises(mine)}
    cells, kept = list(new["cells"]), []
    for id, stub, _ in exercises(new):
        if id in written and written[id] != stubs.get(id):
            blank: Mapping[str, Any] = {"outputs": [], "execution_count": None}
            lines = written[id].splitlines(keepends=True)
            cells[stub] = {**cells[stub], **blank, "source": lines}
            kept.append(id)
    return {**new, "cells": cells}, kept


def _source(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])


def _read(path: Path) -> Notebook:
    try:
        notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
        list(notebook["cells"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadingError(f"{path.name} cannot be read as a notebook: {error}") from error
    return notebook


def _write(path: Path, notebook: Notebook) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)
