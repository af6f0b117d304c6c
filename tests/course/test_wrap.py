"""What a notebook shows fits 80 columns, says the same, and can still be copied and run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from labkit.check import Invariant
from labkit.course import retell
from labkit.course.source import Source
from labkit.course.wrap import wrapped, wrapped_code
from labkit.world import World

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "labkit").rglob("*.py"))


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_a_short_line_stays_as_it_is() -> None:
    text = "one  two\n    three   four\n" + "-" * 80
    assert wrapped(text) == text
    assert wrapped_code("x = {  'a':1 }") == "x = {  'a':1 }"


def test_a_long_sentence_is_broken_between_words_and_hangs() -> None:
    sentence = "  What broke: " + "east and north may sell " * 6
    lines = wrapped(sentence).splitlines()
    assert widest("\n".join(lines)) <= 80 and len(lines) == 3
    assert lines[0].startswith("  What") and lines[1].startswith("      ")
    assert " ".join(lines).split() == sentence.split()


def test_a_word_that_is_too_long_stays_in_one_piece() -> None:
    assert wrapped("x" * 100) == "x" * 100


def test_a_call_is_broken_at_its_arguments_and_is_the_same_call() -> None:
    call = (
        "run(race, seed=None, faults=[Pause(node='east', after='acquired', for_=1.0), Crash('a')], "
        "args={'orders': ('a, b', 'c'), 'place_order': sold_when_in_doubt, 'text': \"it's (\"})"
    )
    shown = wrapped(f"    {call}")
    assert widest(shown) <= 80
    assert ast.dump(ast.parse(shown.strip())) == ast.dump(ast.parse(call))
    assert shown.splitlines()[:2] == ["    run(", "        race,"]


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_every_module_means_the_same_when_it_is_wrapped(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    shown = wrapped_code(code)
    assert meaning(shown) == meaning(code)
    for line in shown.splitlines():
        # What stays too wide holds a string or a condition of its own; it has no comma to break at.
        assert len(line) <= 100


def meaning(code: str) -> str:
    """The code's tree, with the words of its docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            node.value.value = " ".join(node.value.value.split())
    return ast.dump(tree)


def test_a_long_line_is_broken_inside_its_brackets() -> None:
    code = """\
async with begin_immediate(self._engine_of_the_journal, within=self._within) as tx:
    self._observe("delivered", to=self.service, type=envelope.type, id=envelope.identity)
    held = [name for name in holders if name != "the one that waits" and not away(name)]"""
    assert (
        wrapped_code(code)
        == """\
async with begin_immediate(
    self._engine_of_the_journal, within=self._within
) as tx:
    self._observe(
        "delivered", to=self.service, type=envelope.type, id=envelope.identity
    )
    held = [
        name
        for name in holders
        if name != "the one that waits"
        and not away(name)
    ]"""
    )


def test_a_comment_behind_a_long_line_moves_above_it() -> None:
    shown = wrapped_code("stock = 4  # " + "counted by hand " * 6)
    assert widest(shown) <= 80
    assert shown.splitlines()[0].startswith("# counted") and shown.endswith("\nstock = 4")


def test_an_import_gets_brackets() -> None:
    names = "Result, check, hint, ExerciseError, Judge, find, progress"
    assert (
        wrapped_code(f"from labkit.course.exercises import {names}")
        == f"from labkit.course.exercises import (\n    {names}\n)"
    )


def test_a_docstring_is_filled_and_another_string_is_not_touched() -> None:
    long = "every word counts " * 6
    code = f'def run():\n    """{long}\n\n    | a | table |"""\n    return """\n{long}"""'
    shown = wrapped_code(code)
    assert meaning(shown) == meaning(code)
    assert [line for line in shown.splitlines() if len(line) > 80] == [f'{long}"""']
    assert "    | a | table |" in shown


def test_source_and_retell_are_shown_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    shown = repr(Source("sold", f"sold = {{{', '.join(str(n) for n in range(40))}}}"))
    assert widest(shown) <= 80

    async def sells(world: World) -> None:
        world.record("sold", to="a customer with a long name", item="stove " * 8)

    retell(sells, Invariant("nothing is ever " + "sold to anybody " * 5, lambda made: False))
    printed = capsys.readouterr().out
    assert widest(printed) <= 80 and printed.count("stove") == 8
