"""The reader's copy: made once, never overwritten without a backup, brought up to date with the
reader's answers, and reset.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labkit.course import __main__ as command_line
from labkit.course.moved import ids_since
from labkit.course.reading import Exercise, Reading, ReadingError, exercises

STUB = "async def increment(redis):\n    raise NotImplementedError"
ANSWER = "async def increment(redis):\n    await redis.incr('counter')"


def cell(id: str, source: str, kind: str = "code") -> dict[str, Any]:
    code = {"outputs": [], "execution_count": 1} if kind == "code" else {}
    lines = source.splitlines(keepends=True)
    return {"cell_type": kind, "id": id, "metadata": {}, "source": lines, **code}


def lesson(
    title: str = "# 1.1a", stub: str = STUB, number: str = "1.1a-1", asks: str = "increment"
) -> str:
    cells = [
        cell("title", title, "markdown"),
        cell("demo", f"def demo(): ...\n\n\ncheck('{number}', demo)"),
        cell("between", "text", "markdown"),
        cell("stub", stub),
        cell("check", f'check("{number}", {asks})'),
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    made = Reading.of(tmp_path)
    (made.originals / "solutions").mkdir(parents=True)
    (made.originals / "1_1a_locks.ipynb").write_text(lesson())
    (made.originals / "1_1b_more.ipynb").write_text(lesson("# 1.1b", number="1.1b-1"))
    (made.originals / "solutions" / "1_1a_locks_solutions.ipynb").write_text(lesson("# Solved"))
    return made


def source(path: Path, id: str) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join(next(each["source"] for each in cells if each["id"] == id))


def write(reading: Reading, id: str, text: str) -> Path:
    """What a reader does: write into a cell of the copy."""
    copy = reading.copies / "1_1a_locks.ipynb"
    body = json.loads(copy.read_text())
    next(each for each in body["cells"] if each["id"] == id)["source"] = text.splitlines(True)
    copy.write_text(json.dumps(body))
    return copy


def test_every_lesson_is_copied_once_and_then_left_alone(reading: Reading) -> None:
    assert reading.prepare() == []
    assert sorted(path.name for path in reading.copies.rglob("*.ipynb")) == [
        "1_1a_locks.ipynb",
        "1_1a_locks_solutions.ipynb",
        "1_1b_more.ipynb",
    ]
    copy = write(reading, "stub", ANSWER)
    assert reading.prepare() == []
    assert source(copy, "stub") == ANSWER


def test_a_lesson_that_moved_on_is_said_and_left_alone(reading: Reading) -> None:
    reading.prepare()
    copy = write(reading, "stub", ANSWER)
    (reading.originals / "1_1a_locks.ipynb").write_text(lesson("# 1.1a, second edition"))
    (said,) = reading.prepare()
    assert "1_1a_locks.ipynb has a newer version; `make update ONLY=1_1a_locks`" in said
    assert source(copy, "title") == "# 1.1a"
    assert reading.prepare() == [said]


def test_a_lesson_that_was_not_touched_follows_its_original(reading: Reading) -> None:
    reading.prepare()
    (reading.originals / "1_1a_locks.ipynb").write_text(lesson("# 1.1a, second edition"))
    (said,) = reading.prepare()
    assert "you had not changed yours" in said
    assert source(reading.copies / "1_1a_locks.ipynb", "title") == "# 1.1a, second edition"
    assert reading.prepare() == []


def test_an_update_keeps_the_answers_and_a_backup(reading: Reading) -> None:
    reading.prepare()
    copy = write(reading, "stub", ANSWER)
    (reading.originals / "1_1a_locks.ipynb").write_text(lesson("# New", STUB + "  # anew"))
    (said,) = reading.update(["1.1a"])
    assert "your answers to 1.1a-1 are in it; the old one is reading/backups/1_1a_locks_1" in said
    assert (source(copy, "title"), source(copy, "stub")) == ("# New", ANSWER)
    assert source(reading.copies / "backups" / "1_1a_locks_1.ipynb", "title") == "# 1.1a"
    assert reading.update() == ["every lesson is the newest version"]
    assert reading.prepare() == []


def test_an_update_takes_the_new_stub_where_nothing_was_written(reading: Reading) -> None:
    reading.prepare()
    copy = write(reading, "title", "# my notes")
    (reading.originals / "1_1a_locks.ipynb").write_text(lesson("# New", STUB + "  # anew"))
    (said,) = reading.update()
    assert "no answer to keep" in said
    assert source(copy, "stub") == STUB + "  # anew"


def test_an_answer_to_an_exercise_that_is_gone_is_set_aside_and_not_put_into_another(
    reading: Reading,
) -> None:
    """1.1a-2 asked for a store once, and then for an order: the id alone decides nothing."""
    old, new = "class MyStore:\n    ...", "async def place_order(): ..."
    path = reading.originals / "1_1a_locks.ipynb"
    path.write_text(lesson("# Old", old, "1.1a-2", "MyStore"))
    reading.prepare()
    copy = write(reading, "stub", "class MyStore:\n    token = 1")
    path.write_text(lesson("# New", new, "1.1a-2", "place_order"))
    aside, said = reading.update()
    assert source(copy, "stub") == new
    assert "no answer to keep; the old one is reading/backups/1_1a_locks_1.ipynb" in said
    assert aside == (
        "your answer to 1.1a-2, MyStore, is now in reading/backups/1_1a-2_MyStore_1.py: "
        "there is no such exercise any more"
    )
    kept = reading.copies / "backups" / "1_1a-2_MyStore_1.py"
    assert kept.read_text() == "class MyStore:\n    token = 1\n"


def renumbered(reading: Reading) -> None:
    """What became of chapter 1.1: "1.1a-3" is "1.1b-1" now, and the old 1.1b is 1.1c."""
    old = reading.originals / "1_1b_more.ipynb"
    old.write_text(lesson("# Reservations", "def confirm(): ...", "1.1b-1", "confirm"))
    three = lesson("# Locks", "def hold_cart(): ...", "1.1a-3", "hold_cart")
    (reading.originals / "1_1a_locks.ipynb").write_text(three)
    reading.prepare()
    write(reading, "stub", "def hold_cart(): return 3")
    copy = reading.copies / "1_1b_more.ipynb"
    copy.write_text(copy.read_text().replace("confirm(): ...", "confirm(): return 1"))
    old.unlink()
    (reading.originals / "1_1a_locks.ipynb").write_text(lesson("# Locks"))
    for name, number, asks in (("b", "1.1b-1", "hold_cart"), ("c", "1.1c-1", "confirm")):
        new = lesson(f"# 1.1{name}", f"def {asks}(): ...", number, asks)
        (reading.originals / f"1_1{name}_new.ipynb").write_text(new)


@pytest.mark.parametrize("opened_before", [True, False])
def test_an_answer_follows_its_exercise_into_another_lesson(
    reading: Reading, opened_before: bool
) -> None:
    renumbered(reading)
    if opened_before:
        gone = "1_1b_more.ipynb is no lesson any more; `make update` takes your answers"
        assert any(sentence.startswith(gone) for sentence in reading.prepare())
    said = "\n".join(reading.update())
    assert source(reading.copies / "1_1b_new.ipynb", "stub") == "def hold_cart(): return 3"
    assert source(reading.copies / "1_1c_new.ipynb", "stub") == "def confirm(): return 1"
    assert "1.1a-3 (now 1.1b-1)" in said and "1.1b-1 (now 1.1c-1)" in said
    assert not (reading.copies / "1_1b_more.ipynb").exists()
    assert (reading.copies / "backups" / "1_1b_more_1.ipynb").exists()
    assert reading.update() == ["every lesson is the newest version"]
    assert reading.prepare() == []


def test_updating_one_lesson_takes_along_where_its_answers_went(reading: Reading) -> None:
    renumbered(reading)
    reading.prepare()
    said = "\n".join(reading.update(["1_1a_locks"]))
    assert source(reading.copies / "1_1b_new.ipynb", "stub") == "def hold_cart(): return 3"
    assert source(reading.copies / "1_1c_new.ipynb", "stub") == "def confirm(): ..."
    assert "1_1b_new.ipynb is the version that you had; your answers to 1.1a-3 (now" in said


def test_an_answer_does_not_replace_one_that_is_there(reading: Reading) -> None:
    renumbered(reading)
    reading.prepare()
    copy = reading.copies / "1_1b_new.ipynb"
    copy.write_text(copy.read_text().replace("hold_cart(): ...", "hold_cart(): return 4"))
    said = "\n".join(reading.update())
    assert source(copy, "stub") == "def hold_cart(): return 4"
    assert "1_1a-3_hold_cart_1.py: 1.1b-1 has another answer of yours" in said


def test_an_id_is_followed_through_every_table_from_the_one_that_knew_it() -> None:
    assert ids_since("1.1a-1") == ["1.1a-1"]
    assert ids_since("1.1a-2") == ["1.1a-2"]  # its successor has the same id and is another
    assert ids_since("1.1b-1") == ["1.1b-1", "1.1c-1"]


def test_an_exercise_is_reset_alone(reading: Reading) -> None:
    reading.prepare()
    write(reading, "title", "# my notes")
    copy = write(reading, "stub", ANSWER)
    assert "exercise 1.1a-1 of 1_1a_locks.ipynb is as it was" in reading.reset("1.1a-1")[0]
    assert (source(copy, "title"), source(copy, "stub")) == ("# my notes", STUB)
    assert source(reading.copies / "backups" / "1_1a_locks_1.ipynb", "stub") == ANSWER


def test_an_exercise_whose_cell_is_gone_comes_back_at_the_end(reading: Reading) -> None:
    reading.prepare()
    copy = reading.copies / "1_1a_locks.ipynb"
    body = json.loads(copy.read_text())
    body["cells"] = body["cells"][:2]
    copy.write_text(json.dumps(body))
    reading.reset("1.1a-1")
    assert [each["id"] for each in json.loads(copy.read_text())["cells"]][2:] == ["stub", "check"]


@pytest.mark.parametrize("part", ["1_1a", "1.1a", "1_1a_locks"])
def test_a_lesson_is_reset_whole(reading: Reading, part: str) -> None:
    reading.prepare()
    copy = write(reading, "title", "# my notes")
    reading.reset(part)
    assert copy.read_bytes() == (reading.originals / "1_1a_locks.ipynb").read_bytes()
    reading.reset(part)
    assert len(list((reading.copies / "backups").iterdir())) == 2


@pytest.mark.parametrize(
    ("part", "says"),
    [("9_9", "one of 1_1a_locks, 1_1b_more"), ("1_1", "got '1_1'"), ("1.1a-7", "it has 1.1a-1")],
)
def test_what_does_not_exist_cannot_be_reset(reading: Reading, part: str, says: str) -> None:
    reading.prepare()
    with pytest.raises(ReadingError, match=says):
        reading.reset(part)


def test_a_copy_that_is_no_notebook_is_said(reading: Reading) -> None:
    reading.prepare()
    (reading.copies / "1_1a_locks.ipynb").write_text("{")
    with pytest.raises(ReadingError, match="cannot be read as a notebook"):
        reading.reset("1.1a-1")
    reading.reset("1.1a")
    assert source(reading.copies / "1_1a_locks.ipynb", "stub") == STUB


def test_a_demonstration_is_not_the_exercise() -> None:
    assert list(exercises(json.loads(lesson()))) == [Exercise("1.1a-1", "increment", 3, 4)]


def test_the_commands_say_what_they_did(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "root", lambda: reading.originals.parent)
    assert command_line.main(["prepare"]) == 0
    assert command_line.main(["reset", "1.1a-1"]) == 0
    assert command_line.main(["update"]) == 0
    assert "labkit: every lesson is the newest version" in capsys.readouterr().out
    assert command_line.main(["update", "9_9"]) == 2
    assert capsys.readouterr().err == "labkit: no lesson has 9_9 in its name\n"
