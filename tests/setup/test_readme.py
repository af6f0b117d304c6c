"""What the README shows is what is there: its lessons, its picture, its example."""

from __future__ import annotations

import random
import re
import textwrap
from pathlib import Path
from typing import Any
from uuid import uuid4

from labkit.course.lessons import lessons
from labkit.locks import LockManager, RedisFencedStore
from labkit.sim import run
from labkit.world import World
from tools.picture import LESSON, PICTURE, first_figure

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_table_lists_every_lesson_with_its_title_and_minutes() -> None:
    cells = r"^\| \[(.+?)\]\(notebooks/(.+?)\) \| (\d+) \| (\d*) ?\|"
    rows = re.findall(cells, README, re.M)
    files = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [name for _, name, *_ in rows] == [path.name for path in files]
    found = lessons(ROOT / "notebooks")
    assert [(title, minutes, exercises) for title, _, minutes, exercises in rows] == [
        (lesson.title, str(lesson.minutes), str(lesson.exercise_minutes or "")) for lesson in found
    ]


def test_a_head_promises_what_its_exercises_say() -> None:
    for path, lesson in zip(
        sorted((ROOT / "notebooks").glob("*.ipynb")), lessons(ROOT / "notebooks"), strict=True
    ):
        labels = re.findall(r"### \d · .+?\([\w-]+, (\d+) minutes\)", path.read_text("utf-8"))
        assert sum(map(int, labels)) == (lesson.exercise_minutes or 0), path.name


def test_its_picture_is_the_one_the_lesson_draws() -> None:
    assert PICTURE.read_text(encoding="utf-8") == first_figure(LESSON), (
        "run python tools/picture.py"
    )


def test_its_example_sells_one_of_two() -> None:
    (example,) = re.findall(r"```python\n(.+?)```", README, re.S)

    async def scenario(world: World) -> tuple[str | None, int]:
        redis = world.redis()
        store = RedisFencedStore(redis)
        await store.write("product:42", "2", token=1)
        names: dict[str, Any] = {
            "LockManager": LockManager,
            "redis": redis,
            "store": store,
            "random": random,
            "uuid4": uuid4,
        }
        exec("async def example():\n" + textwrap.indent(example, "    "), names)
        await names["example"]()
        latest = await store.latest("product:42")
        assert latest is not None
        return latest

    assert run(scenario).result[0] == "1"
