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
from typing import Any, NamedTuple

from labkit.course.moved import ids_since

Notebook = dict[str, Any]
CHECK = re.compile(r"""\s*check\(\s*["']([\d.a-z]+-\d+)["'](?:\s*,\s*(\w+))?""")


class ReadingError(ValueError):
    """A lesson or an exercise that does not exist, or a notebook that cannot be read."""


class Exercise(NamedTuple):
    """An exercise of a notebook: its id, the function or class that it asks for, and the places of
    the cell to be written and of the cell that checks it.
    """

    id: str
    called: str
    stub: int
    check: int


class Answer(NamedTuple):
    """What a reader has written for an exercise."""

    id: str
    called: str
    source: str

    def belongs_to(self, exercise: Exercise) -> bool:
        """Whether this answers that exercise, under the id it had or one that it got since. The
        name decides, because a new exercise may have the id of one that is gone.
        """
        return self.called == exercise.called and exercise.id in ids_since(self.id)


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
        said += [
            f"{name} is no lesson any more; `make update` takes your answers to where they belong"
            for name in self._gone()
            if "solutions" not in Path(name).parts
        ]
        return said

    def update(self, parts: Sequence[str] = ()) -> list[str]:
        """Take the newer version of the lessons named, or of all, with the reader's answers in.

        An answer follows its exercise into another lesson, and is recognised there by the name of
        its function or class. An answer to an exercise that is gone is left in `backups/`."""
        changed = [name for name in self._chosen(parts) if self._has_moved_on(name)]
        places = self._places()
        placed: dict[str, list[tuple[Exercise, Answer]]] = {name: [] for name in changed}
        said = []
        for answer in [answer for name in changed for answer in self._answers(name)]:
            found = [place for place in places if answer.belongs_to(place[1])]
            if found and self._is_free(*found[0], answer):
                name, exercise = found[0]
                placed.setdefault(name, []).append((exercise, answer))
            else:
                why = (
                    f"{found[0][1].id} has another answer of yours"
                    if found
                    else "there is no such exercise any more"
                )
                said.append(
                    f"your answer to {answer.id}, {answer.called}, is now in "
                    f"{self._set_aside(answer)}: {why}"
                )
        for name, answers in placed.items():
            said += self._renewed(name, answers)
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
        if exercise and exercise not in {each.id for each in exercises(original)}:
            known = ", ".join(each.id for each in exercises(original)) or "none"
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
        return _notebooks(self.originals)

    def _gone(self) -> list[str]:
        """The lessons that the reader has a copy of, and the course has no more."""
        names = set(self._names())
        copied = _notebooks(self.copied_from)
        return [name for name in copied if name not in names and (self.copies / name).exists()]

    def _has_moved_on(self, name: str) -> bool:
        """Whether the original is not what the reader's copy was made from."""
        original, base = self.originals / name, self.copied_from / name
        if not (self.copies / name).exists() or not original.exists() or not base.exists():
            return True
        return base.read_bytes() != original.read_bytes()

    def _places(self) -> list[tuple[str, Exercise]]:
        """Every exercise of the course with the lesson it is in."""
        lessons = [name for name in self._names() if "solutions" not in Path(name).parts]
        return [
            (name, exercise)
            for name in lessons
            for exercise in exercises(_read(self.originals / name))
        ]

    def _answers(self, name: str) -> list[Answer]:
        """What the reader has written in the copy of a lesson."""
        copy, base = self.copies / name, self.copied_from / name
        if "solutions" in Path(name).parts or not copy.exists() or not base.exists():
            return []
        return written(_read(copy), _read(base))

    def _is_free(self, name: str, exercise: Exercise, answer: Answer) -> bool:
        """Whether the reader has no other answer at this place."""
        return all(
            other == answer or (other.id, other.called) != (exercise.id, exercise.called)
            for other in self._answers(name)
        )

    def _renewed(self, name: str, placed: Sequence[tuple[Exercise, Answer]]) -> list[str]:
        """Make a lesson its newest version with these answers in, and say so."""
        copy = self.copies / name
        had_one, moved_on = copy.exists(), self._has_moved_on(name)
        saved = self._back_up(name) if had_one else ""
        if not (self.originals / name).exists():
            copy.unlink()
            (self.copied_from / name).unlink()
            return [f"{name} is no lesson any more; what you had is {saved}"]
        if moved_on:
            self._take(name)
        if placed:
            _write(copy, with_answers(_read(copy), placed))
        if not had_one and not placed:
            return []
        kept = ", ".join(
            answer.id if answer.id == exercise.id else f"{answer.id} (now {exercise.id})"
            for exercise, answer in placed
        )
        answers = f"your answers to {kept} are in it" if kept else "no answer to keep"
        old = f"; the old one is {saved}" if saved else ""
        version = "the newer version" if moved_on else "the version that you had"
        return [f"{name} is {version}; {answers}{old}"]

    def _set_aside(self, answer: Answer) -> str:
        """Leave an answer that has no place any more in a file of its own; its name."""
        folder = self.copies / "backups"
        folder.mkdir(parents=True, exist_ok=True)
        stem, number = f"{answer.id}_{answer.called}".replace(".", "_"), 1
        while (folder / f"{stem}_{number}.py").exists():
            number += 1
        saved = folder / f"{stem}_{number}.py"
        saved.write_text(answer.source + "\n", encoding="utf-8")
        return f"{self.copies.name}/backups/{saved.name}"

    def _chosen(self, parts: Sequence[str]) -> list[str]:
        wanted = [part.replace(".", "_") for part in parts]
        names = [*self._names(), *self._gone()]
        chosen = [name for name in names if not wanted or any(p in name for p in wanted)]
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


def exercises(notebook: Notebook) -> Iterator[Exercise]:
    """The exercises of a notebook, in order.

    The cell to be written is the code cell before the one that checks it."""
    before = None
    for place, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        checked = CHECK.match(_source(cell))
        if checked and before is not None and not CHECK.match(_source(notebook["cells"][before])):
            yield Exercise(checked[1], checked[2] or "", before, place)
        before = place


def written(mine: Notebook, base: Notebook) -> list[Answer]:
    """The answers in a reader's notebook: cells to be written that differ from what they were when
    the lesson was copied.
    """
    stubs = {each.id: _source(base["cells"][each.stub]) for each in exercises(base)}
    found = [
        Answer(each.id, each.called, _source(mine["cells"][each.stub])) for each in exercises(mine)
    ]
    return [answer for answer in found if answer.source != stubs.get(answer.id)]


def with_stub(mine: Notebook, original: Notebook, exercise: str) -> Notebook:
    """The reader's notebook with one exercise as the original has it, its outputs included."""
    stub, check = next((it.stub, it.check) for it in exercises(original) if it.id == exercise)
    new = {cell.get("id"): cell for cell in (original["cells"][stub], original["cells"][check])}
    cells = [new.pop(cell.get("id"), cell) for cell in mine["cells"]]
    return {
        **mine,
        "cells": [*cells, *new.values()],
    }  # what the reader had deleted comes at the end


def with_answers(new: Notebook, placed: Sequence[tuple[Exercise, Answer]]) -> Notebook:
    """The new notebook with each answer in the cell of its exercise."""
    cells = list(new["cells"])
    for exercise, answer in placed:
        blank: Mapping[str, Any] = {"outputs": [], "execution_count": None}
        lines = answer.source.splitlines(keepends=True)
        cells[exercise.stub] = {**cells[exercise.stub], **blank, "source": lines}
    return {**new, "cells": cells}


def _notebooks(folder: Path) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*.ipynb"))
    return sorted(path.as_posix() for path in found if ".ipynb_checkpoints" not in path.parts)


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
