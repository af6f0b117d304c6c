"""Progress is kept beside the notebooks, never in a test, and a broken file is never a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.check import Verdict
from labkit.course import __main__ as command_line
from labkit.course import judge, moved, progress, show_progress
from labkit.course.judge import judges
from labkit.course.lessons import Lesson, lessons, map_of
from labkit.course.progress import ExerciseRecord, Progress
from labkit.course.selftest import self_test


def notebook(folder: Path, name: str, first: str) -> None:
    cell = {"cell_type": "markdown", "metadata": {}, "source": first.splitlines(keepends=True)}
    (folder / name).write_text(
        json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )


def test_a_pass_stays_a_pass_and_every_try_is_counted(tmp_path: Path) -> None:
    environ = {"LABKIT_PROGRESS": str(tmp_path / "p.json")}
    for passed in (False, True, False):
        assert progress.record("1.1a-1", passed=passed, environ=environ) == ""
    assert progress.load(tmp_path / "p.json") == Progress({"1.1a-1": ExerciseRecord(True, 3)})
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    "environ", [{"CI": "true"}, {"PYTEST_VERSION": "9.2.0"}, {"LABKIT_PROGRESS": ""}]
)
def test_nothing_is_written_in_ci_under_nbval_or_when_switched_off(environ: dict[str, str]) -> None:
    assert not progress.is_kept(environ)
    assert progress.is_kept(
        {"LABKIT_PROGRESS": "somewhere", **{k: v for k, v in environ.items() if v}}
    )


def test_without_a_named_file_it_is_in_the_ignored_folder_of_the_checkout() -> None:
    assert progress.location({}) == progress.root() / ".labkit" / "progress.json"
    assert progress.location({"LABKIT_PROGRESS": ""}) is None
    assert progress.load(None) == Progress()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"exercises": 3}', '{"exercises": {"a": 1}}', '{"exercises": {"a": {}}}'],
)
def test_a_file_that_is_not_ours_is_set_aside_and_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(text)
    assert "not what labkit writes" in progress.load(path).trouble
    assert "set aside" in progress.record(
        "1.1a-1", passed=True, environ={"LABKIT_PROGRESS": str(path)}
    )
    assert progress.load(path) == Progress({"1.1a-1": ExerciseRecord(True, 1)})
    assert (tmp_path / "progress.unreadable").read_text() == text


def test_bytes_that_are_no_text_are_said_and_a_folder_in_the_way_is_no_crash(
    tmp_path: Path,
) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in progress.load(tmp_path / "bytes.json").trouble
    (tmp_path / "file").write_text("")
    environ = {"LABKIT_PROGRESS": str(tmp_path / "file" / "progress.json")}
    assert "could not be kept" in progress.record("1.1a-1", passed=True, environ=environ)


def test_a_crash_in_the_middle_of_writing_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.json"
    environ = {"LABKIT_PROGRESS": str(path)}
    progress.record("1.1a-1", passed=True, environ=environ)
    before = path.read_text()

    def fails(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    assert "could not be kept" in progress.record("1.1a-2", passed=True, environ=environ)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.json"]


def test_lessons_name_themselves_in_their_first_cell(tmp_path: Path) -> None:
    notebook(tmp_path, "00_start_here.ipynb", "# Start here\n\n20 minutes.")
    notebook(tmp_path, "1_1a_locks.ipynb", "# 1.1a CAP in practice\n\nIt takes 60 min.")
    (tmp_path / "2_1_broken.ipynb").write_text("{")
    assert lessons(tmp_path) == [
        Lesson("00", "Start here", 20),
        Lesson("1.1a", "1.1a CAP in practice", 60),
        Lesson("2.1", "2_1_broken", None),
    ]


def test_what_was_passed_under_an_old_id_counts_under_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    old = {"1.1b-1": {"passed": True, "tries": 2}, "1.1a-3": {"passed": False, "tries": 1}}
    path.write_text(json.dumps({"exercises": {**old, "1.1c-9": {"passed": False, "tries": 4}}}))
    moves: tuple[dict[str, str | None], ...] = (
        {"1.1b-1": "1.1c-1", "1.1c-9": "1.1c-1"},
        {"1.1c-1": "1.1d-1"},
    )
    assert progress.load(path, moves) == Progress(
        {"1.1d-1": ExerciseRecord(True, 6), "1.1a-3": ExerciseRecord(False, 1)}
    )


def test_a_table_is_applied_once_although_ids_change_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"LABKIT_PROGRESS": str(tmp_path / "p.json")}
    progress.record("1.1a-1", passed=True, environ=environ)
    moves = (*moved.MOVES, {"1.1a-1": "1.1a-2", "1.1a-2": "1.1a-1"})
    monkeypatch.setattr(progress, "MOVES", moves)
    progress.record("1.1a-1", passed=False, environ=environ)
    expected = {"1.1a-1": ExerciseRecord(False, 1), "1.1a-2": ExerciseRecord(True, 1)}
    assert progress.load(tmp_path / "p.json").entries == expected


def test_what_was_passed_in_two_lessons_of_chapter_1_1_counts_in_the_four_of_today(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.json"
    passed = ["1.1a-1", "1.1a-2", "1.1a-3", "1.1b-1", "1.1b-2", "1.1b-3", "1.2a-1"]
    answered = ["1.1a-q1", "1.1a-q2", "1.1a-q3", "1.1b-q1", "1.1b-q2", "1.1b-q3"]
    records = {id: {"passed": True, "tries": 1} for id in [*passed, *answered]}
    path.write_text(json.dumps({"exercises": records}))
    now = progress.load(path)
    assert sorted(now.entries) == [
        *("1.1a-1", "1.1a-q1", "1.1a-q2", "1.1b-1", "1.1b-q2"),
        *("1.1c-1", "1.1c-2", "1.1c-q1", "1.1c-q2", "1.1d-1", "1.1d-q1", "1.2b-1"),
    ]
    assert all(now.passed(id) for id in now.entries)


def test_the_store_with_a_token_that_was_passed_is_not_the_retry_of_today(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"exercises": {"1.1a-2": {"passed": True, "tries": 3}}}))
    assert progress.load(path).entries == {}
    environ = {"LABKIT_PROGRESS": str(path)}
    progress.record("1.1a-2", passed=True, environ=environ)
    assert progress.load(path).entries == {"1.1a-2": ExerciseRecord(True, 1)}


def test_the_last_table_names_only_exercises_and_questions_that_exist() -> None:
    last = {id for id in moved.MOVES[-1].values() if id is not None}
    assert {id for id in last if "-q" not in id} <= set(judges())
    for id in last - set(judges()):
        lesson, _, number = id.partition("-q")
        test = self_test(lesson)
        assert test is not None and test.question(int(number))


@pytest.mark.usefixtures("registry")
def test_the_map_shows_lessons_exercises_and_what_is_passed() -> None:
    for number in (1, 2, 3):
        judge(f"99.1-{number}", title=f"Task {number}", hints=("a", "b"))(
            lambda answer, budget: Verdict("holds", "x")
        )
    mine = {id: found for id, found in judges().items() if found.lesson == "99.1"}
    state = Progress({"99.1-1": ExerciseRecord(True, 2), "99.1-2": ExerciseRecord(False, 1)})
    text = map_of([Lesson("99.1", "99.1 Locks: one holder", 60)], mine, state, {"99.1": 2})
    assert text.splitlines()[0].split() == [
        "99.1",
        "Locks:",
        "one",
        "holder",
        "60",
        "min",
    ]
    assert text.splitlines()[1:] == [
        "      [x] 99.1-1  Task 1",
        "      [~] 99.1-2  Task 2",
        "      [ ] 99.1-3  Task 3",
        "      [ ] self-test: 0 of 2 questions",
        "1 of 3 exercises passed.",
    ]


@pytest.mark.usefixtures("registry")
def test_a_lesson_is_done_by_its_exercises_and_its_self_test() -> None:
    judge("99.1-1", title="Task", hints=("a", "b"))(lambda answer, budget: Verdict("holds", "x"))
    mine = {id: found for id, found in judges().items() if found.lesson == "99.1"}
    lesson = [Lesson("99.1", "99.1 Locks", 60)]
    state = {"99.1-1": ExerciseRecord(True, 1), "99.1-q1": ExerciseRecord(True, 2)}
    half = map_of(lesson, mine, Progress(state), {"99.1": 2})
    assert "done" not in half
    assert "[~] self-test: 1 of 2 questions" in half
    state["99.1-q2"] = ExerciseRecord(True, 1)
    done = map_of(lesson, mine, Progress(state), {"99.1": 2})
    assert done.splitlines()[0].endswith("done")
    assert "[x] self-test: 2 of 2 questions" in done


def test_a_cell_shows_the_map_and_one_sentence_where_outputs_are_compared(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress.record("1.1a-1", passed=True)
    assert "[x] 1.1a-1" in show_progress()
    assert max(map(len, show_progress().splitlines())) <= 80
    monkeypatch.delenv("LABKIT_PROGRESS")
    assert show_progress() == "Run this cell: it shows the lessons, and what you have passed."


def test_the_command_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([]) == 0
    assert "progress" in capsys.readouterr().out


@pytest.mark.usefixtures("registry")
def test_the_command_prints_the_map_and_what_is_wrong_with_the_file(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.parent.mkdir()
    kept.write_text("nonsense")
    assert command_line.main(["progress"]) == 0
    assert "progress.json is not what labkit writes" in capsys.readouterr().out
    assert kept.read_text() == "nonsense"


def test_it_runs_as_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "labkit.course"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 0
    assert ran.stdout.startswith("usage: python -m labkit.course")
    assert ran.stderr == ""
