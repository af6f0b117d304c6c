"""A second build leaves no page of a lesson that is gone."""

from __future__ import annotations

from pathlib import Path

from tools.website.__main__ import drop_stale


def written(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_pages_and_figures_of_a_renamed_lesson_go(tmp_path: Path) -> None:
    source, html = tmp_path / "source", tmp_path / "html"
    written(source, "index.md", "lessons/new.ipynb", "pictures/figure-1.svg")
    kept = {
        *("index.html", "lessons/new.html", "search.html", "searchindex.js"),
        *("_static/figure-1.svg", "_static/course.css", "_static/webpack-macros.html"),
    }
    written(html, *kept, "lessons/old.html", "gone/old.html", "_static/figure-2.svg")
    drop_stale(source, html)
    assert files_in(html) == kept
    assert not (html / "gone").exists()


def test_nothing_is_missed_where_nothing_was_built(tmp_path: Path) -> None:
    drop_stale(tmp_path / "source", tmp_path / "html")
    assert not (tmp_path / "html").exists()
